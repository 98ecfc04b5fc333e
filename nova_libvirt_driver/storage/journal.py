# SPDX-License-Identifier: Apache-2.0

"""What is under way, so that what a killed process left can be cleaned.

An entry is a file that its process holds locked. The lock ends with the
process, the file does not.
"""

from collections.abc import Iterator
from collections.abc import Mapping
import contextlib
import fcntl
import json
import os
import secrets

from oslo_log import log as logging

from nova_libvirt_driver import exception
from nova_libvirt_driver.storage import atomic

LOG = logging.getLogger(__name__)

_FOLDER = '.operations'
_SUFFIX = '.json'
_MAX_BYTES = 1 << 20
_FLAGS = os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC


class Entry:
    """One operation that is under way, or was when its process died."""

    def __init__(
            self, path: str, descriptor: int,
            note: Mapping[str, object]) -> None:
        self._path = path
        self._descriptor: int | None = descriptor
        self._note = note

    @property
    def operation(self) -> str:
        """Name of the verb."""
        return str(self._note['operation'])

    @property
    def uuid(self) -> str:
        """Instance it is about."""
        return str(self._note['uuid'])

    @property
    def name(self) -> str:
        """Name of that instance's domain."""
        return str(self._note['name'])

    @property
    def values(self) -> Mapping[str, object]:
        """What else the operation wrote down when it began."""
        values = self._note['values']
        assert isinstance(values, dict)
        return values

    def save(self) -> None:
        """Bring the entry to the disk.

        :raises OSError: there is no room
        """
        if self._descriptor is not None:
            with open(self._descriptor, 'wb', closefd=False) as file:
                file.write(json.dumps(self._note).encode())
            os.fsync(self._descriptor)

    def end(self) -> None:
        """Forget the operation; idempotent.

        :raises StorageFailure: the file cannot be removed
        """
        if self._descriptor is None:
            return
        try:
            # Removed before it is let go: nobody finds it unlocked.
            _remove(self._path)
        finally:
            self.release()

    def release(self) -> None:
        """Let go of the entry and leave it for another look; idempotent."""
        if self._descriptor is not None:
            descriptor, self._descriptor = self._descriptor, None
            os.close(descriptor)


class Journal:
    """Keeps the entries in a folder below that of the instances."""

    def __init__(self, instances_path: str) -> None:
        self._folder = os.path.join(instances_path, _FOLDER)

    def begin(
            self, operation: str, *, uuid: str, name: str,
            **values: object) -> Entry:
        """Write down what begins; it is on the disk when this returns.

        :param values: what is needed to clean up; JSON can hold them
        :raises StorageFailure: it cannot be written; nothing is left
        """
        note: dict[str, object] = {
            'operation': operation, 'uuid': uuid, 'name': name,
            'values': values}
        try:
            return _write(self._folder, note)
        except OSError as error:
            raise exception.StorageFailure(
                reason=f'cannot write in {self._folder}: {error.strerror}',
                path=self._folder) from error

    def subjects(self) -> set[str]:
        """Return the uuids that entries are about, whoever has them.

        Files that are no entries of ours are removed.

        :raises StorageFailure: the folder cannot be read, or such a file
            cannot be removed
        """
        found = set()
        for path in self._paths():
            uuid = _subject(path)
            if uuid is not None:
                found.add(uuid)
            else:
                _remove_damaged(path)
        return found

    @contextlib.contextmanager
    def left(
            self, uuid: str,
            operation: str | None = None) -> Iterator[list[Entry]]:
        """Lend, locked, the entries about an instance that nobody has.

        Their process has died, or could not undo what it did. Nobody else
        gets them meanwhile. Those that are not ended are let go again.

        :param operation: only those of this verb
        :raises StorageFailure: the folder cannot be read
        """
        with contextlib.ExitStack() as stack:
            entries = []
            for path in sorted(self._paths()):
                # Others' entries are not even locked for a moment.
                entry = _take(path) if _subject(path) == uuid else None
                if entry is not None:
                    stack.callback(entry.release)
                    entries.append(entry)
            yield [entry for entry in entries
                   if operation in (None, entry.operation)]

    def _paths(self) -> Iterator[str]:
        try:
            for name in os.listdir(self._folder):
                if name.endswith(_SUFFIX):
                    yield os.path.join(self._folder, name)
        except FileNotFoundError:
            return
        except OSError as error:
            raise exception.StorageFailure(
                reason=f'cannot read {self._folder}: {error.strerror}',
                path=self._folder) from error


def _write(folder: str, note: Mapping[str, object]) -> Entry:
    os.makedirs(folder, mode=0o750, exist_ok=True)
    entry = None
    while entry is None:
        path = os.path.join(folder, secrets.token_hex(16) + _SUFFIX)
        entry = _claim(path, note)
    try:
        entry.save()
        atomic.sync(folder)
    except BaseException:
        entry.end()
        raise
    return entry


def _claim(path: str, note: Mapping[str, object]) -> Entry | None:
    descriptor = os.open(path, _FLAGS | os.O_CREAT | os.O_EXCL, 0o640)
    # Another process may have looked at the file before it was locked. To
    # that one it is an empty file, which is removed.
    if _lock(descriptor) and os.fstat(descriptor).st_nlink:
        return Entry(path, descriptor, note)
    os.close(descriptor)
    return None


def _take(path: str) -> Entry | None:
    try:
        descriptor = os.open(path, _FLAGS)
    except OSError:
        return None
    taken = False
    try:
        if _lock(descriptor) and os.fstat(descriptor).st_nlink:
            data = os.pread(descriptor, _MAX_BYTES, 0)
            if not data:
                # Nothing has begun yet: its process died too early, or is
                # about to lock it and takes another one then.
                _remove(path)
                return None
            note = _parsed(data)
            taken = True
            return Entry(path, descriptor, note)
    except ValueError as error:
        _remove(path)
        LOG.warning('The journal entry %s was damaged and is removed: %s',
                    path, error)
    finally:
        if not taken:
            os.close(descriptor)
    return None


def _subject(path: str) -> str | None:
    try:
        with open(path, 'rb', opener=_opener) as file:
            return str(_parsed(file.read(_MAX_BYTES))['uuid'])
    except (OSError, ValueError):
        # It has just ended, or is being begun.
        return None


def _opener(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC)


def _remove_damaged(path: str) -> None:
    entry = _take(path)
    if entry is not None:
        # It was being begun, and its process has died since.
        entry.release()


def _lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _parsed(data: bytes) -> dict[str, object]:
    note = json.loads(data)
    if not isinstance(note, dict) or not isinstance(
            note.get('values'), dict):
        raise ValueError('it is no entry')
    for key in ('operation', 'uuid', 'name'):
        if not isinstance(note.get(key), str):
            raise ValueError(f'it has no {key}')
    return note


def _remove(path: str) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass
    except OSError as error:
        raise exception.StorageFailure(
            reason=f'cannot remove {path}: {error.strerror}',
            path=path) from error
