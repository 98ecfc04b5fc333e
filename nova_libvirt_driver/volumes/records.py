# SPDX-License-Identifier: Apache-2.0

"""What this host is connected to, and for which guests.

One small file for each volume, from before the host is connected until it is
disconnected for certain. No key or password is in it.
"""

from collections.abc import Iterator
import contextlib
import dataclasses
import hashlib
import json
import os
from typing import Any
from urllib import parse

from oslo_log import log as logging

from nova_libvirt_driver import exception
from nova_libvirt_driver.filesystem import locking
from nova_libvirt_driver.filesystem import records
from nova_libvirt_driver.storage import atomic
from nova_libvirt_driver.storage import journal
from nova_libvirt_driver.volumes import connection as connection_module
from nova_libvirt_driver.volumes import secrecy

LOG = logging.getLogger(__name__)

FOLDER = '.volumes'
"""Name of the folder of records beside those of the instances."""

_SUFFIX = '.json'
_MODE = 0o600
_FOLDER_MODE = 0o700
_CHANGING = frozenset((
    'access_mode', 'device_path', 'discard', 'encrypted', 'multipath_id',
    'qos_specs', 'volume_id'))
"""What connection data say besides where the volume is."""
_OF_HOST = ('device_path', 'multipath_id')
"""What a connector has found out on this host."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """What is known of one volume on this host."""

    volume_id: str
    users: tuple[str, ...] = ()
    """Uuids of the instances for which the host is connected."""
    shared: str = ''
    """What it is connected by that other volumes are, too: the export of a
    mounted file system; empty for a device."""
    path: str = ''
    """Device or file on this host; a boot of the host makes it empty, for
    devices get other names then."""
    wwn: str = ''
    size_bytes: int = 0
    place: str = ''
    """A digest of where the volume service said that it is."""
    info: dict[str, Any] | None = None
    """What the volume service said when this host was connected, without
    keys and passwords; None in a record of a former version."""


class Records:
    """The records of one host.

    :param instances_path: may be shared with other hosts
    """

    def __init__(self, instances_path: str, host: str) -> None:
        self._instances_path = instances_path
        self.folder = os.path.join(
            instances_path, FOLDER, journal.quoted(host))

    @contextlib.contextmanager
    def locked(self, what: str, timeout_s: float) -> Iterator[None]:
        """Let no other thread or process of the host change it meanwhile.

        :param what: a volume, or an export
        :raises VolumeFailure: another has it for too long
        :raises StorageFailure: the lock cannot be made
        """
        name = hashlib.sha256(what.encode()).hexdigest()[:32]
        try:
            os.makedirs(self.folder, _FOLDER_MODE, exist_ok=True)
            path = locking.beside(self.folder, name)
            with contextlib.ExitStack() as stack:
                stack.enter_context(locking.held(path, timeout_s))
                yield
        except TimeoutError as error:
            raise exception.VolumeFailure(
                volume=what, reason='it is being connected or disconnected '
                f'for another guest, for {timeout_s:g} s') from error

    def read(self, volume_id: str) -> Record | None:
        """Return what is known of a volume, None for nothing.

        What cannot be read is nothing, and logged.
        """
        return self._load(self._path(volume_id))

    def all(self) -> list[Record]:
        """Return what is known of all volumes."""
        try:
            names = os.listdir(self.folder)
        except FileNotFoundError:
            return []
        found = (self._load(os.path.join(self.folder, name))
                 for name in names
                 if name.endswith(_SUFFIX) and not name.startswith('.'))
        return [record for record in found if record is not None]

    def write(self, record: Record) -> None:
        """Keep a record in place of an earlier one.

        :raises StorageFailure: it cannot be written
        """
        atomic.write(
            self._path(record.volume_id),
            json.dumps({**dataclasses.asdict(record),
                        'boot': records.boot_id()}).encode(), _MODE)

    def remove(self, volume_id: str) -> None:
        """Forget a volume; idempotent."""
        journal.remove(self._path(volume_id))

    def has_instance(self, uuid: str) -> bool:
        """Say whether an instance is, or is about to be, on this host.

        One of which no folder is left was removed without its volumes.
        """
        return os.path.isdir(os.path.join(self._instances_path, uuid))

    def _path(self, volume_id: str) -> str:
        return os.path.join(
            self.folder, parse.quote(volume_id, safe='') + _SUFFIX)

    def _load(self, path: str) -> Record | None:
        try:
            found = records.load(path)
            if found.pop('boot') != records.boot_id():
                found['path'] = ''
            return Record(**{**found, 'users': tuple(found['users'])})
        except FileNotFoundError:
            return None
        except (OSError, ValueError, TypeError, KeyError) as error:
            LOG.warning('The record of a volume, %s, cannot be read: %s',
                        path, error)
            return None


def as_connected(
        told: dict[str, Any],
        record: Record | None) -> dict[str, Any] | None:
    """Return connection information by which this host is connected.

    What is told may be that of another host, from which the guest came or to
    which it was to go: there the volume may have another number, which is that
    of another volume here.

    :param record: of the volume on this host
    :returns: None if it is another place, and the record does not say which
    """
    if record is None:
        return told
    if record.place != place(connection_module.read(told)):
        return record.info
    if record.info is None:
        return told
    # The same, and it may have the keys that the record has not.
    return {**told, 'data': {**anywhere(told)['data'], **{
        name: value for name, value in record.info['data'].items()
        if name in _OF_HOST}}}


def anywhere(
        info: dict[str, Any], *names: str) -> dict[str, Any]:
    """Return connection information without what was found out on a host.

    :param names: of that; default is all of it
    """
    return {**info, 'data': {
        name: value for name, value in info['data'].items()
        if name not in (names or _OF_HOST)}}


def place(connection: connection_module.VolumeConnection) -> str:
    """Return a digest of where a volume is, without what changes."""
    return digest(secrecy.without({**connection.info, 'data': {
        name: value for name, value in connection.data.items()
        if name not in _CHANGING}}))


def digest(value: object) -> str:
    """Return the same text for the same value, which cannot be read back."""
    text = json.dumps(value, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()
