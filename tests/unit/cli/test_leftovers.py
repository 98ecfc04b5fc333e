# SPDX-License-Identifier: Apache-2.0

"""Damaged images and files of no guest are found, and nothing else is."""

import dataclasses
import json
import os
import pathlib
import time

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
            self.path, owners.HERE.host, domains)[0]]

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
        self.assertEqual(([], ''), leftovers.of_instances(
            f'{self.path}/none', 'here', ()))


class SharedTest(base.TestCase):
    """Other hosts may have a folder of instances."""

    def setUp(self) -> None:
        super().setUp()
        root = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        self.root = root.resolve()
        self.path = self.root / 'on disk'
        self.path.mkdir()
        self.mounts, self.exports = self.root / 'mounts', self.root / 'etab'
        self.mount('ext4')

    def mount(self, kind: str) -> None:
        self.mounts.write_text(
            '1 0 0:1 / / rw - ext4 /dev/sda rw\n2 1 0:2 / {} rw shared:1 - '
            '{} some rw\n'.format(str(self.path).replace(' ', '\\040'), kind))

    def reason(self) -> str:
        return leftovers.shared_by(
            str(self.path), 'h/1', mounts=str(self.mounts),
            exports=str(self.exports))

    def test_one_of_this_host_alone(self) -> None:
        self.assertEqual('', self.reason())
        self.exports.write_text(f'# {self.path}\n{self.root}/on *(rw)\n\n')
        (self.path / 'compute_nodes').write_text('{"h/1": 1.0}')
        owner = dataclasses.replace(owners.HERE, host='h/1')
        owners.journal(str(self.path), owner).begin(
            'spawn', uuid=UUID.format(1), name='one').release()
        (self.path / '.operations' / f'{"a" * 32}.json').touch()

        self.assertEqual('', self.reason())

    def test_a_file_system_that_several_hosts_may_have(self) -> None:
        for kind in ('nfs4', 'ceph', 'gfs2', 'fuse.glusterfs', '9p'):
            self.mount(kind)

            self.assertEqual(f'its file system is {kind}', self.reason())

    def test_one_that_this_host_exports(self) -> None:
        for path in (self.root, self.path, self.path / 'below'):
            escaped = str(path).replace(' ', '\\040')
            self.exports.write_text(
                f'/other\t*(ro)\n{escaped}\t192.0.2.0/24(rw,sync)\n')

            self.assertEqual(
                f'this host exports {path} by NFS', self.reason())

    def test_one_in_which_another_host_has_worked(self) -> None:
        nova = self.path / 'compute_nodes'
        moment = time.time() - 3 * 86400
        nova.write_text(json.dumps({'h/1': moment, 'h/2': moment}))
        self.assertEqual(
            f'host h/2 has worked in it, as {nova} says, last 3 d ago (if '
            'that host is gone, remove its name there)', self.reason())

        for damaged in ('{"h/1": 1', '5'):
            nova.write_text(damaged)
            self.assertEqual('', self.reason())
        for name in ('b%2F1.json', 'b%2F1.json.new', 'b%2F1.lock'):
            file = self.path / '.operations' / f'{UUID.format(1)}@{name}'
            file.parent.mkdir(exist_ok=True)
            file.touch()
            os.utime(file, (moment, moment))
            self.assertEqual(
                f'host b/1 has worked in it, as {file} says, 3 d ago (if '
                'that host is gone, remove that file)', self.reason())
            file.unlink()

    def test_what_cannot_be_read_may_say_so(self) -> None:
        # As without the right to, which root has.
        for file in (self.exports, self.path / 'compute_nodes'):
            file.mkdir()
            self.assertEqual(
                f'{file} cannot be read: Is a directory', self.reason())
            file.rmdir()
        self.assertEqual('', self.reason())
        folder = self.path / '.operations'
        folder.touch()
        self.assertEqual(
            f'{folder} cannot be read: Not a directory', self.reason())
