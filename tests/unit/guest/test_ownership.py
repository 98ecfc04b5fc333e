# SPDX-License-Identifier: Apache-2.0

"""Several services without Nova on one libvirt, each with its own folder."""

import os
import pathlib
import threading

import fixtures

from nova_libvirt_driver import driver as driver_module
from nova_libvirt_driver import exception
from tests.unit.guest import base
from tests.unit.guest import handles


class OwnershipTest(base.FakeHostTestCase):

    def setUp(self) -> None:
        super().setUp()
        self.other = self.useFixture(fixtures.TempDir()).path

    def add(self, *devices: str) -> None:
        """Define the guest that both services could have made."""
        self.hypervisor.add_guest('one', uuid=handles.UUID, xml=handles.xml_of(
            *(device.replace('FOLDER', os.path.join(self.other, handles.UUID))
              for device in devices)))

    def add_theirs(self) -> None:
        self.add("<disk type='file'><source file='FOLDER/disk'/></disk>",
                 "<disk type='block'><source dev='/dev/sdx'/></disk>")

    def assert_theirs(self, driver: driver_module.LibvirtDriver) -> None:
        row, = driver.list_instance_summaries()
        error = self.assertRaises(
            exception.ForeignDomain, driver.power_off, handles.INSTANCE)

        self.assertEqual((False, self.other), (row.owned, row.other_folder))
        self.assertIn(f'its instances in {self.other}', str(error))
        self.assertIn('--state-path', error.next_step)

    def assert_ours(self, driver: driver_module.LibvirtDriver) -> None:
        row, = driver.list_instance_summaries()
        driver.get_domain_xml(handles.INSTANCE)

        self.assertEqual((True, ''), (row.owned, row.other_folder))

    def test_a_guest_with_files_in_another_folder_is_anothers(self) -> None:
        self.add_theirs()

        self.assert_theirs(self.make_driver())

    def test_every_file_of_a_service_tells(self) -> None:
        for device in (
                "<serial type='pty'><log file='FOLDER/console.log'/></serial>",
                "<console type='file'><source path='FOLDER/console.log'/>"
                '</console>'):
            self.add(device)

            self.assert_theirs(self.make_driver())
            self.hypervisor.remove_guest(self.hypervisor.guests[0])

    def test_a_link_to_the_folder_is_the_folder(self) -> None:
        os.rmdir(self.instances_path)
        os.symlink(self.other, self.instances_path)
        self.add_theirs()

        self.assert_ours(self.make_driver())

    def test_a_folder_that_was_moved_keeps_its_guests(self) -> None:
        self.add_theirs()
        pathlib.Path(self.instances_path, handles.UUID).mkdir()

        self.assert_ours(self.make_driver())

    def test_a_folder_that_was_copied_gets_no_guests(self) -> None:
        self.add_theirs()
        for folder in (self.instances_path, self.other):
            pathlib.Path(folder, handles.UUID).mkdir()

        self.assert_theirs(self.make_driver())

    def test_a_folder_that_does_not_answer_holds_up_no_listing(self) -> None:
        self.add_theirs()
        # As a mount does whose server is gone.
        hung = threading.Event()
        self.addCleanup(hung.set)
        listdir = os.listdir

        def waiting(path: str) -> list[str]:
            if path == self.other:
                hung.wait(60)
            return listdir(path)

        self.useFixture(fixtures.MonkeyPatch('os.listdir', waiting))
        driver = self.make_driver()

        for _ in range(5):
            self.assert_theirs(driver)

        self.assertEqual(0, driver._parts.calls.budget.abandoned)

    def test_files_of_no_folder_of_its_own_tell_nothing(self) -> None:
        self.add("<disk type='file'><source file='/volumes/one'/></disk>")

        self.assert_ours(self.make_driver())

    def test_who_knows_its_instances_has_them_all(self) -> None:
        self.add_theirs()

        self.assert_ours(self.make_driver(knows_instances=True))

    def test_an_audit_asks_nothing_of_a_guest(self) -> None:
        self.add_theirs()
        driver = self.make_driver()
        driver.get_available_resource('here')

        calls = self.calls_of(lambda: driver.get_available_resource('here'))

        self.assertNotIn('XMLDesc', calls)
