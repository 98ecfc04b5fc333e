# SPDX-License-Identifier: Apache-2.0

from collections.abc import Sequence
import io
import os
import signal
import stat
import subprocess
import sys
import typing

import fixtures
import pycdlib

from nova_libvirt_driver import exception
from nova_libvirt_driver.spec import configdrive as configdrive_spec
from nova_libvirt_driver.spec import policy as policy_spec
from nova_libvirt_driver.storage.configdrive import content
from nova_libvirt_driver.storage.configdrive import drive
from nova_libvirt_driver.storage import tool as tool_module
from nova_libvirt_driver.testing import specs
from tests import base

ISO = configdrive_spec.ConfigDriveFormat.ISO9660
VFAT = configdrive_spec.ConfigDriveFormat.VFAT
MIB = 1024 * 1024
TOOL = tool_module.Tool(policy_spec.StoragePolicy(instances_path='/'))
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

    def build(
            self, files: dict[str, bytes],
            kind: configdrive_spec.ConfigDriveFormat) -> None:
        drive.build(self.path, files, kind, TOOL)

    def label(self) -> bytes:
        return run('blkid', '-p', '-s', 'LABEL', '-o', 'value',
                   self.path).strip()


class IsoTest(DriveTestCase):

    def setUp(self) -> None:
        super().setUp()
        self.build(FILES, ISO)

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
        self.build({}, ISO)

        self.assertEqual({}, read_iso(self.path, 'rr'))


class VfatTest(DriveTestCase):

    def test_its_label_is_found(self) -> None:
        self.build({}, VFAT)

        self.assertEqual(b'config-2', self.label())
        self.assertEqual(64 * MIB, os.stat(self.path).st_size)

    def test_its_files_are_there(self) -> None:
        self.build(FILES, VFAT)

        os.mkdir(self.target)
        run('mcopy', '-s', '-n', '-i', self.path, '::*', self.target)
        self.assertEqual(FILES, tree(self.target))
        run('fsck.vfat', '-n', self.path)

    def test_what_is_said_to_fit_fits(self) -> None:
        large = {'a/large': bytes(62 * MIB), **{
            f'b/{index:064}': b'x' for index in range(200)}}

        self.build(large, VFAT)

        self.assertIn(
            b'large', run('mdir', '-b', '-i', self.path, '::/a'))

    def test_what_does_not_fit_is_refused_at_once(self) -> None:
        error = self.assertRaises(
            exception.InvalidRequest, self.build,
            {'large': bytes(64 * MIB - 4096)}, VFAT)

        self.assertIn('iso9660', str(error))
        self.assertEqual([], os.listdir(self.folder))

    def test_a_tool_that_fails_leaves_nothing(self) -> None:
        for good_calls in (0, 1):
            self.assertRaises(
                exception.StorageFailure, drive.build, self.path, FILES,
                VFAT, FailingTool(good_calls))

            self.assertEqual([], os.listdir(self.folder))

    def test_the_copy_beside_it_is_for_nobody_else(self) -> None:
        tool = FailingTool(1)

        self.assertRaises(
            exception.StorageFailure, drive.build, self.path, FILES, VFAT,
            tool)

        self.assertEqual([0o700], tool.modes)


class FailingTool(tool_module.Tool):
    """Fails after some good calls, and remembers the folder it was given."""

    def __init__(self, good_calls: int) -> None:
        super().__init__(policy_spec.StoragePolicy(instances_path='/'))
        self.modes: list[int] = []
        self._good_calls = good_calls

    def run(
            self, argv: Sequence[str], **options: typing.Any) -> str:
        if self._good_calls:
            self._good_calls -= 1
            return super().run(argv, **options)
        if argv[0] == 'mcopy':
            folder = os.path.dirname(argv[-2])
            self.modes.append(stat.S_IMODE(os.stat(folder).st_mode))
        raise exception.StorageFailure(reason='it failed')


class BuildTest(DriveTestCase):

    def test_nothing_but_a_closed_file_is_left(self) -> None:
        for kind in (ISO, VFAT):
            self.build(FILES, kind)

            self.assertEqual(['disk.config'], os.listdir(self.folder))
            self.assertEqual(
                0o640, stat.S_IMODE(os.stat(self.path).st_mode))

    def test_what_a_killed_process_left_is_removed(self) -> None:
        code = ('import os, signal, sys\n'
                'from nova_libvirt_driver.storage.configdrive import drive\n'
                'class Tool:\n'
                '    def run(self, argv, **options):\n'
                '        if argv[0] == "mcopy":\n'
                '            os.kill(os.getpid(), signal.SIGKILL)\n'
                'drive.build(sys.argv[1], {"a/b": b"secret"}, "vfat",\n'
                '            Tool())\n')
        ended = subprocess.run(
            [sys.executable, '-c', code, self.path], check=False)
        self.assertEqual(-signal.SIGKILL, ended.returncode)
        self.assertEqual(2, len(os.listdir(self.folder)))

        self.build(FILES, ISO)

        self.assertEqual(['disk.config'], os.listdir(self.folder))

    def test_paths_are_looked_at_here_too(self) -> None:
        for kind in (ISO, VFAT):
            self.assertRaises(
                exception.InvalidRequest, self.build,
                {'../escape': b''}, kind)

        self.assertEqual([], os.listdir(self.folder))
        self.assertNotIn('escape', os.listdir(os.path.dirname(self.folder)))

    def test_a_drive_that_cannot_be_written_leaves_the_old_one(self) -> None:
        self.build({'old': b'old'}, ISO)

        # A process of its own: the limit would hold for the test suite.
        code = ('import sys, resource, signal\n'
                'from nova_libvirt_driver import exception\n'
                'from nova_libvirt_driver.storage.configdrive import drive\n'
                'from nova_libvirt_driver.spec import policy\n'
                'from nova_libvirt_driver.storage import tool\n'
                'signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n'
                'resource.setrlimit(resource.RLIMIT_FSIZE, (65536, 65536))\n'
                'tool = tool.Tool(policy.StoragePolicy(instances_path="/"))\n'
                'try:\n'
                '    drive.build(sys.argv[1], {"new": bytes(99999)},\n'
                '                sys.argv[2], tool)\n'
                'except exception.StorageFailure as error:\n'
                '    print(error)\n')
        for kind in (ISO, VFAT):
            said = run(sys.executable, '-c', code, self.path, kind.value)

            self.assertIn(b'File too large', said)
            self.assertEqual(['disk.config'], os.listdir(self.folder))
        self.assertEqual({'old': b'old'}, read_iso(self.path, 'rr'))
