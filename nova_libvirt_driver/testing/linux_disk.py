# SPDX-License-Identifier: Apache-2.0

"""A disk with a partition table from which the Linux guest boots.

Made without mounting anything: mtools writes the FAT partition, syslinux
makes it bootable for a BIOS, and a script for the shell of UEFI starts the
kernel, which is a program of UEFI's. The sectors before the partition hold
what the guest remembers.
"""

import os
import pathlib
import shutil
import struct
import subprocess
import tempfile

from nova_libvirt_driver.testing import linux_guest
from nova_libvirt_driver.testing import linux_init

SIZE_MIB = 24
"""Size of the disk as a file; most of it is the kernel."""

_MIB = 1024 * 1024
_SECTOR_BYTES = 512
_START_SECTOR = 2048
_CODE_BYTES = 440
_MASTER_BOOT_RECORD = '/usr/lib/syslinux/mbr/mbr.bin'
_PACKAGES = {
    'mformat': 'mtools',
    'mcopy': 'mtools',
    'syslinux': 'syslinux',
    _MASTER_BOOT_RECORD: 'syslinux-common',
}
_FAT16_LBA = 0x0e
_ACTIVE = 0x80
# The head and cylinder fields say: see the sector numbers.
_NO_CHS = b'\xfe\xff\xff'


def write_disk(
        path: str | os.PathLike[str], guest: linux_guest.LinuxGuest, *,
        name: str = '', note: str = '') -> None:
    """Write a raw disk; the guest boots from it by a BIOS, and by UEFI.

    UEFI takes 10 s longer, and has to have its shell: a firmware for secure
    boot has none.

    Takes less than a second. The disk may be made larger afterwards.

    :param name: one word, which the guest says as ``guest: image=NAME``
    :param note: a line that stands on the disk, as if the guest had been
        told to write it
    :raises GuestUnavailable: a tool is not installed, or it failed
    """
    for tool, package in _PACKAGES.items():
        if shutil.which(tool) is None and not os.path.exists(tool):
            raise linux_guest.GuestUnavailable(
                f'A bootable disk needs {tool}: install the package '
                f'{package}.')
    disk = pathlib.Path(path)
    with open(disk, 'wb') as file:
        file.truncate(SIZE_MIB * _MIB)
        file.write(_first_sector())
        file.seek((linux_init.STATE_SECTOR + 1) * _SECTOR_BYTES)
        file.write(note.encode()[:_SECTOR_BYTES])
    _fill_partition(disk, guest, name)


def _first_sector() -> bytes:
    code = pathlib.Path(_MASTER_BOOT_RECORD).read_bytes()[:_CODE_BYTES]
    entry = struct.pack(
        '<B3sB3sII', _ACTIVE, _NO_CHS, _FAT16_LBA, _NO_CHS,
        _START_SECTOR, _partition_sectors())
    table = code.ljust(446, b'\0') + entry
    return table.ljust(_SECTOR_BYTES - 2, b'\0') + b'\x55\xaa'


def _partition_sectors() -> int:
    return SIZE_MIB * _MIB // _SECTOR_BYTES - _START_SECTOR


def _fill_partition(
        disk: pathlib.Path, guest: linux_guest.LinuxGuest, name: str
) -> None:
    offset = _START_SECTOR * _SECTOR_BYTES
    image = f'{disk}@@{offset}'
    _run('mformat', '-i', image, '-T', str(_partition_sectors()),
         '-h', '16', '-s', '63', '-H', str(_START_SECTOR), '-c', '4', '::')
    with tempfile.TemporaryDirectory() as folder:
        settings = _write_settings(
            pathlib.Path(folder), linux_guest.kernel_arguments(name))
        _run('mcopy', '-i', image, str(guest.kernel), str(guest.initrd),
             *map(str, settings), '::')
    _run('syslinux', '--offset', str(offset), '--install', str(disk))


def _write_settings(
        folder: pathlib.Path, arguments: str) -> list[pathlib.Path]:
    """Write what the boot loader reads, and what the shell of UEFI runs."""
    loader = folder / 'syslinux.cfg'
    loader.write_text(
        'DEFAULT linux\nPROMPT 0\nLABEL linux\n'
        f'KERNEL /vmlinuz\nINITRD /initrd\nAPPEND {arguments}\n')
    shell = folder / 'startup.nsh'
    shell.write_text(
        f'fs0:\r\n\\vmlinuz initrd=\\initrd {arguments}\r\n')
    return [loader, shell]


def _run(*argv: str) -> None:
    done = subprocess.run(
        argv, stdin=subprocess.DEVNULL, capture_output=True, text=True,
        check=False)
    if done.returncode:
        raise linux_guest.GuestUnavailable(
            f'{argv[0]} failed: {done.stderr.strip()}')
