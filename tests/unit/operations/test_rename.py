# SPDX-License-Identifier: Apache-2.0

import pathlib

import libvirt

from nova_libvirt_driver import exception
from nova_libvirt_driver.guest import reach
from nova_libvirt_driver.operations import rename
from nova_libvirt_driver.storage import folder
from nova_libvirt_driver.storage import spec_record
from nova_libvirt_driver.testing import specs
from tests import guests
from tests.unit.operations import verbs


class RenameTest(verbs.VerbTestCase):

    def setUp(self) -> None:
        super().setUp()
        self.specs = spec_record.SpecRecords(
            folder.Folders(self.instances_path, lambda: None), 'here')
        self.record = pathlib.Path(
            self.instances_path, verbs.INSTANCE.uuid, 'guest.json')
        self.record.parent.mkdir()
        spec_record.write(str(self.record), specs.guest_spec('one'))

    def rename(self, name: str) -> None:
        rename.Rename(self.guests, self.exclusive, self.specs).rename(
            verbs.INSTANCE, name)

    def noted(self) -> str:
        """Return the name in the record."""
        return self.specs.read(verbs.INSTANCE).metadata.display_name

    def marks(self) -> set[str | None]:
        """Return the names in what runs and in the definition."""
        guest = self.find()
        return {reach.mark_in(guest.xml()),
                reach.mark_in(guest.xml(inactive=True))}

    def test_a_step_that_fails_leaves_the_former_name(self) -> None:
        content = self.record.read_bytes()
        for state in (libvirt.VIR_DOMAIN_RUNNING,
                      libvirt.VIR_DOMAIN_SHUTOFF):
            self.hypervisor.guests.clear()
            self.add_guest(state=state)
            with self.subTest(state=state, step='record'):
                self.record.write_text('{"version": 99}')
                self.assertRaises(
                    exception.StorageFailure, self.rename, 'web')

                self.assertEqual({'one'}, self.marks())
            with self.subTest(state=state, step='domain'):
                self.record.write_bytes(content)
                self.hypervisor.fail_next('setMetadata', guests.failure(
                    libvirt.VIR_ERR_OPERATION_FAILED, 'no room'))

                self.assertRaises(
                    exception.LibvirtFailure, self.rename, 'web')

                self.assertEqual({'one'}, self.marks())
                self.assertEqual('one', self.noted())

    def test_a_suspended_guest_is_refused(self) -> None:
        self.add_guest()
        self.find().save()

        error = self.assertRaises(
            exception.WrongState, self.rename, 'web')

        self.assertIn('resume it first', str(error))
        self.assertEqual({'one'}, self.marks())

    def test_running_guest_and_its_definition_get_the_name(self) -> None:
        self.add_guest()

        self.rename('web <1> & co')

        guest = self.find()
        for xml in (guest.xml(), guest.xml(inactive=True)):
            self.assertEqual(
                'web <1> & co', reach.mark_in(xml))
        self.assertEqual('one', guest.name)
        self.assertEqual('web <1> & co', self.noted())

    def test_stopped_guest_gets_the_name(self) -> None:
        self.add_guest(state=libvirt.VIR_DOMAIN_SHUTOFF)

        self.rename('web')

        self.assertEqual(
            ['web'],
            [row.display_name
             for row in self.reached.inventory.summaries()])

    def test_name_that_is_no_text_is_refused(self) -> None:
        self.add_guest()

        for name in ('', '  ', 'x' * 256, 'a\0b', 'a\x1bb'):
            self.assertRaises(exception.InvalidRequest, self.rename, name)

        self.assertEqual(
            'one', reach.mark_in(self.find().xml()))
