# SPDX-License-Identifier: Apache-2.0

import libvirt

from nova_libvirt_driver import exception
from nova_libvirt_driver.guest import owner
from nova_libvirt_driver.operations import rename
from tests.unit.operations import verbs


class RenameTest(verbs.VerbTestCase):

    def setUp(self) -> None:
        super().setUp()
        self.noted: list[str] = []

    def rename(self, name: str) -> None:
        rename.Rename(
            self.guests, self.exclusive,
            lambda instance, name: self.noted.append(name)).rename(
                verbs.INSTANCE, name)

    def test_running_guest_and_its_definition_get_the_name(self) -> None:
        self.add_guest()

        self.rename('web <1> & co')

        guest = self.find()
        for xml in (guest.xml(), guest.xml(inactive=True)):
            self.assertEqual(
                owner.Mark('web <1> & co'), owner.mark_in(xml))
        self.assertEqual('one', guest.name)
        self.assertEqual(['web <1> & co'], self.noted)

    def test_stopped_guest_gets_the_name(self) -> None:
        self.add_guest(state=libvirt.VIR_DOMAIN_SHUTOFF)

        self.rename('web')

        self.assertEqual(
            ['web'],
            [entry.display_name for entry in self.guests.listing()])

    def test_name_that_is_no_text_is_refused(self) -> None:
        self.add_guest()

        for name in ('', '  ', 'x' * 256, 'a\0b', 'a\x1bb'):
            self.assertRaises(exception.InvalidRequest, self.rename, name)

        self.assertEqual(
            owner.Mark('one'), owner.mark_in(self.find().xml()))
