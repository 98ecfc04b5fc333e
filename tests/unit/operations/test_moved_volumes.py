# SPDX-License-Identifier: Apache-2.0

"""Guests whose volumes are other devices by now, as after a boot."""

import os
import re

import fixtures

from nova_libvirt_driver import exception
from nova_libvirt_driver import ports
from nova_libvirt_driver.spec import disk as disk_spec
from nova_libvirt_driver.spec import guest as guest_spec
from nova_libvirt_driver.spec import instance as instance_spec
from nova_libvirt_driver.spec import volume as volume_spec
from nova_libvirt_driver.testing import fake_volumes
from tests.unit.operations import test_volumes

FIRST, SECOND = test_volumes.FIRST, test_volumes.SECOND
THIRD = '5e1d7c57-54a2-4c71-8a4c-1c1f6d2a9b10'
info, volume = test_volumes.info, test_volumes.volume


class MovedTestCase(test_volumes.VolumesTestCase):

    def setUp(self) -> None:
        super().setUp()
        self.tolerant = False

    def attachments_of(
            self, instance: instance_spec.Instance) -> ports.Attachments:
        return [self.attachment(
            volume(required=not self.tolerant),
            volume(info(SECOND), 'vdc', required=not self.tolerant))]

    def boot(self) -> None:
        """Let each volume be another device from now on."""
        self.before, self.devices = self.devices, self.useFixture(
            fixtures.TempDir()).path
        self.connector = fake_volumes.FakeConnector(self.devices)

    def start(self, verb: str, *volumes: volume_spec.Volume) -> None:
        attachments = [self.attachment(*(
            volumes or (volume(), volume(info(SECOND), 'vdc'))))]
        if verb == 'soft reboot':
            self.driver.reboot(self.spec, guest_spec.RebootType.SOFT,
                               attachments=attachments)
        else:
            getattr(self.driver, verb)(self.spec, attachments=attachments)

    def begin(self, *verbs: str) -> None:
        self.spawn(volume(), volume(info(SECOND), 'vdc'))
        for verb in verbs:
            if verb == 'rescue':
                self.driver.rescue(
                    self.spec, self.image.id,
                    stable_device=disk_spec.RescueDevice(),
                    attachments=self.attachments_of(self.spec))
            else:
                getattr(self.driver, verb)(self.spec)

    def sources(self) -> list[list[str]]:
        """Return the devices of the guest, now and at its next start."""
        return [re.findall("dev=[\"'](/.*?)[\"']", self.driver.get_domain_xml(
            self.spec, inactive=inactive)) for inactive in (False, True)]

    def assert_moved(self, *ids: str) -> None:
        paths = [os.path.join(self.devices, one) for one in ids]
        self.assertEqual([paths, paths], self.sources())
        self.assertTrue(self.hypervisor.guests[0].active)


class StartTest(MovedTestCase):

    def test_each_start_takes_the_device_of_now(self) -> None:
        for verb, before in (
                ('power_on', ['power_off']),
                ('power_on', ['rescue', 'power_off']),
                ('resume', ['suspend']),
                ('resume_state_on_host_boot', ['power_off']),
                ('resume_state_on_host_boot', ['suspend']),
                ('soft reboot', []), ('unrescue', ['rescue'])):
            with self.subTest(verb=verb, before=before):
                self.begin(*before)
                self.boot()

                self.start(verb)

                self.assert_moved(FIRST, SECOND)
                self.driver.destroy(self.spec)

    def test_monitors_are_those_of_now(self) -> None:
        old, new = (volume(info(protocol='rbd', name='p/i', hosts=[host]))
                    for host in ('192.0.2.1', '192.0.2.2'))
        self.spawn(old)
        self.driver.suspend(self.spec)

        self.start('resume', new)

        xml = self.driver.get_domain_xml(self.spec)
        self.assertIn('192.0.2.2', xml)
        self.assertNotIn('192.0.2.1', xml)

    def test_memory_that_needs_a_lost_volume_is_kept(self) -> None:
        self.begin('suspend')
        self.boot()

        error = self.assertRaises(
            exception.WrongState, self.start, 'resume', volume())

        self.assertIn(f'volume {SECOND} as vdc', str(error))
        guest, = self.hypervisor.guests
        self.assertEqual((False, True), (guest.active, guest.saved))

    def test_a_volume_detached_in_rescue_does_not_come_back(self) -> None:
        self.begin('rescue')

        self.start('unrescue', volume())

        self.assert_moved(FIRST)

    def test_after_a_swap_a_disk_is_known_by_its_name(self) -> None:
        for before, verb in (('suspend', 'resume'), ('rescue', 'unrescue')):
            with self.subTest(verb=verb):
                self.begin(before)

                self.start(verb, volume(), volume(info(THIRD), 'vdc'))

                self.assert_moved(FIRST, THIRD)
                self.driver.destroy(self.spec)

    def test_a_soft_reboot_keeps_what_cannot_be_connected_again(
            self) -> None:
        self.begin()
        self.connector.broken.add(SECOND)

        self.start('soft reboot', volume(required=False), volume(
            info(SECOND), 'vdc', required=False))

        self.assert_moved(FIRST, SECOND)


class InterruptedTest(MovedTestCase):

    def interrupt(self, operation: str) -> None:
        self.journal.begin(
            operation, uuid=self.spec.uuid, name=self.spec.name, was_up=True,
            attachments=['volumes']).release()

    def test_a_guest_is_put_back_with_the_devices_of_now(self) -> None:
        for operation, before in (('reboot', ['power_off']),
                                  ('rescue', ['rescue', 'power_off'])):
            with self.subTest(operation=operation):
                self.begin(*before)
                self.boot()
                self.interrupt(operation)

                self.driver.pause(self.spec)

                self.assert_moved(FIRST, SECOND)
                self.driver.destroy(self.spec)

    def test_it_starts_without_data_volumes_that_are_down(self) -> None:
        self.tolerant = True
        self.begin('power_off')
        self.boot()
        self.connector.broken.add(SECOND)
        self.interrupt('reboot')

        self.driver.pause(self.spec)

        self.assert_moved(FIRST)

    def test_without_a_record_it_stays_down(self) -> None:
        for operation, before in (('reboot', ['power_off']),
                                  ('rescue', ['rescue', 'power_off'])):
            with self.subTest(operation=operation):
                self.begin(*before)
                (self.folder(self.spec) / 'guest.json').unlink()
                self.interrupt(operation)

                self.driver.power_off(self.spec)

                self.assertFalse(self.hypervisor.guests[0].active)
                self.assertIn(f'defined with volume {FIRST} as vdb',
                              self.log.output)
                self.driver.destroy(self.spec)

    def test_by_force_it_is_not_started_without_its_service(self) -> None:
        self.begin('power_off')
        self.interrupt('reboot')
        entry, = self.journal.notes()
        self.attachments_of = lambda instance: ()  # type: ignore

        self.make_driver().clean_up_operation(
            self.spec.uuid, entry.id, force=True)

        self.assertFalse(self.hypervisor.guests[0].active)
        self.assertEqual([], self.journal.notes())


class UsesTest(MovedTestCase):

    def test_the_name_in_a_stopped_guest_is_free(self) -> None:
        other = self.guest('two')
        path = os.path.join(self.devices, FIRST)
        self.spawn(volume(info(SECOND, 'local', device_path=path)),
                   spec=other)
        self.driver.power_off(other)

        self.spawn()

        self.assertEqual(2, len(self.names()))
        self.destroy()
        self.assertEqual([], self.connector.connected())

    def test_two_that_boot_with_each_others_names(self) -> None:
        other = self.guest('two')
        self.spawn()
        self.spawn(volume(info(SECOND)), spec=other)
        for spec in (self.spec, other):
            self.driver.power_off(spec)
        first, second = (os.path.join(self.devices, one)
                         for one in (FIRST, SECOND))
        os.rename(first, f'{first}-')
        os.rename(second, first)
        os.rename(f'{first}-', second)
        self.connector.names = {FIRST: SECOND, SECOND: FIRST}

        self.driver.power_on(self.spec, attachments=[self.attachment()])
        self.driver.power_on(other, attachments=[
            self.attachment(volume(info(SECOND)), spec=other)])

        self.assertIn(second, self.driver.get_domain_xml(self.spec))
        self.assertIn(first, self.driver.get_domain_xml(other))
