# SPDX-License-Identifier: Apache-2.0

"""What belongs to nothing, and what only seems to."""

import uuid

from tests.unit.cli import base


class GcTest(base.ServerTestCase):

    def leftover(self) -> str:
        """Make the folder of an instance that has no domain."""
        found = str(uuid.uuid4())
        folder = self.folder / 'instances' / found
        folder.mkdir(parents=True)
        (folder / 'disk').touch()
        return found

    def test_a_folder_without_a_domain_is_found(self) -> None:
        found = self.leftover()

        row, = self.answer('gc', '--dry-run')

        self.assertEqual('instance', row['Kind'])
        self.assertIn(found, str(row))

    def test_a_hypervisor_that_knows_no_guests_condemns_none(self) -> None:
        found = self.leftover()
        # As where QEMU is not found.
        self.driver.hypervisor_uri = 'test:///default'

        self.assertEqual([], self.answer('gc', '--yes'))

        self.assertTrue((self.folder / 'instances' / found).exists())
