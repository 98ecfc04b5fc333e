# SPDX-License-Identifier: Apache-2.0

import json
import os
import pathlib
import subprocess

import fixtures

from nova_libvirt_driver import exception
from nova_libvirt_driver.storage import image_users
from tests import base

UUID = '00000000-0000-0000-0000-0000000000a1'
KEY = 'a' * 40
OTHER = 'b' * 40
MIB = 1 << 20


class ImageUsersTest(base.TestCase):

    def setUp(self) -> None:
        super().setUp()
        self.root = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        self.instances = self.root / 'instances'
        self.cache = self.instances / '_base'
        self.elsewhere = self.root / 'elsewhere'
        for folder in (self.cache, self.elsewhere, self.instances / UUID):
            folder.mkdir(parents=True)
        self.image = self.cache / KEY
        self.image.write_bytes(bytes(MIB))

    def overlay(
            self, path: pathlib.Path, backing: str = '',
            backing_format: str = 'raw') -> pathlib.Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        subprocess.check_call(
            ['qemu-img', 'create', '-q', '-u', '-f', 'qcow2', '-F',
             backing_format, '-b', backing or str(self.image), str(path),
             '1M'])
        return path

    def found(self) -> set[str]:
        return image_users.below(str(self.instances), str(self.cache))

    def test_disks_by_their_place_below_the_instances(self) -> None:
        for name in (
                f'{UUID}/disk', f'{UUID}/disk.rescue', f'{UUID}/disk.local',
                f'{UUID}/disk.eph0', f'{UUID}_resize/disk', f'{UUID}_del/disk',
                f'{UUID}/disk.snap1', 'snapshots/tmpx1y2/copy.delta',
                'a folder of another name/disk', 'a disk of its own'):
            with self.subTest(name=name):
                path = self.overlay(self.instances / name)

                self.assertEqual({KEY}, self.found())
                path.unlink()

    def test_disks_and_folders_that_are_links(self) -> None:
        disk = self.overlay(self.elsewhere / 'disk')
        folder = self.overlay(self.elsewhere / 'folder' / 'disk').parent
        for name, target in ((f'{UUID}/disk', disk), (f'{UUID}2', folder)):
            with self.subTest(name=name):
                link = self.instances / name
                link.symlink_to(target)

                self.assertEqual({KEY}, self.found())
                link.unlink()

    def test_ways_to_name_an_image(self) -> None:
        (self.elsewhere / 'link').symlink_to(self.image)
        (self.elsewhere / 'dir').symlink_to(self.cache)
        for name in (
                f'../_base/{KEY}', str(self.elsewhere / 'link'),
                str(self.elsewhere / 'dir' / KEY), f'file:{self.image}',
                f'/mounted/elsewhere/_base/{KEY}', f'{self.image}_20',
                'json:' + json.dumps({
                    'driver': 'raw', 'file': {
                        'driver': 'file', 'filename': str(self.image)}})):
            with self.subTest(name=name):
                self.overlay(self.instances / UUID / 'disk', name)

                self.assertEqual({KEY}, self.found())

    def test_overlays_over_overlays(self) -> None:
        lower = self.overlay(self.elsewhere / 'lower')
        middle = self.overlay(
            self.elsewhere / 'middle', 'lower', 'qcow2')
        self.overlay(self.instances / UUID / 'disk', str(middle), 'qcow2')

        self.assertEqual({KEY}, self.found())

        lower.unlink()
        self.assertEqual(set(), self.found())

    def test_an_overlay_over_itself_is_no_endless_matter(self) -> None:
        disk = self.overlay(self.instances / UUID / 'disk', 'disk', 'qcow2')

        self.assertEqual(set(), image_users.of_disks([str(disk)]))

    def test_what_is_no_disk_counts_as_none(self) -> None:
        folder = self.instances / UUID
        (folder / 'console.log').write_text(KEY)
        os.mkfifo(folder / 'pipe')
        (folder / 'disk').write_bytes(bytes(MIB))
        self.overlay(self.cache / OTHER)

        self.assertEqual(set(), self.found())

    def test_a_link_that_leads_nowhere_may_be_any_disk(self) -> None:
        link = self.instances / UUID / 'disk'
        link.symlink_to(self.root / 'not mounted' / 'disk')

        error = self.assertRaises(exception.StorageFailure, self.found)

        self.assertIn(str(link), str(error))

    def test_disks_of_domains_may_be_anywhere(self) -> None:
        disk = self.overlay(self.elsewhere / 'disk')

        self.assertEqual({KEY}, image_users.of_disks(
            ['/no/such/disk', 'export-name', str(disk)]))
