# SPDX-License-Identifier: Apache-2.0

import io
import os
import pathlib
import struct
import subprocess
import unittest.mock

import fixtures
import pycdlib

from nova_libvirt_driver import exception
from nova_libvirt_driver.spec import image as image_spec
from nova_libvirt_driver.storage import inspection
from tests import base
from tests import hostile_images

MIB = 1024 * 1024
PARTITIONS = b'\0' * 446 + b'\x80\1\1\0\x83' + b'\1' * 11 + (
    b'\0' * 48 + b'\x55\xaa')


def qcow2(
        *, version: int = 3, backing: int = 0, size: int = MIB,
        encryption: int = 0, features: int = 0,
        extensions: bytes = b'', bits: int = 16) -> bytes:
    head = struct.pack(
        '>4sIQIIQI', b'QFI\xfb', version, backing, 11 if backing else 0,
        bits, size, encryption).ljust(72, b'\0')
    if version == 3:
        head += struct.pack('>Q16xII', features, 4, 104)
    return (head + extensions).ljust(512, b'\0') + (
        b'/etc/passwd' * 6000)


def vmdk_header(sectors: int = 2048, directory: int = 26) -> bytes:
    return struct.pack(
        '<4sIIQQQQIQQ', b'KDMV', 1, 3, sectors, 128, 1, 20, 512, 21,
        directory).ljust(512, b'\0')


def vmdk(descriptor: str) -> bytes:
    return (vmdk_header() + descriptor.encode()).ljust(65536, b'\0')


def vmdk_with_footer(sectors: int, filling: int) -> bytes:
    head = vmdk_header(2048, (1 << 64) - 1) + descriptor(
        'streamOptimized').encode()
    return (head.ljust(filling, b'\0')
            + struct.pack('<QII', 1, 0, 3).ljust(512, b'\0')
            + vmdk_header(sectors) + b'\0' * 512)


def descriptor(
        kind: str = 'monolithicSparse', parent: str = 'ffffffff',
        extent: str = 'RW 2048 SPARSE "x.vmdk"', more: str = '') -> str:
    return (f'# Disk DescriptorFile\nversion=1\nCID=1\nparentCID={parent}\n'
            f'createType="{kind}"\n{more}\n{extent}\n')


def iso(boot_sector: bytes = b'') -> bytes:
    made = pycdlib.PyCdlib()
    made.new()
    made.add_fp(io.BytesIO(b'x'), 1, '/A.;1')
    file = io.BytesIO()
    made.write_fp(file)
    made.close()
    data = file.getvalue()
    return boot_sector + data[len(boot_sector):]


class InspectionTest(base.TestCase):

    def setUp(self) -> None:
        super().setUp()
        self.folder = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        self.path = str(self.folder / 'image')
        # None of these tests may need a program.
        self.useFixture(fixtures.MonkeyPatch(
            'subprocess.Popen', unittest.mock.Mock(side_effect=OSError)))

    def _inspect(self, content: bytes, format: str) -> inspection.Facts:
        pathlib.Path(self.path).write_bytes(content)
        return inspection.inspect(self.path, format, image='img-1')

    def assertRefused(self, reason: str, content: bytes, format: str) -> None:
        error = self.assertRaises(
            exception.ImageRefused, self._inspect, content, format)
        self.assertIn('img-1', str(error))
        self.assertRegex(str(error), reason)

    def test_raw_images_are_as_large_as_their_file(self) -> None:
        for content in (os.urandom(MIB), b'\0' * MIB, b'plain text\n' * 9999,
                        b'', PARTITIONS + b'\0' * MIB,
                        b'\xeb\xfe' + b'\0' * 508 + b'\x55\xaa' + b'x' * MIB):
            self.assertEqual(
                inspection.Facts(image_spec.DiskFormat.RAW, len(content)),
                self._inspect(content, 'raw'))

    def test_a_qcow2_image_says_its_size(self) -> None:
        for version in (2, 3):
            self.assertEqual(
                7 * MIB, self._inspect(
                    qcow2(version=version, size=7 * MIB),
                    'qcow2').virtual_size_bytes)

    def test_another_file_named_in_a_qcow2_image(self) -> None:
        name = b'/etc/passwd\0'
        ext = struct.pack('>II', 0x44415441, len(name)) + name
        other = struct.pack('>II8s', 0x6803f857, 8, b'x' * 8)
        for content, reason in (
                (qcow2(backing=512), 'backing file'),
                (qcow2(version=2, backing=512), 'backing file'),
                (qcow2(backing=112, extensions=b'json:{"file.filename":"/'
                       b'etc/passwd"}'), 'backing file'),
                (qcow2(features=1 << 2), 'data file'),
                (qcow2(extensions=ext), 'data file'),
                (qcow2(extensions=other + ext), 'data file')):
            self.assertRefused(reason, content, 'qcow2')

    def test_qcow2_images_that_are_not_understood(self) -> None:
        for content, reason in (
                (qcow2(features=1 << 1), 'marked as corrupt'),
                (qcow2(features=1 << 5), 'features'),
                (qcow2(features=1 << 63), 'features'),
                (qcow2(encryption=1), 'encrypted'),
                (qcow2(encryption=2), 'encrypted'),
                (qcow2(version=1), 'version'),
                (qcow2(version=4), 'version'),
                (qcow2(bits=40), 'clusters'),
                (qcow2(size=0), 'how large'),
                (qcow2()[:90], 'qcow2|cut off|looks like')):
            self.assertRefused(reason, content, 'qcow2')

    def test_a_lie_about_raw(self) -> None:
        vhdx = b'vhdxfile'.ljust(65536, b'\0')
        vdi = b'\0' * 64 + b'\x7f\x10\xda\xbe' + b'\0' * 65536
        for content in (
                qcow2(), qcow2(version=1), vmdk(descriptor()),
                b'QED\0'.ljust(65536, b'\0'), vhdx, vdi,
                b'conectix'.ljust(1024, b'\0'), iso(), iso(PARTITIONS),
                descriptor('monolithicFlat').encode(),
                b'LUKS\xba\xbe\0\1'.ljust(65536, b'\0'),
                b'KDMV'.ljust(65536, b'\xff'), b'QFI\xfb'):
            self.assertRefused('declared|begins like', content, 'raw')

    def test_a_lie_about_any_other_format(self) -> None:
        for format in ('qcow2', 'vmdk', 'vhdx', 'vdi', 'iso'):
            self.assertRefused('looks like raw', b'\0' * MIB, format)
        self.assertRefused('neither the header', b'\0' * MIB, 'vpc')
        self.assertRefused('looks like qcow2', qcow2(), 'vmdk')
        self.assertRefused('looks like gpt', PARTITIONS * 200, 'iso')

    def test_formats_that_are_not_supported(self) -> None:
        for format in ('qed', 'luks', 'ami', 'ploop', '', 'RAW', '../raw'):
            self.assertRefused('not supported', b'\0' * MIB, format)

    def test_iso_images_with_and_without_partitions(self) -> None:
        for content in (iso(), iso(PARTITIONS)):
            self.assertEqual(
                len(content),
                self._inspect(content, 'iso').virtual_size_bytes)

    def test_a_vmdk_image_of_one_file(self) -> None:
        self.assertEqual(MIB, self._inspect(
            vmdk(descriptor()), 'vmdk').virtual_size_bytes)

    def test_another_file_named_in_a_vmdk_image(self) -> None:
        for text, reason in (
                (descriptor('monolithicFlat'), 'subformat'),
                (descriptor('custom'), 'subformat'),
                (descriptor('twoGbMaxExtentSparse'), 'subformat'),
                (descriptor(extent='RW 9 FLAT "/etc/passwd" 0'), 'extent'),
                (descriptor(extent=''), 'extent'),
                (descriptor(parent='12345678'), 'parent'),
                (descriptor(more='parentFileNameHint="/etc/passwd"'),
                 'parent')):
            self.assertRefused(reason, vmdk(text), 'vmdk')
        self.assertRefused(
            'other files', descriptor('monolithicFlat').encode(), 'vmdk')

    def test_a_vmdk_image_that_says_two_sizes(self) -> None:
        for filling in (65536, 8 * MIB - 512, 20 * MIB):
            self.assertEqual(
                MIB, self._inspect(vmdk_with_footer(2048, filling),
                                   'vmdk').virtual_size_bytes)
            self.assertRefused('two different sizes',
                               vmdk_with_footer(1 << 31, filling), 'vmdk')

    def test_the_image_services_word_for_vhd(self) -> None:
        content = hostile_images.vhd()

        self.assertEqual(image_spec.DiskFormat.VHD,
                         self._inspect(content, 'vhd').format)
        self.assertRefused('declared', content, 'raw')

    def test_a_fixed_vhd_image_has_its_footer_at_the_end(self) -> None:
        content = bytes(MIB) + hostile_images.vhd(2)[-512:]

        self.assertEqual(
            inspection.Facts(image_spec.DiskFormat.VHD, MIB),
            self._inspect(content, 'vhd'))
        self.assertRefused('its beginning', hostile_images.vhd(2), 'vpc')

    def test_no_image_that_names_another_file_is_taken(self) -> None:
        # Some are plain bytes when they are taken for that.
        for image in hostile_images.images('/etc/hostname'):
            if image.names_file:
                self.assertRefused('.', image.content, image.declared)

    def test_a_header_that_is_cut_off(self) -> None:
        for content, format in ((b'conectix', 'vpc'), (b'KDMV', 'vmdk'),
                                (qcow2()[:60], 'qcow2'),
                                (b'vhdxfile', 'vhdx')):
            self.assertRefused('cut off|looks like|ncomplete', content, format)

    def test_only_the_ends_of_a_large_file_are_read(self) -> None:
        with open(self.path, 'wb') as file:
            file.truncate(1 << 40)

        facts = inspection.inspect(self.path, 'raw')

        self.assertEqual(1 << 40, facts.virtual_size_bytes)

    def test_a_missing_file_is_told(self) -> None:
        self.assertRaises(exception.StorageFailure, inspection.inspect,
                          self.path, 'raw')


REAL = (
    ('qcow2', 'compat=1.1'), ('qcow2', 'compat=0.10'),
    ('qcow2', 'compression_type=zstd'), ('qcow2', 'cluster_size=512'),
    ('qcow2', 'extended_l2=on,cluster_size=128k'),
    ('qcow2', 'preallocation=metadata'), ('vhdx', 'subformat=dynamic'),
    ('vhdx', 'subformat=fixed'), ('vdi', 'static=off'), ('vdi', 'static=on'),
    ('vpc', 'subformat=dynamic'), ('vpc', 'subformat=fixed'),
    ('vmdk', 'subformat=monolithicSparse'),
    ('vmdk', 'subformat=streamOptimized'))


class RealImageTest(base.TestCase):
    """Images of a disk with data in all of it, and of an odd size."""

    def setUp(self) -> None:
        super().setUp()
        self.folder = self.useFixture(fixtures.TempDir()).path
        self.path = os.path.join(self.folder, 'image')
        self.disk = os.path.join(self.folder, 'disk')
        pathlib.Path(self.disk).write_bytes(os.urandom(9 * MIB + 37 * 512))

    def _make(self, format: str, *options: str) -> inspection.Facts:
        subprocess.check_call([
            'qemu-img', 'convert', '-f', 'raw', '-O', format, *options,
            self.disk, self.path])
        return inspection.inspect(self.path, format)

    def test_what_the_tool_makes_is_taken(self) -> None:
        for format, options in REAL:
            facts = self._make(format, '-o', options)

            inspection.check_complete(self.path, facts)
            self.assertEqual(format, facts.format)
            self.assertGreaterEqual(
                facts.virtual_size_bytes, os.path.getsize(self.disk))

    def test_a_compressed_image_is_taken(self) -> None:
        inspection.check_complete(self.path, self._make('qcow2', '-c'))

    def test_a_file_that_is_cut_short_is_truncated(self) -> None:
        # A multiple of all blocks: of the last one, too, all is needed.
        pathlib.Path(self.disk).write_bytes(os.urandom(16 * MIB))
        for format, options in REAL:
            for cut in (8 * MIB, 140_000):
                whole = self._make(format, '-o', options)
                os.truncate(self.path, os.path.getsize(self.path) - cut)

                error = self.assertRaises(
                    exception.ImageRefused, self._examine, format, whole)

                self.assertIn('truncated', str(error), f'{options} {cut}')

    def _examine(self, format: str, whole: inspection.Facts) -> None:
        inspection.inspect(self.path, format)
        inspection.check_complete(self.path, whole)
