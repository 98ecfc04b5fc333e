# SPDX-License-Identifier: Apache-2.0

"""Volumes of this host, for servers that have no volume service.

Each has a description in a pool, which is a folder; that of a volume that was
created here has the bytes beside it, named by its id. Others are what was
there before, a block device or an export over NBD, and are never changed. Who
uses a volume is not written down: the domains and records of servers say it.
"""

from collections.abc import Iterator
import contextlib
import dataclasses
import enum
import json
import os
import re
import stat
import urllib.parse
import uuid

from oslo_log import log as logging

from nova_libvirt_driver.cli import errors
from nova_libvirt_driver.cli import naming
from nova_libvirt_driver.filesystem import locking
from nova_libvirt_driver.filesystem import records
from nova_libvirt_driver.spec import disk as disk_spec
from nova_libvirt_driver.spec import instance as instance_spec
from nova_libvirt_driver.storage import atomic
from nova_libvirt_driver.storage import qemu_img as qemu_img_module
from nova_libvirt_driver.volumes import identity

LOG = logging.getLogger(__name__)

DEFAULT_POOL = 'default'
FORMATS = ('qcow2', 'raw')

_NAME = re.compile('[A-Za-z0-9][A-Za-z0-9._-]{0,62}')
_LISTING = 'nova-libvirt volume list'
_WAIT_S = 10.0
_NAMES = 'names.lock'
_NBD_PORT = 10809


class Kind(enum.StrEnum):
    """Where the bytes of a volume are."""

    FILE = 'file'
    DEVICE = 'device'
    NBD = 'nbd'


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Volume:
    """One volume of this host."""

    id: str
    name: str
    kind: Kind = Kind.FILE
    pool: str = DEFAULT_POOL
    format: str = 'raw'
    size_bytes: int = 0
    """0 for an export, whose server alone knows it."""
    path: str = ''
    """Of a block device; name of an export."""
    socket: str = ''
    host: str = ''
    port: int = 0
    wwn: str = ''
    """What a device has said of itself."""
    whole: bool = True
    """False while it is being created or deleted, and when that was cut
    short."""

    @property
    def key(self) -> disk_spec.DiskKey:
        """What finds it in a guest."""
        return disk_spec.DiskKey(id=self.id, serial=self.id)


class LocalVolumes:
    """Keeps volumes in pools; several processes may do so at a time.

    :param folder: of the pools; is created
    :param qemu_img: makes and resizes disks
    """

    def __init__(
            self, folder: str, qemu_img: qemu_img_module.QemuImg) -> None:
        self._folder = folder
        self._qemu_img = qemu_img

    def all(self) -> list[Volume]:
        """Return all volumes by their names; damaged ones are left out."""
        found = []
        for pool in self._pools():
            for name in sorted(os.listdir(os.path.join(self._folder, pool))):
                volume_id, ending = os.path.splitext(name)
                if ending == '.json' and instance_spec.is_uuid(volume_id):
                    found += self._read(pool, volume_id)
        return sorted(found, key=lambda one: (one.name, one.id))

    def find(self, word: str) -> Volume:
        """Return the volume of a name, an id, or the beginning of an id.

        :raises NotFound: there is none
        :raises UsageError: there are several
        """
        volumes = self.all()
        found = [one for one in volumes if word in (one.id, one.name)] or [
            one for one in volumes
            if len(word) > 3 and one.id.startswith(word.lower())]
        if not found:
            raise errors.NotFound(f'there is no volume {word}', naming.advice(
                word, [one.name for one in volumes], _LISTING))
        if len(found) > 1:
            raise errors.UsageError(
                f'{word} may be each of {len(found)} volumes: '
                f'{", ".join(one.id for one in found)}',
                'name it by its id')
        return found[0]

    @contextlib.contextmanager
    def held(self, volume: Volume, *, broken: bool = False
             ) -> Iterator[Volume]:
        """Lend a volume as it is now; no other command has it meanwhile.

        :param broken: also one that is not whole
        :raises Conflict: another command has it, or it is not whole
        :raises NotFound: it was deleted meanwhile
        """
        with self._locked(f'{volume.id}.lock', f'volume {volume.name}'):
            found = self._read(volume.pool, volume.id)
            if not found:
                raise errors.NotFound(
                    f'there is no volume {volume.name}',
                    f'list what there is: {_LISTING}')
            now, = found
            if not (now.whole or broken):
                raise errors.Conflict(
                    f'volume {now.name} is incomplete',
                    f'delete it: nova-libvirt volume delete {now.id}')
            yield now

    def create(self, wanted: Volume) -> Volume:
        """Create a volume; nothing is left of one that cannot be created.

        A description comes first and goes last, so that what a killed
        process has left is known, and removed by the next one.

        :param wanted: of which the id is new
        :raises UsageError: its name is none, or it has no such pool
        :raises Conflict: its name is taken
        :raises StorageFailure: there is no room, or no right to write
        """
        self._check_pool(wanted)
        self._sweep()
        with self._locked(f'{wanted.id}.lock', f'volume {wanted.name}'):
            with self._locked(_NAMES, 'the list of volumes'):
                self._check_name(wanted.name)
                self._write(dataclasses.replace(wanted, whole=False))
            try:
                if wanted.kind is Kind.FILE:
                    self._qemu_img.create(
                        self.path(wanted), wanted.format, wanted.size_bytes)
                self._write(wanted)
            except BaseException:
                self._remove(wanted)
                raise
        return wanted

    def resize(self, volume: Volume, size_bytes: int) -> None:
        """Make a file larger that no guest has open."""
        self._qemu_img.resize(self.path(volume), volume.format, size_bytes)

    def note_size(self, volume: Volume, size_bytes: int) -> Volume:
        """Write down how large a volume is now."""
        now = dataclasses.replace(volume, size_bytes=size_bytes)
        self._write(now)
        return now

    def delete(self, volume: Volume) -> None:
        """Remove a volume that is held; of one from elsewhere, what we know.

        :raises StorageFailure: it cannot be removed
        """
        self._write(dataclasses.replace(volume, whole=False))
        self._remove(volume)

    def path(self, volume: Volume) -> str:
        """Return where a volume is on this host; not of an export."""
        if volume.kind is not Kind.FILE:
            return volume.path
        return os.path.join(
            self._folder, volume.pool, f'{volume.id}.{volume.format}')

    def disk(
            self, volume: Volume, bus: disk_spec.DiskBus, *,
            is_root: bool = False) -> disk_spec.DiskSpec:
        """Return a volume as a disk of a guest.

        :param is_root: the guest boots from it
        :raises Conflict: the device is not there, or another one by now
        """
        return disk_spec.DiskSpec(
            target_dev='', id=volume.id, serial=volume.id, bus=bus,
            format=volume.format, boot_order=1 if is_root else None,
            source=self._source(volume))

    def _source(self, volume: Volume) -> disk_spec.DiskSource:
        if volume.kind is Kind.FILE:
            return disk_spec.DiskSource(path=self.path(volume))
        if volume.kind is Kind.DEVICE:
            check_device(volume)
            return disk_spec.DiskSource(
                kind=disk_spec.SourceKind.BLOCK, path=volume.path)
        return disk_spec.DiskSource(
            kind=disk_spec.SourceKind.NETWORK, protocol='nbd',
            path=volume.path, hosts=(disk_spec.NetworkHost(
                name=volume.host, port=volume.port or None,
                socket=volume.socket),))

    def _pools(self) -> list[str]:
        with contextlib.suppress(FileNotFoundError):
            return sorted(entry.name for entry in os.scandir(self._folder)
                          if entry.is_dir() and _NAME.fullmatch(entry.name))
        return []

    def _check_pool(self, wanted: Volume) -> None:
        # QEMU has a user of its own, which has to come through.
        os.makedirs(os.path.join(self._folder, DEFAULT_POOL), mode=0o755,
                    exist_ok=True)
        if wanted.pool not in self._pools():
            raise errors.UsageError(
                f'there is no pool {wanted.pool}',
                f'take one of {", ".join(self._pools())}, or make a folder '
                f'in {self._folder}')

    def _check_name(self, name: str) -> None:
        if not _NAME.fullmatch(name) or instance_spec.is_uuid(name):
            raise errors.UsageError(
                f'{name!r} is not a valid name for a volume',
                'take up to 63 letters, digits, dots, hyphens and '
                'underscores; begin with a letter or digit')
        if any(one.name == name for one in self.all()):
            raise errors.Conflict(
                f'volume {name} exists already', 'take another name')

    def _sweep(self) -> None:
        """Remove what killed processes have left."""
        for volume in self.all():
            if not volume.whole:
                # Another command is at work on it, or ended that.
                with contextlib.suppress(errors.ClientError), self.held(
                        volume, broken=True) as now:
                    if not now.whole:
                        self._remove(now)

    def _read(self, pool: str, volume_id: str) -> list[Volume]:
        path = self._description(pool, volume_id)
        try:
            found = records.structure(records.load(path), Volume)
            # What it says never leads to another file.
            if (found.id, found.pool) != (volume_id, pool) or (
                    found.format not in FORMATS):
                raise records.Unreadable('it is that of another volume')
            return [found]
        except FileNotFoundError:
            return []
        except (OSError, records.Unreadable) as error:
            LOG.warning('Leaving out a damaged volume, see %s: %s', path,
                        error)
            return []

    def _write(self, volume: Volume) -> None:
        atomic.write(
            self._description(volume.pool, volume.id),
            json.dumps(dataclasses.asdict(volume), indent=1).encode())

    def _remove(self, volume: Volume) -> None:
        if volume.kind is Kind.FILE:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self.path(volume))
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._description(volume.pool, volume.id))

    def _description(self, pool: str, volume_id: str) -> str:
        return os.path.join(self._folder, pool, f'{volume_id}.json')

    @contextlib.contextmanager
    def _locked(self, name: str, what: str) -> Iterator[None]:
        with contextlib.ExitStack() as stack:
            try:
                stack.enter_context(locking.held(
                    locking.beside(self._folder, name), _WAIT_S))
            except TimeoutError as error:
                raise errors.Conflict(
                    f'another command is at work on {what}',
                    'try again when it has ended') from error
            yield


def from_source(word: str, *, name: str, pool: str) -> Volume:
    """Return an existing device or export as a volume.

    :param word: path of a block device, ``nbd://HOST[:PORT]/EXPORT`` or
        ``nbd+unix:///EXPORT?socket=PATH``
    :raises UsageError: it is neither
    :raises Conflict: the device is in use by the host
    """
    volume = Volume(id=str(uuid.uuid4()), name=name, pool=pool)
    if word.startswith('nbd'):
        return _export(word, volume)
    try:
        is_device = stat.S_ISBLK(os.stat(word).st_mode)
    except OSError:
        is_device = False
    if not is_device:
        raise errors.UsageError(
            f'{word} is neither a block device nor an export',
            'name a path such as /dev/disk/by-id/..., or '
            'nbd://HOST:PORT/EXPORT')
    path = os.path.abspath(word)
    found = identity.at(path)
    volume = dataclasses.replace(
        volume, kind=Kind.DEVICE, path=path, wwn=found.wwn,
        size_bytes=found.size_bytes)
    check_device(volume)
    return volume


def check_device(volume: Volume) -> None:
    """Refuse a device that is another one by now, or in use by the host.

    :raises Conflict: it is
    """
    found = identity.at(volume.path)
    if not found.size_bytes or found.wwn != volume.wwn or (
            found.size_bytes < volume.size_bytes):
        raise errors.Conflict(
            f'{volume.path} is not the device of volume {volume.name}',
            'connect the device again; a path below /dev/disk/by-id does '
            'not change')
    try:
        # The kernel refuses it of what is mounted, or part of another.
        os.close(os.open(
            volume.path, os.O_RDONLY | os.O_EXCL | os.O_CLOEXEC))
    except OSError as error:
        raise errors.Conflict(
            f'{volume.path} cannot be used: {error.strerror}',
            'see what the host uses it for, with lsblk') from error


def size_of(volume: Volume) -> int:
    """Return how large a device is now."""
    check_device(volume)
    return identity.at(volume.path).size_bytes


def _export(word: str, volume: Volume) -> Volume:
    parts = urllib.parse.urlsplit(word)
    try:
        socket, = urllib.parse.parse_qs(parts.query).get('socket', [''])
        port = parts.port or _NBD_PORT
    except ValueError:
        socket, port = '', 0
    unix = parts.scheme == 'nbd+unix'
    if unix != bool(socket) or unix == bool(parts.hostname) or not port or (
            parts.scheme not in ('nbd', 'nbd+unix')):
        raise errors.UsageError(
            f'{word} is not an export of an NBD server',
            'name it nbd://HOST:PORT/EXPORT or '
            'nbd+unix:///EXPORT?socket=PATH')
    return dataclasses.replace(
        volume, kind=Kind.NBD,
        path=urllib.parse.unquote(parts.path.removeprefix('/')),
        socket=socket, host=parts.hostname or '', port=0 if unix else port)
