# SPDX-License-Identifier: Apache-2.0

"""Golden files: XML as it must be, one file for each scenario.

When the XML of guests is meant to change, write the files anew and look at
what git says is different::

    NOVA_LIBVIRT_GOLDEN=regenerate python -m testtools.run \
        tests.unit.configurators.test_golden
"""

import difflib
import os
import pathlib
from typing import Any

from lxml import etree

from nova_libvirt_driver.configurators import builder
from nova_libvirt_driver.configurators import inputs as inputs_module
from nova_libvirt_driver import exception
from nova_libvirt_driver.spec import disk as disk_spec
from tests import base
from tests.unit.configurators import values

GOLDEN = pathlib.Path(__file__).parent / 'golden'
SCHEMA = pathlib.Path('/usr/share/libvirt/schemas/domain.rng')

REGENERATE = os.environ.get('NOVA_LIBVIRT_GOLDEN') == 'regenerate'


def canonical(xml: str) -> str:
    """Return XML with sorted attributes, two spaces for each level."""
    parser = etree.XMLParser(remove_blank_text=True)
    root = etree.fromstring(xml, parser)
    for element in root.iter():
        attributes = sorted(element.attrib.items())
        element.attrib.clear()
        element.attrib.update(attributes)
    etree.indent(root)
    return str(etree.tostring(root, encoding='unicode')) + '\n'


def build(inputs: inputs_module.Inputs) -> str:
    """Return the XML of a guest in canonical form."""
    return canonical(builder.build(inputs).to_xml())


def golden_difference(name: str, xml: str) -> str:
    """Return how XML differs from its golden file; empty if it does not."""
    path = GOLDEN / f'{name}.xml'
    if REGENERATE:
        path.write_text(xml, encoding='utf-8')
    expected = path.read_text(encoding='utf-8') if path.exists() else ''
    return ''.join(difflib.unified_diff(
        expected.splitlines(keepends=True), xml.splitlines(keepends=True),
        fromfile=path.name, tofile='built'))


class FacetTestCase(base.TestCase):
    """Builds whole guests, and looks at one facet of them."""

    def build(self, **changes: Any) -> etree._Element:
        """Return the XML of the smallest guest, changed."""
        return etree.fromstring(build(values.inputs(**changes)))

    def attributes(
            self, root: etree._Element, path: str) -> list[dict[str, str]]:
        """Return the attributes of every element at a path."""
        return [
            {str(key): str(value) for key, value in element.attrib.items()}
            for element in root.iterfind(path)]

    def attribute(
            self, root: etree._Element, path: str, name: str) -> str | None:
        """Return one attribute of the only element at a path."""
        [found] = self.attributes(root, path)
        return found.get(name)

    def refusal(
            self, error: type[Exception], **changes: Any) -> str:
        """Return why a guest is refused."""
        return str(self.assertRaises(error, self.build, **changes))


class DiskTestCase(FacetTestCase):
    """Builds guests that differ in their disks."""

    def build_disks(
            self, *disks: disk_spec.DiskSpec, **changes: Any
    ) -> etree._Element:
        """Return the XML of a guest with these disks."""
        return self.build(disks=disks, **changes)

    def why(self, *disks: disk_spec.DiskSpec) -> str:
        """Return why the disks are refused."""
        return self.refusal(exception.InvalidRequest, disks=disks)
