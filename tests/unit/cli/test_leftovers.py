# SPDX-License-Identifier: Apache-2.0

"""Damaged images and files of no guest are found, and nothing else is."""

import os
import pathlib

import fixtures

from nova_libvirt_driver.cli import leftovers
from nova_libvirt_driver.images import local as local_images
from tests import base
from tests import owners

UUID = '8b0c0b9e-1d1c-4b4f-8a53-0f1a2c6f7e0{}'


class ImageTest(base.TestCase):

    def setUp(self) -> None:
        super().setUp()
        self.path = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        self.images = local_images.LocalImages(str(self.path / 'images'))
        disk = self.path / 'disk.raw'
        disk.write_bytes(b'x' * 510 + b'\x55\xaa')
        self.ids = [self.images.add(
            str(disk), name=name, disk_format='raw').id
            for name in ('one', 'two', 'three')]

    def found(self) -> dict[str, str]:
        return {one.id: one.reason for one in leftovers.of_images(
            str(self.path / 'images'))}

    def test_sound_ones_are_left_alone(self) -> None:
        self.assertEqual({}, self.found())

    def test_each_kind_of_damage_is_found(self) -> None:
        folder = self.path / 'images'
        (folder / f'{self.ids[0]}.json').write_text('{"id": ')
        (folder / f'{self.ids[1]}.data').unlink()
        (folder / f'{UUID.format(1)}.data.part').write_bytes(b'half')

        found = self.found()

        self.assertEqual({*self.ids[:2], ''}, set(found))
        self.assertIn('not JSON', found[self.ids[0]])
        self.assertIn('it has no bytes', found[self.ids[1]])


class InstanceTest(base.TestCase):

    def setUp(self) -> None:
        super().setUp()
        self.path = os.path.realpath(
            self.useFixture(fixtures.TempDir()).path)
        for number in range(4):
            os.mkdir(os.path.join(self.path, UUID.format(number)))
        for name in ('_base', 'snapshots', f'{UUID.format(5)}_resize'):
            os.mkdir(os.path.join(self.path, name))

    def found(self, *domains: str) -> list[str]:
        return [one.id for one in leftovers.of_instances(
            self.path, owners.HERE.host, domains)]

    def test_only_those_without_a_domain_are_found(self) -> None:
        self.assertEqual(
            [UUID.format(2), UUID.format(3)],
            self.found(UUID.format(0), UUID.format(1)))

    def test_one_of_an_operation_is_left_out(self) -> None:
        entry = owners.journal(self.path).begin(
            'spawn', uuid=UUID.format(2), name='web1')
        self.addCleanup(entry.release)

        self.assertNotIn(UUID.format(2), self.found())

    def test_one_with_an_open_file_is_left_out(self) -> None:
        path = os.path.join(self.path, UUID.format(3), 'disk')
        with open(path, 'wb'):
            self.assertNotIn(UUID.format(3), self.found())

        self.assertIn(UUID.format(3), self.found())

    def test_there_need_not_be_a_folder(self) -> None:
        self.assertEqual([], list(leftovers.of_instances(
            f'{self.path}/none', 'here', ())))
