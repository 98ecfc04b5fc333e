# SPDX-License-Identifier: Apache-2.0

import libvirt

from nova_libvirt_driver import exception
from nova_libvirt_driver.guest import reach
from nova_libvirt_driver.spec import instance as instance_spec
from nova_libvirt_driver.testing import fake_xml
from tests import guests
from tests.unit.guest import handles

_State = instance_spec.PowerState
OTHER = instance_spec.InstanceRef(
    '00000000-0000-4000-8000-000000000002', 'two')


class FindTest(handles.HandleTestCase):

    def test_guest_is_found_by_its_uuid(self) -> None:
        self.add_guest()

        found = self.guests.find(
            instance_spec.InstanceRef(handles.UUID, 'another name'))

        self.assertEqual((handles.UUID, 'one'), (found.uuid, found.name))

    def test_what_is_not_there_is_not_found(self) -> None:
        error = self.assertRaises(
            exception.InstanceNotFound, self.guests.find, OTHER)

        self.assertIn(OTHER.uuid, str(error))
        self.assertIsNone(self.guests.find_or_none(OTHER))

    def test_domain_of_somebody_else_is_refused(self) -> None:
        self.hypervisor.add_guest('two', uuid=OTHER.uuid)

        for look in (self.guests.find, self.guests.find_or_none):
            self.assertRaises(exception.ForeignDomain, look, OTHER)

    def test_metadata_of_every_version_makes_it_ours(self) -> None:
        self.hypervisor.add_guest('two', uuid=OTHER.uuid, xml=handles.xml_of(
            name='two', uuid=OTHER.uuid).replace('nova/1.1', 'nova/1.0'))

        self.assertEqual('two', self.guests.find(OTHER).name)

    def test_a_failure_is_no_missing_guest(self) -> None:
        self.add_guest()
        self.hypervisor.fail_next('XMLDesc', guests.failure(
            libvirt.VIR_ERR_INTERNAL_ERROR))

        self.assertRaises(exception.LibvirtFailure, self.find)


class DefineTest(handles.HandleTestCase):

    def test_guest_is_defined_and_stopped(self) -> None:
        guest = self.guests.define(handles.xml_of(), handles.INSTANCE)

        self.assertEqual('one', guest.name)
        self.assertEqual(_State.SHUTDOWN, guest.state().power)
        self.assertEqual('one', self.find().name)

    def test_definition_is_replaced(self) -> None:
        added = self.add_guest(devices=())

        self.guests.define(
            handles.xml_of(*handles.DEVICES), handles.INSTANCE)

        self.assertIn('disk.config', added.definition)
        self.assertEqual(1, len(self.hypervisor.guests))

    def test_driver_that_cannot_validate_defines_all_the_same(self) -> None:
        self.hypervisor.fail_next('defineXMLFlags', guests.failure(
            libvirt.VIR_ERR_INVALID_ARG,
            'unsupported flags (0x1) in function testDefine'))

        self.guests.define(handles.xml_of(), handles.INSTANCE)

        self.assertEqual(2, self.hypervisor.calls['defineXMLFlags'])

    def test_domain_of_somebody_else_is_not_replaced(self) -> None:
        foreign = self.hypervisor.add_guest('one', uuid=handles.UUID)
        before = foreign.definition

        self.assertRaises(exception.ForeignDomain, self.guests.define,
                          handles.xml_of(), handles.INSTANCE)

        self.assertEqual(before, foreign.definition)

    def test_name_of_another_domain_is_taken(self) -> None:
        self.hypervisor.add_guest('one', uuid=OTHER.uuid)

        self.assertRaises(exception.InstanceExists, self.guests.define,
                          handles.xml_of(), handles.INSTANCE)

        self.assertEqual(OTHER.uuid, self.guests.name_owner('one'))
        self.assertIsNone(self.guests.name_owner('two'))

    def test_what_libvirt_refuses_is_told(self) -> None:
        error = self.assertRaises(
            exception.LibvirtFailure, self.guests.define, '<domain',
            handles.INSTANCE)

        self.assertIn('define the guest', str(error))


class ListingTest(handles.HandleTestCase):

    def test_ours_and_others_are_told_apart(self) -> None:
        self.hypervisor.add_guest(
            'two', uuid=OTHER.uuid, state=libvirt.VIR_DOMAIN_SHUTOFF)
        self.add_guest()

        self.assertEqual([
            (handles.UUID, 'one', _State.RUNNING, True, 'one'),
            (OTHER.uuid, 'two', _State.SHUTDOWN, False, ''),
        ], [(row.uuid, row.name, row.state, row.owned, row.display_name)
            for row in self.reached.inventory.summaries()])

    def test_guest_that_goes_away_meanwhile_is_left_out(self) -> None:
        self.add_guest()
        self.hypervisor.fail_next('XMLDesc', guests.failure(
            libvirt.VIR_ERR_NO_DOMAIN))

        self.assertEqual([], self.reached.inventory.summaries())


class MarkTest(handles.HandleTestCase):

    def test_something_else_in_the_namespace_is_no_mark(self) -> None:
        self.hypervisor.add_guest('one', uuid=handles.UUID, xml=(
            handles.xml_of().replace('nova:instance', 'nova:other')))

        self.assertEqual(
            [False],
            [row.owned for row in self.reached.inventory.summaries()])

    def test_other_metadata_is_no_mark(self) -> None:
        for namespace in ('http://openstack.org/xmlns/libvirt/nova/2.0',
                          'http://openstack.org/xmlns/libvirt/nova/1.1x',
                          'http://example.org/nova/1.1'):
            xml = handles.xml_of().replace(fake_xml.NOVA, namespace)
            self.assertIsNone(reach.mark_in(xml), namespace)

    def test_name_that_looks_like_markup_is_text(self) -> None:
        xml = handles.xml_of().replace(
            '>one</nova:name>', '>&lt;a&gt;&amp;</nova:name>')

        self.assertEqual('<a>&', reach.mark_in(xml))
