# SPDX-License-Identifier: Apache-2.0

"""Tests for the names that the privileged functions take."""

from nova_libvirt_driver.privileged import names
from tests import base

UUID = '8b0c0b9e-1d1c-4b4f-8a53-0f1a2c6f7e01'
KEY = '0123456789abcdef' * 2 + '01234567'
COPY = 'snapshots/' + '0123456789abcdef' * 2


class NamesTest(base.TestCase):

    def test_disks_of_instances_are_known_by_their_paths(self) -> None:
        for folder, name in (
                (UUID, 'disk'), (UUID, 'disk.eph0'), (UUID, 'disk.swap'),
                (UUID, 'disk.config'), (UUID, 'disk.rescue'),
                (UUID, 'disk.config.rescue'), (f'{UUID}_resize', 'disk'),
                ('_base', KEY), (COPY, 'copy'), (COPY, 'copy.qcow2')):
            self.assertEqual(
                (folder, name), names.of_disk(f'/srv/{folder}/{name}'))

    def test_nothing_else_is_the_name_of_a_disk(self) -> None:
        for folder, name in (
                ('', 'disk'), ('.', 'disk'), ('..', 'disk'), ('etc', 'shadow'),
                (UUID, 'guest.json'), (UUID, 'disk.info'), (UUID, '../disk'),
                (UUID, 'disk\n'), (f'{UUID}\n', 'disk'), (UUID, 'disk/x'),
                (f'{UUID}/..', 'disk'), (f'../{UUID}', 'disk'),
                (f'/{UUID}', 'disk'), (UUID.upper(), 'disk'),
                (UUID, 'console.log'), (UUID, 'diskk'), (UUID, 'disk.eph'),
                ('_base', f'{KEY}.json'), ('_base', '.locks'),
                ('snapshots', 'copy'), (COPY, 'copy.'), (COPY, 'disk')):
            self.assertFalse(names.is_disk(folder, name), (folder, name))

    def test_a_path_that_leads_elsewhere_is_no_disk(self) -> None:
        for path in ('/etc/shadow', f'/srv/{UUID}/../../etc/disk', '/',
                     'disk', '/srv/disk', f'/srv/{UUID}/disk/x'):
            self.assertIsNone(names.of_disk(path), path)
