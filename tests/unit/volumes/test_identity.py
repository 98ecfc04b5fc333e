# SPDX-License-Identifier: Apache-2.0

import os
import pathlib

import fixtures

from nova_libvirt_driver import exception
from nova_libvirt_driver.volumes import connection as connection_module
from nova_libvirt_driver.volumes import identity
from nova_libvirt_driver.volumes import records
from tests import base
from tests.unit.volumes import test_disk

NAA = '6001405f4a5b6c7d8e9f0a1b2c3d4e5f'
OTHER_NAA = '6001405000000000000000000000beef'


def page_83(*designators: tuple[int, int, int, bytes]) -> bytes:
    """Return a page of designators: code set, association, type, value."""
    body = b''.join(
        bytes((code_set, association << 4 | kind, 0, len(value))) + value
        for code_set, association, kind, value in designators)
    return b'\0\x83' + len(body).to_bytes(2, 'big') + body


def scsi(naa: str = NAA) -> bytes:
    return page_83(
        (2, 0, 1, b'LIO-ORG volume'), (1, 1, 3, b'\x51' * 8),
        (1, 0, 3, bytes.fromhex(naa)))


class ReadTest(base.TestCase):

    def setUp(self) -> None:
        super().setUp()
        self.folder = pathlib.Path(self.useFixture(fixtures.TempDir()).path)

    def device(self, name: str, **files: bytes) -> str:
        """Make the folder of a device; two underscores are a slash."""
        for file, content in {'size': b'2048\n', **files}.items():
            path = self.folder / name / file.replace('__', '/')
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        return os.fspath(self.folder / name)

    def test_a_scsi_device(self) -> None:
        found = identity.read(self.device(
            'sdb', device__vpd_pg83=scsi(),
            device__vpd_pg80=b'\0\x80\0\x06 1234\0'))

        self.assertEqual(identity.Identity(
            wwn=f'3{NAA}', serial='1234', size_bytes=1 << 20), found)

    def test_one_that_the_host_decrypts_is_what_is_below(self) -> None:
        below = self.device('sdb', device__vpd_pg83=scsi())
        above = self.device('dm-1', dm__uuid=b'CRYPT-LUKS2-1234-crypt-x',
                            size=b'1024\n')
        os.mkdir(f'{above}/slaves')
        os.symlink(below, f'{above}/slaves/sdb')

        self.assertEqual(identity.read(below), identity.read(above))

    def test_whether_a_volume_has_a_device(self) -> None:
        self.device('sda')
        self.device('sdb', device__vpd_pg83=scsi())

        self.assertEqual([True, False], [
            identity.is_there(f'3{naa}', str(self.folder))
            for naa in (NAA, OTHER_NAA)])

    def test_by_which_numbers_the_kernel_has_a_volume(self) -> None:
        self.device('sda')
        for name, number in (('sdb', 1), ('sdc', 20)):
            device = self.folder / f'2:0:0:{number}'
            device.mkdir()
            (device / 'vpd_pg83').write_bytes(scsi())
            (self.folder / name).mkdir()
            os.symlink(device, self.folder / name / 'device')

        self.assertEqual([{'1', '20'}, set()], [
            identity.luns(f'3{naa}', str(self.folder))
            for naa in (NAA, OTHER_NAA)])

    def test_the_best_of_several_names_is_taken(self) -> None:
        for page, wwn in (
                (page_83((1, 0, 2, b'\x01' * 8)), '2' + '01' * 8),
                (page_83((2, 0, 1, b'ACME disk\0')), '1ACME disk'),
                (page_83((3, 0, 8, b'iqn.x\0\0')), '8iqn.x'),
                (page_83((1, 2, 3, b'\x01' * 8)), ''),
                (b'', '')):
            found = identity.read(self.device(
                f'sd{len(page)}', device__vpd_pg83=page))

            self.assertEqual(wwn, found.wwn)

    def test_a_namespace_of_nvme(self) -> None:
        found = identity.read(self.device(
            'nvme0n1', wwid=b'eui.0011\n', nguid=b'00AA-BB\n',
            uuid=b'1-2-3\n'))

        self.assertEqual(('eui.0011', frozenset(('00aabb', '123'))),
                         (found.wwn, found.others))

    def test_a_multipath_device_names_its_paths(self) -> None:
        for name, naa in (('sdb', NAA), ('sdc', OTHER_NAA)):
            self.device(f'dm-0/slaves/{name}', device__vpd_pg83=scsi(naa))

        found = identity.read(self.device(
            'dm-0', dm__uuid=f'mpath-3{NAA}\n'.encode()))

        self.assertEqual((f'3{NAA}', (f'3{NAA}', f'3{OTHER_NAA}')),
                         (found.wwn, found.paths))

    def test_one_that_says_nothing(self) -> None:
        self.assertEqual(identity.Identity(), identity.read('/nowhere'))


class AskTest(base.TestCase):

    def test_what_is_at_the_path(self) -> None:
        folder = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        (folder / 'file').write_bytes(b'1234')
        for path, size in ((folder / 'file', 4), (folder / 'none', None),
                           (folder, None), ('/dev/null', None)):
            connection = connection_module.read(
                test_disk.info(device_path=str(path)))
            if size is None:
                error = self.assertRaises(
                    exception.VolumeFailure, identity.ask, connection)
                self.assertIn(test_disk.VOLUME, str(error))
            else:
                self.assertEqual(size, identity.ask(connection).size_bytes)


class CheckTest(base.TestCase):

    def check(
            self, wwn: str = 'a', size_bytes: int = 100,
            answered: str = '', last: records.Record | None = None,
            others: tuple[records.Record, ...] = (), at_least: int = 0,
            named: str | None = None, paths: tuple[str, ...] = ()) -> None:
        identity.check(
            connection_module.read(test_disk.info(volume_nguid=named)),
            identity.Identity(wwn=wwn, size_bytes=size_bytes, paths=paths,
                              others=frozenset(('nguid', 'uuid'))),
            answered_wwn=answered, last=last, others=others,
            at_least_bytes=at_least)

    def record(
            self, wwn: str = 'a', size_bytes: int = 100,
            **data: str) -> records.Record:
        return records.Record(
            volume_id=test_disk.VOLUME, wwn=wwn, size_bytes=size_bytes,
            place=records.place(connection_module.read(
                test_disk.info(**data))))

    def test_the_right_device(self) -> None:
        self.check(answered='a', last=self.record(), at_least=100,
                   others=(records.Record(volume_id='other', wwn='b'),),
                   named='NGU-ID', paths=('a', 'a'))
        self.check(wwn='', answered='a', at_least=200)

    def test_a_volume_that_has_moved_has_another_device(self) -> None:
        self.check(wwn='b', size_bytes=50, last=self.record(
            target_portal='192.0.2.1'))

    def test_where_it_is_does_not_depend_on_secrets_and_limits(self) -> None:
        self.assertEqual(self.record().place, self.record(
            auth_password='x', device_path='/dev/sdz',
            access_mode='ro').place)

    def test_a_device_that_is_not_it(self) -> None:
        other = records.Record(volume_id=test_disk.OLD, wwn='a')
        for reason, wrong in (
                ('answers with b', {'answered': 'b'}),
                ('answers with c', {'paths': ('a', 'c')}),
                (test_disk.OLD, {'others': (other,)}),
                ('it was b last time', {'last': self.record('b')}),
                ('it had 200 bytes', {'last': self.record('a', 200)}),
                ('the volume 101', {'at_least': 101}),
                ('not another', {'named': 'another'})):
            error = self.assertRaises(
                exception.VolumeFailure, self.check, **wrong)

            self.assertIn(reason, str(error))
            self.assertIn('/dev/sdb', str(error))
            self.assertIn('stale', error.next_step)
