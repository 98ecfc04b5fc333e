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

    def test_what_another_host_may_have_stays_and_that_is_said(self) -> None:
        found = self.leftover()
        instances = self.folder / 'instances'
        self.assertNotIn('note:', self.type('gc', '--dry-run').stderr)
        (instances / 'compute_nodes').write_text('{"two": 1.0}')

        run = self.type('gc', '--yes')

        self.assertNotIn(found, run.stdout)
        self.assertTrue((instances / found / 'disk').exists())
        self.assertIn(f'folders of servers in {instances} stay, as other '
                      'hosts may have servers there: host two has worked in '
                      'it', run.stderr)
        self.assertIn('virsh list --all --uuid', run.stderr)

    def test_a_folder_that_cannot_be_read_is_no_failure(self) -> None:
        found = self.leftover()
        file = self.folder / 'instances' / '.operations'
        file.touch()

        run = self.type('gc', '--yes')

        self.assertEqual((0, True), (
            run.code, (self.folder / 'instances' / found).exists()))
        self.assertIn(f'{file} cannot be read: Not a directory', run.stderr)
