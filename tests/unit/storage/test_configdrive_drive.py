# SPDX-License-Identifier: Apache-2.0

import errno
import io
import os
import stat
import subprocess
import sys
import typing

import fixtures
import pycdlib

from nova_libvirt_driver import exception
from nova_libvirt_driver.spec import configdrive as configdrive_spec
from nova_libvirt_driver.storage.configdrive import content
from nova_libvirt_driver.storage.configdrive import drive
from nova_libvirt_driver.testing import specs
from tests import base

ISO = configdrive_spec.ConfigDriveFormat.ISO9660
VFAT = configdrive_spec.ConfigDriveFormat.VFAT
MIB = 1024 * 1024
FILES = {
    **content.files(specs.guest_spec('one'), random_seed=b'seed'),
    'openstack/content/0000': b'\xff\0' * 40000,
    'openstack/content/0001': b'',
    'A_name.of-its-own' + 'x' * 40: b'top',
    'a/b/c/d/e/f/g/h': b'deep',
}


def run(*command: str) -> bytes:
    environment = {**os.environ, 'MTOOLSRC': os.devnull, 'LC_ALL': 'C',
                   'PATH': f'{os.environ["PATH"]}:/usr/sbin:/sbin'}
    return subprocess.run(
        command, env=environment, check=True, capture_output=True).stdout


def tree(folder: str) -> dict[str, bytes]:
    """Return the files below a folder."""
    found = {}
    for parent, _, names in os.walk(folder):
        for name in names:
            path = os.path.join(parent, name)
            with open(path, 'rb') as file:
                found[os.path.relpath(path, folder)] = file.read()
    return found


def read_iso(path: str, facade: str) -> dict[str, bytes]:
    """Return the files that one of the name spaces of an image shows."""
    image = pycdlib.PyCdlib()
    image.open(path)
    found = {}
    for parent, _, names in image.walk(**{f'{facade}_path': '/'}):
        for name in names:
            file = io.BytesIO()
            place = f'{parent.rstrip("/")}/{name}'
            image.get_file_from_iso_fp(file, **{f'{facade}_path': place})
            found[place.lstrip('/')] = file.getvalue()
    image.close()
    return found


class DriveTestCase(base.TestCase):

    def setUp(self) -> None:
        super().setUp()
        self.folder = self.useFixture(fixtures.TempDir()).path
        self.path = os.path.join(self.folder, 'disk.config')
        self.target = self.useFixture(fixtures.TempDir()).join('files')

    def label(self) -> bytes:
        return run('blkid', '-p', '-s', 'LABEL', '-o', 'value',
                   self.path).strip()


class IsoTest(DriveTestCase):

    def setUp(self) -> None:
        super().setUp()
        drive.build(self.path, FILES, ISO)

    def test_its_label_is_found(self) -> None:
        self.assertEqual(b'config-2', self.label())

    def test_both_kinds_of_names_lead_to_the_files(self) -> None:
        self.assertEqual(FILES, read_iso(self.path, 'rr'))
        self.assertEqual(FILES, read_iso(self.path, 'joliet'))

    def test_another_reader_finds_the_same(self) -> None:
        for names in ('any', 'norock'):
            target = f'{self.target}-{names}'
            run('xorriso', '-read_fs', names, '-osirrox', 'on:auto_chmod_on',
                '-indev', self.path, '-extract', '/', target)
            self.assertEqual(FILES, tree(target))

    def test_a_drive_may_hold_nothing(self) -> None:
        drive.build(self.path, {}, ISO)

        self.assertEqual({}, read_iso(self.path, 'rr'))


class VfatTest(DriveTestCase):

    def test_its_label_is_found(self) -> None:
        drive.build(self.path, {}, VFAT)

        self.assertEqual(b'config-2', self.label())
        self.assertEqual(64 * MIB, os.stat(self.path).st_size)

    def test_its_files_are_there(self) -> None:
        drive.build(self.path, FILES, VFAT)

        os.mkdir(self.target)
        run('mcopy', '-s', '-n', '-i', self.path, '::*', self.target)
        self.assertEqual(FILES, tree(self.target))
        run('fsck.vfat', '-n', self.path)

    def test_what_is_said_to_fit_fits(self) -> None:
        large = {'a/large': bytes(62 * MIB), **{
            f'b/{index:064}': b'x' for index in range(200)}}

        drive.build(self.path, large, VFAT)

        self.assertIn(
            b'large', run('mdir', '-b', '-i', self.path, '::/a'))

    def test_what_does_not_fit_is_refused_at_once(self) -> None:
        error = self.assertRaises(
            exception.InvalidRequest, drive.build, self.path,
            {'large': bytes(64 * MIB - 4096)}, VFAT)

        self.assertIn('iso9660', str(error))
        self.assertEqual([], os.listdir(self.folder))

    def test_a_missing_tool_is_named(self) -> None:
        self.useFixture(fixtures.EnvironmentVariable('PATH', '/nowhere'))
        self.useFixture(fixtures.MonkeyPatch(
            'subprocess.run', _no_such_program))

        error = self.assertRaises(
            exception.StorageFailure, drive.build, self.path, FILES, VFAT)

        self.assertIn('dosfstools', str(error))
        self.assertEqual([], os.listdir(self.folder))


def _no_such_program(*_: typing.Any, **__: typing.Any) -> typing.NoReturn:
    raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))


class BuildTest(DriveTestCase):

    def test_nothing_but_a_closed_file_is_left(self) -> None:
        for kind in (ISO, VFAT):
            drive.build(self.path, FILES, kind)

            self.assertEqual(['disk.config'], os.listdir(self.folder))
            self.assertEqual(
                0o640, stat.S_IMODE(os.stat(self.path).st_mode))

    def test_paths_are_looked_at_here_too(self) -> None:
        for kind in (ISO, VFAT):
            self.assertRaises(
                exception.InvalidRequest, drive.build, self.path,
                {'../escape': b''}, kind)

        self.assertEqual([], os.listdir(self.folder))
        self.assertNotIn('escape', os.listdir(os.path.dirname(self.folder)))

    def test_a_drive_that_cannot_be_written_leaves_the_old_one(self) -> None:
        drive.build(self.path, {'old': b'old'}, ISO)

        # A process of its own: the limit would hold for the test suite.
        code = ('import sys, resource, signal\n'
                'from nova_libvirt_driver import exception\n'
                'from nova_libvirt_driver.storage.configdrive import drive\n'
                'signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n'
                'resource.setrlimit(resource.RLIMIT_FSIZE, (65536, 65536))\n'
                'try:\n'
                '    drive.build(sys.argv[1], {"new": bytes(99999)},\n'
                '                sys.argv[2])\n'
                'except exception.StorageFailure as error:\n'
                '    print(error)\n')
        for kind in (ISO, VFAT):
            said = run(sys.executable, '-c', code, self.path, kind.value)

            self.assertIn(b'File too large', said)
            self.assertEqual(['disk.config'], os.listdir(self.folder))
        self.assertEqual({'old': b'old'}, read_iso(self.path, 'rr'))
