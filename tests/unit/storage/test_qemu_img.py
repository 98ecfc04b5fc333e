# SPDX-License-Identifier: Apache-2.0

import json
import os
import pathlib
import stat
import subprocess
import typing

import fixtures

from nova_libvirt_driver import exception
from nova_libvirt_driver import ports
from nova_libvirt_driver.spec import policy as policy_spec
from nova_libvirt_driver.storage import qemu_img as qemu_img_module
from nova_libvirt_driver.storage import tool as tool_module
from nova_libvirt_driver.testing import fake_progress
from tests import base

MIB = 1024 * 1024


def seen(path: str, format: str) -> dict[str, typing.Any]:
    """Return what the tool itself says of a file."""
    found = json.loads(subprocess.check_output(
        ['qemu-img', 'info', '-f', format, '--output=json', path]))
    assert isinstance(found, dict)
    return found


class RecordingTool(tool_module.Tool):
    """Keeps the command lines."""

    def __init__(self, policy: policy_spec.StoragePolicy) -> None:
        super().__init__(policy)
        self.lines: list[list[str]] = []

    def run(self, argv: typing.Any, **options: typing.Any) -> str:
        self.lines.append(list(argv))
        return super().run(argv, **options)


class QemuImgTest(base.TestCase):

    def setUp(self) -> None:
        super().setUp()
        self.folder = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        policy = policy_spec.StoragePolicy(instances_path=str(self.folder))
        self.tool = RecordingTool(policy)
        self.qemu_img = qemu_img_module.QemuImg(self.tool, policy)
        self.base = self._path('base')
        pathlib.Path(self.base).write_bytes(b'base' * (MIB // 4))

    def _path(self, name: str) -> str:
        return str(self.folder / name)

    def test_empty_disks_have_their_size_and_take_no_room(self) -> None:
        for format in ('raw', 'qcow2'):
            path = self._path(format)

            self.qemu_img.create(path, format, 10 * MIB)

            self.assertEqual(10 * MIB, seen(path, format)['virtual-size'])
            self.assertEqual(
                10 * MIB,
                self.qemu_img.virtual_size_bytes(path, format))
            self.assertLess(os.stat(path).st_blocks * 512, MIB)

    def test_an_overlay_names_its_base_with_its_format(self) -> None:
        path = self._path('disk')

        self.qemu_img.create_overlay(path, self.base, 'raw', 3 * MIB)

        found = seen(path, 'qcow2')
        self.assertEqual((self.base, 'raw', 3 * MIB), (
            found['backing-filename'], found['backing-filename-format'],
            found['virtual-size']))

    def test_looking_at_disks_takes_no_program(self) -> None:
        self.qemu_img.create(self._path('disk'), 'qcow2', MIB)
        del self.tool.lines[:]

        self.qemu_img.virtual_size_bytes(self._path('disk'), 'qcow2')
        self.qemu_img.virtual_size_bytes(self.base, 'raw')

        self.assertEqual([], self.tool.lines)

    def test_converting_tells_how_far_it_is(self) -> None:
        told = fake_progress.RecordingProgress()

        self.qemu_img.convert(self.base, 'raw', self._path('copy'), 'qcow2',
                              progress=told)
        self.qemu_img.convert(self._path('copy'), 'qcow2',
                              self._path('again'), 'raw', progress=told)

        self.assertEqual((MIB, MIB), told.advances[-1])
        self.assertEqual(pathlib.Path(self.base).read_bytes(),
                         pathlib.Path(self._path('again')).read_bytes())

    def test_a_compressed_copy_is_smaller(self) -> None:
        for name, compress in (('large', False), ('small', True)):
            self.qemu_img.convert(
                self.base, 'raw', self._path(name), 'qcow2',
                compress=compress, progress=ports.NullProgress())

        self.assertLess(os.stat(self._path('small')).st_size,
                        os.stat(self._path('large')).st_size)

    def test_a_disk_is_copied_with_what_it_is_based_on(self) -> None:
        self.qemu_img.create_overlay(
            self._path('disk'), self.base, 'raw', 2 * MIB)

        self.qemu_img.flatten(self._path('disk'), 'qcow2', self._path('copy'),
                              'raw', progress=ports.NullProgress())

        self.assertEqual(
            pathlib.Path(self.base).read_bytes().ljust(2 * MIB, b'\0'),
            pathlib.Path(self._path('copy')).read_bytes())

    def _overlay_without_a_format(self, disk: str) -> None:
        """Make a disk that does not say the format of its base."""
        self.qemu_img.create_overlay(disk, self.base, 'raw', MIB)
        content = bytearray(pathlib.Path(disk).read_bytes())
        # The extension with the format becomes the end of all of them.
        content[112:116] = bytes(4)
        pathlib.Path(disk).write_bytes(content)

    def test_a_disk_that_does_not_say_the_format_of_its_base(self) -> None:
        disk = self._path('disk')
        self._overlay_without_a_format(disk)

        self.qemu_img.flatten(disk, 'qcow2', self._path('copy'), 'raw',
                              progress=ports.NullProgress())

        self.assertEqual(pathlib.Path(self.base).read_bytes(),
                         pathlib.Path(self._path('copy')).read_bytes())

    def test_the_parent_of_an_image_is_not_read(self) -> None:
        # Without a sandbox: it is not what stands in the way here.
        policy = policy_spec.StoragePolicy(
            instances_path=str(self.folder),
            tool_sandbox=policy_spec.ToolSandbox.OFF)
        qemu_img = qemu_img_module.QemuImg(tool_module.Tool(policy), policy)
        for format in ('qcow2', 'vmdk'):
            below, image = self._path(f'below.{format}'), self._path(format)
            subprocess.check_call(['qemu-img', 'convert', '-f', 'raw', '-O',
                                   format, self.base, below])
            subprocess.check_call(
                ['qemu-img', 'create', '-q', '-f', format, '-b', below, '-F',
                 format, image])

            qemu_img.convert(image, format, self._path(f'{format}.copy'),
                             'raw', progress=ports.NullProgress())

            self.assertEqual(
                bytes(MIB),
                pathlib.Path(self._path(f'{format}.copy')).read_bytes())
            self.assertEqual(
                below, qemu_img.examine(image, format)['backing-filename'])

    def test_other_formats_can_be_made_and_read(self) -> None:
        for format in ('vmdk', 'vdi', 'vhdx'):
            path = self._path(format)
            self.qemu_img.convert(self.base, 'raw', path, format,
                                  progress=ports.NullProgress())

            self.assertEqual(
                MIB, self.qemu_img.virtual_size_bytes(path, format))

    def test_disks_grow_and_do_not_shrink(self) -> None:
        path = self._path('disk')
        for format in ('raw', 'qcow2'):
            self.qemu_img.create(path, format, MIB)
            self.qemu_img.resize(path, format, 2 * MIB)

            self.assertRaises(exception.StorageFailure,
                              self.qemu_img.resize, path, format, MIB)

            self.assertEqual(
                2 * MIB, self.qemu_img.virtual_size_bytes(path, format))
            os.unlink(path)

    def test_a_header_on_a_raw_disk_is_only_bytes(self) -> None:
        self.qemu_img.create_overlay(
            self._path('evil'), self.base, 'raw', 10 * MIB)
        disk = self._path('disk')
        pathlib.Path(disk).write_bytes(
            pathlib.Path(self._path('evil')).read_bytes().ljust(MIB, b'\0'))
        before = pathlib.Path(disk).read_bytes()

        self.qemu_img.resize(disk, 'raw', 2 * MIB)
        self.qemu_img.convert(disk, 'raw', self._path('copy'), 'raw',
                              progress=ports.NullProgress())

        copied = pathlib.Path(self._path('copy')).read_bytes()
        self.assertEqual(before.ljust(2 * MIB, b'\0'), copied)

    def test_every_command_names_every_format(self) -> None:
        self.qemu_img.create(self._path('a'), 'qcow2', MIB)
        self.qemu_img.create_overlay(
            self._path('b'), self.base, 'raw', MIB)
        self.qemu_img.convert(self._path('b'), 'qcow2', self._path('c'),
                              'vdi', progress=ports.NullProgress())
        self.qemu_img.virtual_size_bytes(self._path('c'), 'vdi')
        self.qemu_img.resize(self._path('a'), 'qcow2', 2 * MIB)

        for line in self.tool.lines:
            node = next((word for word in line if word.startswith(
                'json:')), '')
            self.assertNotEqual('-f' in line, bool(node))
            self.assertEqual(bool(node), '"driver": "' in node)
            self.assertEqual('-b' in line, '-F' in line)
            self.assertEqual('convert' in line, '-O' in line)
        self.assertEqual(5, len(self.tool.lines))

    def _chain(self, *sizes_mib: int) -> list[str]:
        """Make files, each over the one before, with a MiB of its own."""
        paths = [self._path(f'{number}:of')
                 for number in range(len(sizes_mib))]
        for number, (path, size) in enumerate(zip(paths, sizes_mib)):
            below = ['-b', f'./{number - 1}:of', '-F', 'qcow2'] if (
                number) else []
            subprocess.check_call(['qemu-img', 'create', '-q', '-f', 'qcow2',
                                   *below, f'file:{path}', f'{size}M'])
            subprocess.check_call(
                ['qemu-io', '-f', 'qcow2', '-c', f'write -q -P {number + 1} '
                 f'{number % size * MIB} {MIB}', f'file:{path}'])
        return paths

    def _bytes(self, path: str) -> bytes:
        raw = self._path('raw')
        subprocess.check_call(['qemu-img', 'convert', '-f', 'qcow2', '-O',
                               'raw', f'file:{path}', raw])
        return pathlib.Path(raw).read_bytes()

    def test_merged_files_hold_what_they_held(self) -> None:
        for lower, upper, left in ((0, 1, 2), (0, 2, 1), (1, None, 2),
                                   (None, None, 0)):
            for sizes in ((4, 4, 4, 4), (3, 4, 4, 5), (4, 4, 4, 3)):
                paths = self._chain(*sizes)
                before = self._bytes(paths[3])

                self.qemu_img.merge(
                    paths[3], '' if lower is None else paths[lower],
                    '' if upper is None else paths[upper],
                    ports.NullProgress())

                self.assertEqual(before, self._bytes(paths[3]))
                self.assertEqual(
                    left, len(self.qemu_img.files_below(paths[3])))

    def test_a_small_file_between_large_ones_is_not_merged(self) -> None:
        paths = self._chain(4, 2, 4)
        before = self._bytes(paths[2])

        self.assertRaises(
            exception.StorageFailure, self.qemu_img.merge, paths[2],
            paths[0], paths[1], ports.NullProgress())

        self.assertEqual(before, self._bytes(paths[2]))

    def test_snapshots_in_a_file_do_not_keep_it_from_taking_in(self) -> None:
        paths = self._chain(2, 2, 2)
        for name in range(80):
            subprocess.check_call(['qemu-img', 'snapshot', '-c', str(name),
                                   f'file:{paths[0]}'])
            subprocess.check_call(
                ['qemu-io', '-f', 'qcow2', '-c', f'write -q 0 {2 * MIB}',
                 f'file:{paths[0]}'])

        self.qemu_img.merge(paths[2], paths[0], paths[1],
                            ports.NullProgress())

        self.assertEqual([paths[0]], self.qemu_img.files_below(paths[2]))

    def test_what_does_not_say_its_format_is_not_merged(self) -> None:
        top = self._path('disk')
        self._overlay_without_a_format(top)

        for call in (lambda: self.qemu_img.files_below(top),
                     lambda: self.qemu_img.merge(
                         top, '', '', ports.NullProgress())):
            error = self.assertRaises(exception.StorageFailure, call)
            self.assertIn('does not say which format', str(error))

    def test_others_on_the_host_may_not_read_what_is_made(self) -> None:
        self.addCleanup(os.umask, os.umask(0))
        self.qemu_img.create(self._path('a'), 'qcow2', MIB)
        self.qemu_img.create(self._path('b'), 'raw', MIB)
        self.qemu_img.create_overlay(
            self._path('c'), self.base, 'raw', MIB)
        self.qemu_img.convert(self.base, 'raw', self._path('d'), 'qcow2',
                              progress=ports.NullProgress())

        self.assertEqual([0o640] * 4, [
            stat.S_IMODE(os.stat(self._path(name)).st_mode)
            for name in 'abcd'])

    def test_what_exists_is_not_written_over(self) -> None:
        before = pathlib.Path(self.base).read_bytes()

        for format in ('raw', 'qcow2'):
            self.assertRaises(exception.StorageFailure,
                              self.qemu_img.create, self.base, format, MIB)

        self.assertEqual(before, pathlib.Path(self.base).read_bytes())

    def test_what_cannot_be_made_leaves_no_file(self) -> None:
        target = self._path('new')

        self.assertRaises(
            exception.StorageFailure, self.qemu_img.create_overlay, target,
            self._path('missing'), 'raw', MIB)
        self.assertRaises(
            exception.StorageFailure, self.qemu_img.convert, self.base,
            'qcow2', target, 'raw', progress=ports.NullProgress())
        self.assertRaises(
            exception.StorageFailure, self.qemu_img.create, target, 'luks',
            MIB)

        self.assertEqual(['base'], os.listdir(self.folder))

    def test_stopping_a_conversion_leaves_no_file(self) -> None:
        class Stop(ports.NullProgress):
            def advance(self, done: int, total: int) -> None:
                raise fake_progress.Stopped

        self.assertRaises(
            fake_progress.Stopped, self.qemu_img.convert, self.base, 'raw',
            self._path('copy'), 'raw', progress=Stop())

        self.assertEqual(['base'], os.listdir(self.folder))

    def test_a_conversion_writes_no_more_than_the_disk_has(self) -> None:
        # Stands in for a tool that believes another size than we do.
        tools = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        (tools / 'qemu-img').write_text(
            '#!/bin/sh\nfor last; do :; done\ntruncate -s 80M "$last"\n')
        (tools / 'qemu-img').chmod(0o755)
        self.useFixture(fixtures.EnvironmentVariable(
            'PATH', f'{tools}:{os.environ["PATH"]}'))

        for format in ('raw', 'qcow2'):
            self.assertRaises(
                exception.StorageFailure, self.qemu_img.convert, self.base,
                'raw', self._path('copy'), format,
                progress=ports.NullProgress())

        self.assertEqual(['base'], os.listdir(self.folder))

    def test_what_was_written_is_brought_to_the_disk(self) -> None:
        self.qemu_img.flush(self.base)

        self.assertRaises(exception.StorageFailure, self.qemu_img.flush,
                          self._path('missing'))

    def test_what_is_no_path_is_no_option_and_no_protocol(self) -> None:
        for wrong in ('-h', 'nbd:host:10809', 'json:{"driver":"raw"}'):
            self.assertRaises(
                ValueError, self.qemu_img.resize, wrong, 'raw', MIB)
        self.assertEqual([], self.tool.lines)
