# SPDX-License-Identifier: Apache-2.0

import dataclasses

import hypothesis
from hypothesis import strategies
from lxml import etree

from nova_libvirt_driver.configurators import builder
from nova_libvirt_driver.configurators import checks
from nova_libvirt_driver import exception
from nova_libvirt_driver.spec import flavor as flavor_spec
from nova_libvirt_driver.spec import guest as guest_spec
from nova_libvirt_driver.spec import nic as nic_spec
from nova_libvirt_driver.xmlmodel import domain as domain_module
from tests.unit.configurators import base
from tests.unit.configurators import values

NOVA = {'nova': 'http://openstack.org/xmlns/libvirt/nova/1.1'}


def named(name: str) -> guest_spec.GuestMetadata:
    return dataclasses.replace(values.METADATA, display_name=name)


class MetadataTest(base.FacetTestCase):

    def instance(self, root: etree._Element) -> etree._Element:
        found = root.find('metadata/nova:instance', NOVA)
        assert found is not None
        return found

    def test_time_of_creation_has_the_form_of_nova(self) -> None:
        found = self.instance(self.build())

        self.assertEqual('2026-11-25 12:00:00',
                         found.findtext('nova:creationTime', None, NOVA))

    def test_prefix_is_the_one_that_scripts_look_for(self) -> None:
        self.assertIn('<nova:instance', base.build(values.inputs()))

    def test_characters_that_xml_cannot_hold_are_dropped(self) -> None:
        found = self.instance(self.build(
            metadata=named('a\0b\x1b[31m\ufffe\ud800c')))

        self.assertEqual('ab[31mc', found.findtext('nova:name', None, NOVA))

    def test_markup_in_a_name_is_data(self) -> None:
        name = ']]></nova:name><!-- & <nova:owner/> "&lt;" -->'

        found = self.instance(self.build(metadata=named(name)))

        self.assertEqual(name, found.findtext('nova:name', None, NOVA))
        self.assertIsNone(found.find('nova:owner', NOVA))

    @hypothesis.settings(max_examples=50, deadline=None)
    @hypothesis.given(strategies.text())
    def test_no_name_breaks_the_xml(self, name: str) -> None:
        flavor = flavor_spec.Flavor(
            name=name, vcpus=1, memory_mib=1, extra_specs={name: name})
        metadata = dataclasses.replace(named(name), flavor=flavor, owner=(
            guest_spec.Owner(user_name=name, project_id=name)))

        xml = builder.build(values.inputs(metadata=metadata)).to_xml()

        found = domain_module.Domain.parse(xml).instance
        self.assertEqual(checks.clean(name), found.display_name or '')
        self.assertEqual(checks.clean(name), found.project_uuid or '')

    def test_guest_without_owner_and_image_has_none(self) -> None:
        found = self.instance(self.build())

        for tag in ('owner', 'root', 'ports'):
            self.assertIsNone(found.find(f'nova:{tag}', NOVA), tag)

    def test_interface_without_a_port_is_not_listed(self) -> None:
        nic = nic_spec.NicSpec(mac='52:54:00:00:00:01', source='default')

        found = self.instance(self.build(nics=(nic,)))

        self.assertIsNone(found.find('nova:ports', NOVA))

    def test_address_that_is_none_is_refused(self) -> None:
        nic = nic_spec.NicSpec(
            mac='52:54:00:00:00:01', source='default', id='port-1',
            addresses=(nic_spec.NicAddress(
                address='192.0.2.300', prefix_length=24),))

        self.assertIn('192.0.2.300', self.refusal(
            exception.InvalidRequest, nics=(nic,)))
