# SPDX-License-Identifier: Apache-2.0

"""What the model writes is what libvirt's own schema describes."""

import functools
import pathlib

from lxml import etree

from nova_libvirt_driver.xmlmodel import domain
from nova_libvirt_driver.xmlmodel import fields
from tests import base
from tests.unit.xmlmodel import kinds
from tests.unit.xmlmodel import maximal

_SCHEMAS = '/usr/share/libvirt/schemas'


@functools.cache
def schema(name: str = 'domain') -> etree.RelaxNG:
    return etree.RelaxNG(etree.parse(f'{_SCHEMAS}/{name}.rng'))


@functools.cache
def names_clusters() -> bool:
    """Say whether libvirt tells the cluster of each CPU, as 11.3 does."""
    return 'cluster_id' in pathlib.Path(
        _SCHEMAS, 'capability.rng').read_text()


class SchemaTest(base.TestCase):

    def test_documents_with_everything_are_valid(self) -> None:
        for name, made in maximal.documents().items():
            document = etree.fromstring(made.to_xml().encode())
            if names_clusters():
                # It is not told apart from the rest of a CPU's place.
                for cpu in document.iterfind('.//cpu[@socket_id]'):
                    cpu.set('cluster_id', '0')

            self.assertTrue(schema(name).validate(document),
                            str(schema(name).error_log))

    def test_they_have_a_value_in_every_declared_field(self) -> None:
        declared = {
            f'{kind.__name__}.{name}' for kind, name, _ in kinds.declared(
                (fields.Field, fields.Child, fields.Children))}

        self.assertEqual(set(), declared.difference(
            *map(kinds.used, maximal.documents().values()),
            kinds.used(maximal.bare_instance()),
            kinds.used(maximal.volume_secret())))

    def test_no_two_kinds_have_one_name(self) -> None:
        names = [kind.__name__ for kind in kinds.all_kinds()]
        self.assertEqual(sorted(set(names)), sorted(names))

    def test_it_is_the_same_when_it_is_read_again(self) -> None:
        made = maximal.build()

        again = domain.Domain.parse(made.to_xml())

        self.assertEqual(made.canonical(), again.canonical())
        self.assertEqual(set(kinds.used(made)), set(kinds.used(again)))

    def test_the_schema_would_notice(self) -> None:
        made = maximal.build()
        made.devices.disks[0].element.set('unheard', 'of')

        self.assertFalse(schema().validate(
            etree.fromstring(made.to_xml().encode())))
