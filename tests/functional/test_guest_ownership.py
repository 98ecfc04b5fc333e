# SPDX-License-Identifier: Apache-2.0

"""Domains that are another's, and names and uuids that are taken."""

from collections.abc import Callable
import dataclasses
import pathlib

from lxml import etree

from nova_libvirt_driver import driver as driver_module
from nova_libvirt_driver import exception
from nova_libvirt_driver.spec import guest as guest_spec
from nova_libvirt_driver.spec import instance as instance_spec
from nova_libvirt_driver.testing import guests
from tests.functional import guest_base

Driver = driver_module.LibvirtDriver
Spec = guest_spec.GuestSpec

REFUSING: dict[str, Callable[[Driver, Spec], object]] = {
    'spawn': Driver.spawn,
    'destroy': Driver.destroy,
    'destroy, and keep disks': lambda driver, spec: driver.destroy(
        spec, destroy_disks=False),
    'cleanup': Driver.cleanup,
    'delete_instance_files': Driver.delete_instance_files,
    'get_domain_xml': Driver.get_domain_xml,
    'rename': lambda driver, spec: driver.rename(spec, 'another'),
    'power_on': Driver.power_on,
    'power_off': Driver.power_off,
    'soft reboot': lambda driver, spec: driver.reboot(
        spec, guest_spec.RebootType.SOFT),
    'hard reboot': lambda driver, spec: driver.reboot(
        spec, guest_spec.RebootType.HARD),
    'pause': Driver.pause,
    'unpause': Driver.unpause,
    'suspend': Driver.suspend,
    'resume': Driver.resume,
    'resume_state_on_host_boot': Driver.resume_state_on_host_boot,
    'rescue': lambda driver, spec: driver.rescue(
        spec, spec.storage.image_id),
    'snapshot': lambda driver, spec: driver.snapshot(
        spec, '5f0c1f0e-6d1f-4a39-9f0c-0f3d5a9d7b11'),
    'quiesce': Driver.quiesce,
    'unquiesce': Driver.unquiesce,
    'resize_root_disk': lambda driver, spec: driver.resize_root_disk(
        spec, 1),
    'get_console_output': Driver.get_console_output,
    'get_vnc_console': Driver.get_vnc_console,
    'get_spice_console': Driver.get_spice_console,
    'get_serial_console': Driver.get_serial_console,
    'set_admin_password': lambda driver, spec: driver.set_admin_password(
        spec, 'secret'),
    'trigger_crash_dump': Driver.trigger_crash_dump,
}


class OwnershipTest(guest_base.GuestTestCase):

    def foreign(self) -> Spec:
        """Let another one define a domain; return a spec that is for it."""
        spec = self.boot_guest('theirs')
        disk = self.host.directory / 'theirs.img'
        disk.write_bytes(guests.boot_sector('theirs is up'))
        xml = self.host.directory / 'theirs.xml'
        xml.write_text(guests.boot_guest_xml(
            'theirs', disk, self.host.directory / 'theirs.log',
            uuid=spec.uuid))
        self.host.virsh('define', str(xml))
        return spec

    def xml(self, name: str) -> str:
        return self.host.virsh('dumpxml', name, '--inactive')

    def assert_refused(
            self, spec: Spec,
            said: str = 'does not belong to this driver') -> None:
        """Fail unless every verb leaves a domain alone, and says so."""
        before, xml = self.look_at_host(), self.xml(spec.name)

        for name, verb in REFUSING.items():
            error = self.assertRaises(
                exception.ForeignDomain, verb, self.driver, spec)
            self.assertIn(spec.uuid, str(error), name)
            self.assertIn(said, str(error), name)
            self.assertEqual(xml, self.xml(spec.name), name)
            self.assertEqual([], before.difference(self.look_at_host()),
                             name)

    def test_foreign_domain_that_is_stopped_is_left_alone(self) -> None:
        self.assert_refused(self.foreign())

    def test_foreign_domain_that_runs_is_left_alone(self) -> None:
        spec = self.foreign()
        self.host.virsh('start', 'theirs')
        pid = self.host.guest_pid('theirs')

        self.assert_refused(spec)

        self.assertEqual(pid, self.host.guest_pid('theirs'))

    def test_guest_of_another_service_is_left_alone(self) -> None:
        theirs, spec = self.driver, self.boot_guest('theirs')
        theirs.spawn(spec)
        self.addCleanup(theirs.destroy, spec)
        self.wait_console(spec, 'theirs is up')
        folder = self.instances_path
        self.instances_path = self.host.directory / 'other'
        self.instances_path.mkdir()
        self.driver = self.make_guest_driver()

        self.assert_refused(
            spec, f'belongs to the service with its instances in {folder}')

        row, = self.driver.list_instance_summaries()
        self.assertEqual((False, str(folder)), (row.owned, row.other_folder))
        row, = theirs.list_instance_summaries()
        self.assertEqual((True, ''), (row.owned, row.other_folder))

    def test_a_guest_starts_whose_folder_was_moved(self) -> None:
        spec = self.boot_guest('moved')
        self.driver.spawn(spec)
        self.wait_console(spec, 'moved is up')
        self.driver.power_off(spec)
        old = self.instances_path
        self.instances_path = self.host.directory / 'new'
        old.rename(self.instances_path)
        # Disks name the image below them by its path.
        old.symlink_to(self.instances_path)
        self.driver = self.make_guest_driver()
        self.addCleanup(self.driver.destroy, spec)
        record = self.instances_path / spec.uuid / 'guest.json'

        for is_lost in (False, True):
            if is_lost:
                record.unlink()
                self.host.virsh(
                    'define', self._moved_back(spec, old))
            self.driver.power_on(
                instance_spec.InstanceRef(spec.uuid, spec.name))

            self.assertIn(f'{self.instances_path}/{spec.uuid}/disk',
                          self.xml(spec.name))
            self.assertNotIn(f'{old}/', self.xml(spec.name))
            self.driver.power_off(spec)

    def _moved_back(self, spec: Spec, old: pathlib.Path) -> str:
        path = self.host.directory / 'old.xml'
        path.write_text(self.xml(spec.name).replace(
            f'{self.instances_path}/', f'{old}/'))
        return str(path)

    def test_foreign_domain_does_not_get_our_files_removed(self) -> None:
        spec = self.foreign()
        kept = self.instances_path / spec.uuid / 'disk'
        kept.parent.mkdir()
        kept.write_bytes(b'precious')

        self.assert_refused(spec)

        self.assertEqual(b'precious', kept.read_bytes())

    def test_foreign_domain_is_never_unrescued(self) -> None:
        spec = self.foreign()
        xml = self.xml('theirs')
        folder = self.instances_path / spec.uuid
        folder.mkdir()
        (folder / 'unrescue.xml').write_text(
            etree.tostring(etree.fromstring(xml), encoding='unicode'))

        self.assertRaises(
            exception.ForeignDomain, self.driver.unrescue, spec)

        self.assertEqual(xml, self.xml('theirs'))

    def test_spawn_takes_no_name_and_no_uuid_of_another(self) -> None:
        self.foreign()
        ours = self.boot_guest('ours')
        self.driver.spawn(ours)
        self.wait_console(ours, 'ours is up')
        pid = self.host.guest_pid('ours')
        before = self.look_at_host()
        known = [self.xml('ours'), self.xml('theirs')]

        for taken in (self.boot_guest('ours'), self.boot_guest('theirs'),
                      dataclasses.replace(ours, name='new'), ours):
            self.assertRaises(
                exception.InstanceExists, self.driver.spawn, taken)
            self.assertEqual([], before.difference(self.look_at_host()))

        self.assertEqual(known, [self.xml('ours'), self.xml('theirs')])
        self.assertEqual(pid, self.host.guest_pid('ours'))
