# SPDX-License-Identifier: Apache-2.0

"""Which device it is that a path leads to: the device itself is asked.

A number that the host has given to a device may be that of another volume by
the time it is used (CVE-2023-2088). What the kernel knows of a SCSI device it
has asked when it found it, and never again, so this is compared with what the
device answers now, with what was written down last time, and with the devices
of other volumes.
"""

from collections.abc import Iterable
from collections.abc import Iterator
import contextlib
import dataclasses
import os
import stat

from nova_libvirt_driver.volumes import connection as connection_module
from nova_libvirt_driver.volumes import records

CRYPT = 'CRYPT-'
"""How the kernel marks devices that it decrypts."""

_SECTOR_BYTES = 512
_MAX_PAGE = 4096
_NAMES = {1: '1', 2: '2', 3: '3', 8: '8'}
"""Types of designators: T10, EUI-64, NAA and names, as the digit that
``scsi_id`` and the multipath daemon put before them."""
_BEST = (3, 2, 1, 8)
_ASCII = 2
_NVME_IDS = ('volume_nguid', 'vol_uuid', 'uuid')
"""What connection data of NVMe-oF call the volume."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """What a device says of itself; empty where it says nothing."""

    wwn: str = ''
    serial: str = ''
    size_bytes: int = 0
    others: frozenset[str] = frozenset()
    """Further identifiers, of an NVMe namespace."""
    paths: tuple[str, ...] = ()
    """WWN of each device that a multipath device goes by."""


def ask(
        connection: connection_module.VolumeConnection) -> Identity:
    """Return what is at the path of a volume.

    :raises VolumeFailure: nothing is, or a plain file where a device is to be
    """
    path = connection.device_path
    try:
        found = os.stat(path)
    except OSError as error:
        raise connection.failure(
            f'the host is connected, but {path!r} cannot be looked at: '
            f'{error.strerror}') from error
    if stat.S_ISBLK(found.st_mode):
        return of_device(found.st_rdev)
    if not stat.S_ISREG(found.st_mode) or path.startswith('/dev/'):
        raise connection.failure(f'{path} is neither a device nor a disk')
    return Identity(size_bytes=found.st_size)


def of_device(number: int) -> Identity:
    """Return what the kernel knows of a block device of that number."""
    return read(f'/sys/dev/block/{os.major(number)}:{os.minor(number)}')


def is_there(wwn: str, folder: str = '/sys/class/block') -> bool:
    """Say whether the kernel has any device of that name."""
    return any(read(os.path.join(folder, name)).wwn == wwn
               for name in os.listdir(folder))


def luns(wwn: str, folder: str = '/sys/class/block') -> set[str]:
    """Return by which numbers the kernel has a volume of SCSI."""
    return {
        os.path.basename(os.path.realpath(
            os.path.join(folder, name, 'device'))).rpartition(':')[2]
        for name in os.listdir(folder)
        if read(os.path.join(folder, name)).wwn == wwn}


def at(path: str) -> Identity:
    """Return what the kernel knows of a path; nothing unless a device."""
    with contextlib.suppress(OSError):
        found = os.stat(path)
        if stat.S_ISBLK(found.st_mode):
            return of_device(found.st_rdev)
    return Identity()


def read(folder: str) -> Identity:
    """Return what the kernel knows of a device.

    Of one that the host decrypts, what it knows of that below.

    :param folder: of the device in sysfs
    """
    mapping = _text(folder, 'dm/uuid')
    if mapping.startswith(CRYPT):
        for slave in _slaves(folder):
            return read(os.path.join(folder, 'slaves', slave))
    multipath = mapping.partition('mpath-')[2]
    return Identity(
        wwn=multipath or _wwn(_page(folder, '83')) or _nvme(
            _text(folder, 'wwid')),
        serial=_page(folder, '80')[4:].decode('ascii', 'replace').strip(
            ' \0'),
        size_bytes=int(_text(folder, 'size') or 0) * _SECTOR_BYTES,
        others=frozenset(filter(None, (
            _plain(_text(folder, name)) for name in ('nguid', 'uuid')))),
        paths=tuple(
            _wwn(_page(os.path.join(folder, 'slaves', slave), '83'))
            for slave in (_slaves(folder) if multipath else ())))


def check(
        connection: connection_module.VolumeConnection, found: Identity, *,
        answered_wwn: str, last: records.Record | None,
        others: Iterable[records.Record], at_least_bytes: int) -> None:
    """Refuse a device that is not that of the volume.

    :param answered_wwn: what the device has just answered, if it was asked
    :param last: what was written down when the volume was last connected
    :param others: what was written down of other volumes
    :raises VolumeFailure: it is another volume's, or was once this volume's
    """
    reason = next(_doubts(
        connection, found, answered_wwn, last, others, at_least_bytes), '')
    if reason:
        raise connection.failure(
            f'the device {connection.device_path} is not it: {reason}',
            hint='remove the stale device from the host, or whatever uses '
            'it, and try again')


def _doubts(
        connection: connection_module.VolumeConnection, found: Identity,
        answered_wwn: str, last: records.Record | None,
        others: Iterable[records.Record],
        at_least_bytes: int) -> Iterator[str]:
    for wwn in (answered_wwn, *found.paths):
        if wwn and found.wwn and wwn != found.wwn:
            yield (f'it answers with {wwn}, and the kernel took it for '
                   f'{found.wwn}')
    named = {_plain(str(connection.data[name])) for name in _NVME_IDS
             if connection.data.get(name)}
    if named and found.others and not named & found.others:
        yield (f'its identifiers are {", ".join(sorted(found.others))}, '
               f'not {", ".join(sorted(named))}')
    for other in others:
        if found.wwn and other.wwn == found.wwn:
            yield f'{found.wwn} is volume {other.volume_id}'
    if last is not None and last.place == records.place(connection):
        if found.wwn and last.wwn and found.wwn != last.wwn:
            yield f'there it was {last.wwn} last time, and now {found.wwn}'
        if found.size_bytes < last.size_bytes:
            yield (f'it had {last.size_bytes} bytes last time, and has '
                   f'{found.size_bytes} now')
    if found.wwn and found.size_bytes < at_least_bytes:
        yield (f'it has {found.size_bytes} bytes, and the volume '
               f'{at_least_bytes}')


def _wwn(page: bytes) -> str:
    """Return the name of a logical unit in page 0x83, as scsi_id does."""
    names: dict[int, str] = {}
    at, end = 4, 4 + int.from_bytes(page[2:4], 'big')
    while at + 4 <= min(end, len(page)):
        code_set, kind, length = page[at] & 15, page[at + 1], page[at + 3]
        value = page[at + 4:at + 4 + length]
        if not kind >> 4 & 3 and kind & 15 in _NAMES:
            names.setdefault(kind & 15, (
                value.rstrip(b'\0').decode('ascii', 'replace')
                if code_set >= _ASCII else value.hex()))
        at += 4 + length
    return next((_NAMES[kind] + names[kind]
                 for kind in _BEST if kind in names), '')


def _nvme(wwid: str) -> str:
    # A SCSI device has a file of that name as well, in other words.
    return wwid if wwid.startswith(('eui.', 'uuid.', 'nvme.')) else ''


def _plain(text: str) -> str:
    return text.replace('-', '').lower()


def _slaves(folder: str) -> list[str]:
    try:
        return sorted(os.listdir(os.path.join(folder, 'slaves')))
    except OSError:
        return []


def _page(folder: str, number: str) -> bytes:
    return _bytes(os.path.join(folder, 'device', f'vpd_pg{number}'))


def _text(folder: str, name: str) -> str:
    return _bytes(os.path.join(folder, name)).decode(
        'ascii', 'replace').strip()


def _bytes(path: str) -> bytes:
    with contextlib.suppress(OSError), open(path, 'rb') as file:
        return file.read(_MAX_PAGE)
    return b''
