# SPDX-License-Identifier: Apache-2.0

"""Which operations are under way, for the clean-up after a killed one.

An entry is a file that its process holds locked. The lock ends with the
process, the file does not.

Several hosts may share the folder, and may or may not see each other's
locks: on NFS that depends on how it is mounted. So no decision about an entry
of another host rests on its lock, and none is locked, not even for a moment.
The host stands in the name of the file.
"""

from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Mapping
import contextlib
import dataclasses
import json
import os
import pathlib
import secrets
import time
from typing import Any
from urllib import parse

from oslo_log import log as logging

from nova_libvirt_driver import exception
from nova_libvirt_driver.filesystem import locking
from nova_libvirt_driver.filesystem import records
from nova_libvirt_driver.storage import atomic
from nova_libvirt_driver.storage import failure

LOG = logging.getLogger(__name__)

FOLDER = '.operations'
"""Name of the folder of entries and of the locks of instances."""

_REST = 'left for later'
_RESTS = frozenset((_REST, 'failed', 'files left'))
"""The last two are former versions'."""

_SUFFIX = '.json'
_NEW = '.new'
_MAX_HOST = 100
"""Of a host's name, so that a file's stays below the limit."""
_TAKE_S = 0.5
_POLL_S = 0.05


@dataclasses.dataclass(frozen=True, slots=True)
class Owner:
    """Whose operation it is: only the owner may clean up after it."""

    host: str
    uri: str
    host_uuid: str
    """Of the host, as libvirt says; empty when it does not."""

    def __str__(self) -> str:
        return f'host {self.host} with {self.uri}'


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """What an entry says; fits where an instance is wanted."""

    id: str
    operation: str
    uuid: str
    """Instance it is about."""
    name: str
    """Name of that instance's domain."""
    owner: Owner | None
    """None in an entry of a version that did not write it down."""
    begun_at: float
    """Seconds since the epoch, by the clock of the owner."""
    phase: str = ''
    """How far it is, in the operation's own words."""
    deadline: float | None = None
    """Until when it is open, in seconds since the epoch: its process has let
    go of it, and has not died. None while it is under way."""
    superseded_by: Owner | None = None
    """Who has the instance by now, and with it the files."""
    boot_id: str | None = None
    """The boot of the host that it is for; None: it is for later ones, too."""
    values: Mapping[str, Any]
    """What the operation wrote down for its clean-up."""

    @property
    def age_s(self) -> float:
        """How long ago it began."""
        return max(0.0, time.time() - self.begun_at)

    @property
    def is_open(self) -> bool:
        """Whether it waits for a decision, and has time to."""
        return self.deadline is not None and self.deadline > time.time()

    @property
    def is_over(self) -> bool:
        """Whether it was for a former boot of the host only."""
        return self.boot_id not in (None, records.boot_id())

    @property
    def is_rest(self) -> bool:
        """Whether only what follows the domain of a guest is left to do."""
        return self.phase in _RESTS

    def age(self) -> str:
        """Return how long ago it began, in words."""
        return age(self.age_s)

    def data(self) -> bytes:
        """Return it as it stands in the file."""
        return json.dumps(dataclasses.asdict(self)).encode()


class Entry:
    """One operation that is under way, or was when its process died.

    :param end: of the names of files that this host writes
    """

    def __init__(
            self, path: str, descriptor: int, note: Note, end: str) -> None:
        self.note = note
        self._path = path
        self._end = end
        self._descriptor: int | None = descriptor

    def superseded_by(self) -> Owner | None:
        """Return who has the instance by now, and with it the files.

        :raises StorageFailure: the entry cannot be read, or has been removed
        """
        # By its path: another owner puts a file of its own there.
        return _read(self._path).superseded_by

    def advance(self, phase: str, **values: object) -> None:
        """Write down how far the operation is.

        It is on the disk afterwards, if it was when the operation began.

        :param values: what else is needed to clean up
        :raises StorageFailure: it cannot be written, and stays as it was,
            or it was removed
        """
        self._rewrite(phase, None, values)

    def leave_open(
            self, phase: str, timeout_s: float, **values: object) -> None:
        """Let go of an operation that has neither failed nor ended.

        Until the deadline it is not cleaned up, unless the operation
        says that it is decided; see :meth:`Journal.picked_up`.

        :param phase: what it waits for, in words
        :raises StorageFailure: it cannot be written, and stays as it was
        """
        self._rewrite(phase, time.time() + timeout_s, values)
        self.release()

    def leave_rest(self) -> None:
        """Let be done later what is to follow the domain of a guest.

        That is once the domain has gone and no other owner is at work on the
        instance. It is forgotten when the domain is there, or there again.
        Idempotent.

        :raises StorageFailure: it cannot be written, and stays as it was
        """
        if not self.note.is_rest:
            self._rewrite(_REST, None, {})

    def _rewrite(
            self, phase: str, deadline: float | None,
            values: Mapping[str, object]) -> None:
        note = dataclasses.replace(
            self.note, phase=phase, deadline=deadline,
            superseded_by=self.superseded_by(),
            values={**self.note.values, **values})
        with failure.naming(f'cannot write {self._path}',
                            os.path.dirname(self._path)):
            descriptor = _write(
                self._path, note, self._end, lasting=note.boot_id is None)
        self.release()
        self.note, self._descriptor = note, descriptor

    def end(self) -> None:
        """Forget the operation, for good; idempotent.

        :raises StorageFailure: the file cannot be removed, and stays locked
        """
        if self._descriptor is not None:
            # Removed before it is let go: it is never found unlocked.
            remove(self._path, lasting=self.note.boot_id is None)
            self.release()

    def release(self) -> None:
        """Let go of the entry and leave it for another look; idempotent."""
        if self._descriptor is not None:
            descriptor, self._descriptor = self._descriptor, None
            os.close(descriptor)


class Journal:
    """Keeps the entries in a folder below that of the instances.

    :param host: name of this host; no two that share the folder have the same
    :param identity: returns URI and uuid of this host, as libvirt says; not
        needed to look
    """

    def __init__(
            self, instances_path: str, host: str,
            identity: Callable[[], tuple[str, str]] = lambda: ('', ''),
    ) -> None:
        self.folder = os.path.join(instances_path, FOLDER)
        self._host = host
        self._end = f'@{quoted(host)}{_SUFFIX}'
        self._identity = identity

    def begin(
            self, operation: str, *, uuid: str, name: str,
            lasting: bool = True, **values: object) -> Entry:
        """Write down what begins; it is on the disk when this returns.

        :param lasting: the clean-up has something to do after a boot of the
            host as well. Else the kernel keeps the entry for the next
            process, nothing waits for the disk, and after a loss of power it
            may be gone, or back though it was ended
        :param values: what is needed to clean up; JSON can hold them
        :raises StorageFailure: it cannot be written; nothing is left
        """
        token = secrets.token_hex(8)
        note = Note(id=token, operation=operation, uuid=uuid, name=name,
                    owner=self._owner(), begun_at=time.time(), values=values,
                    boot_id=None if lasting else records.boot_id())
        path = os.path.join(self.folder, f'{uuid}.{token}{self._end}')
        with self._failing('write in'):
            os.makedirs(self.folder, mode=0o750, exist_ok=True)
            try:
                return Entry(path, _write(
                    path, note, self._end, lasting=lasting), note, self._end)
            except BaseException:
                remove(path)
                raise

    def subjects(self) -> set[str]:
        """Return the uuids of which this host may have something to clean.

        Files that are not entries are left where they are.

        :raises StorageFailure: the folder cannot be read
        """
        return {note.uuid for _, note in self._notes(mine=True)}

    def notes(self, uuid: str = '') -> list[Note]:
        """Return what all entries say, of all hosts, the oldest first.

        :param uuid: only of that instance
        :raises StorageFailure: the folder cannot be read
        """
        return sorted((note for _, note in self._notes(uuid)),
                      key=lambda note: note.begun_at)

    def unreadable(self) -> list[str]:
        """Return the paths of entries that say nothing.

        :raises StorageFailure: the folder cannot be read
        """
        return sorted(path for path, found in self._entries()
                      if isinstance(found, exception.StorageFailure))

    def foreign(self, uuid: str) -> list[Note]:
        """Return what is under way, or left, elsewhere on an instance.

        :raises StorageFailure: the folder, or such an entry, cannot be read
        """
        return [note for _, note in self._foreign(uuid)
                if note.superseded_by is None]

    def supersede(
            self, uuid: str,
            which: Callable[[Note], bool] = lambda note: True) -> None:
        """Tell other owners that they no longer have an instance.

        They remove their domain of it, and leave its files alone, whatever
        their operation was about.

        :param which: says of which operations to tell
        :raises StorageFailure: an entry cannot be read or written
        """
        for path, note in self._foreign(uuid):
            if note.superseded_by == self._owner() or (
                    not which(note)):
                continue
            LOG.warning(
                'This host has the instance now: what %s began on %s is '
                'superseded', note.operation,
                note.owner or 'an unknown host', instance={'uuid': uuid})
            self._mark(path, note, self._owner())

    def give_back(self, uuid: str) -> None:
        """Tell other owners that they have an instance after all.

        :raises StorageFailure: an entry cannot be read or written
        """
        for path, note in self._foreign(uuid):
            if note.superseded_by == self._owner():
                self._mark(path, note, None)

    def _mark(self, path: str, note: Note, owner: Owner | None) -> None:
        with self._failing('write in'):
            os.close(_write(path, dataclasses.replace(
                note, superseded_by=owner), self._end, lasting=True))

    def is_held(self, note: Note) -> bool:
        """Say whether a process of this host has an entry."""
        for path, found in self._notes(mine=True):
            if found.id == note.id:
                with self._failing('lock an entry in'):
                    descriptor = locking.try_lock(path, create=False)
                if descriptor is None:
                    return os.path.exists(path)
                os.close(descriptor)
        return False

    @contextlib.contextmanager
    def left(
            self, uuid: str, entry_id: str | None = None, *,
            foreign: bool = False) -> Iterator[list[Entry]]:
        """Lend, locked, the entries about an instance that are not held.

        They are this owner's, or of a version that wrote down no owner. Their
        process has died, or could not undo what it did. No other caller gets
        them meanwhile. Those that are not ended are let go again.

        :param entry_id: only that one
        :param foreign: those of other owners as well, for an operator who
            knows that they are gone
        :raises StorageFailure: the folder, or one of them, cannot be read
        :raises WrongState: a process has one of them
        """
        with contextlib.ExitStack() as stack:
            entries = []
            for path, note in sorted(self._notes(uuid, mine=not foreign)):
                if entry_id not in (None, note.id) or not (
                        foreign or self.is_ours(note)):
                    continue
                entry = self._taken(path, uuid)
                if entry is not None:
                    stack.callback(entry.release)
                    entries.append(entry)
            yield entries

    @contextlib.contextmanager
    def picked_up(self, uuid: str, operation: str) -> Iterator[Entry]:
        """Lend, locked, the entry of an open operation.

        What is not ended, nor advanced to another phase, stays open.

        :raises WrongState: it is not open on the instance
        """
        with self.left(uuid) as entries:
            for entry in entries:
                if entry.note.operation == operation and entry.note.is_open:
                    yield entry
                    return
            raise exception.WrongState(
                tried=f'continue to {operation}', instance=uuid,
                state='without it open')

    def sweep(self) -> None:
        """Remove entries that processes of this host died writing.

        And those that a loss of power has left empty.
        """
        for name in self._names():
            path = os.path.join(self.folder, name)
            if name.endswith(self._end + _NEW) or (
                    name.endswith(self._end) and self._is_lost(path)):
                descriptor = locking.try_lock(path, create=False)
                if descriptor is not None:
                    remove(path)
                    os.close(descriptor)

    def _owner(self) -> Owner:
        return Owner(self._host, *self._identity())

    def is_ours(self, note: Note) -> bool:
        """Say whether this owner may clean up after an operation."""
        if note.owner is None:
            return note.superseded_by != self._owner()
        return note.owner == self._owner()

    def _foreign(self, uuid: str) -> Iterator[tuple[str, Note]]:
        for path, note in self._notes(uuid):
            if note.owner != self._owner():
                yield path, note

    def _notes(
            self, uuid: str = '', *, mine: bool = False,
    ) -> Iterator[tuple[str, Note]]:
        for path, found in self._entries(uuid, mine=mine):
            if isinstance(found, Note):
                if uuid in ('', found.uuid):
                    yield path, found
            elif uuid and '@' in os.path.basename(path):
                # It costs only the instance that it is about.
                raise found

    def _entries(
            self, uuid: str = '', *, mine: bool = False,
    ) -> Iterator[tuple[str, Note | exception.StorageFailure]]:
        """Yield what entries say, or why one cannot be read.

        :param uuid: leaves out those whose name says another one
        """
        for name in self._names():
            if not _may_concern(name, uuid) or (
                    mine and '@' in name and not name.endswith(self._end)):
                continue
            path = os.path.join(self.folder, name)
            try:
                yield path, _read(path)
            except exception.StorageFailure as error:
                # One that has ended by now does not count.
                if not isinstance(error.__cause__, FileNotFoundError) and (
                        not self._is_lost(path)):
                    yield path, error

    def _is_lost(self, path: str) -> bool:
        """Say whether an entry of this host was not brought to the disk.

        After a loss of power its file is there without a byte.
        """
        with contextlib.suppress(FileNotFoundError):
            return path.endswith(self._end) and not os.lstat(path).st_size
        return True

    def _taken(self, path: str, uuid: str) -> Entry | None:
        """Return an entry, locked; None when it has just ended.

        Who has the instance may have to wait for another one that looks
        whether the entry is held.
        """
        deadline = time.monotonic() + _TAKE_S
        with self._failing('lock an entry in'):
            while (entry := _take(path, self._end)) is None and (
                    os.path.exists(path)):
                if time.monotonic() >= deadline:
                    raise exception.WrongState(
                        tried='clean up', instance=uuid,
                        state='busy in another process')
                time.sleep(_POLL_S)
        return entry

    def _names(self) -> list[str]:
        with self._failing('read'), contextlib.suppress(FileNotFoundError):
            return os.listdir(self.folder)
        return []

    def _failing(self, what: str) -> contextlib.AbstractContextManager[None]:
        return failure.naming(f'cannot {what} {self.folder}', self.folder)


def _may_concern(name: str, uuid: str) -> bool:
    """Say whether a file may be an entry about an instance, by its name.

    :param uuid: of the instance; empty for any
    """
    # Former versions wrote neither instance nor host into the name.
    return name.endswith(_SUFFIX) and (
        '@' not in name or name.startswith(uuid))


def age(age_s: float) -> str:
    """Return a time that has passed, in words."""
    seconds = max(0, round(age_s))
    for unit, length in (('d', 86400), ('h', 3600), ('min', 60)):
        if seconds >= 2 * length:
            return f'{seconds // length} {unit}'
    return f'{seconds} s'


def quoted(host: str) -> str:
    """Return a host's name as a part of a file's."""
    return parse.quote(host, safe='')[:_MAX_HOST]


def remove(path: str, *, lasting: bool = True) -> None:
    """Remove a file, from the disk as well; there need not be one.

    :param lasting: it must not be back after a loss of power
    :raises StorageFailure: it cannot be removed
    """
    with failure.naming(f'cannot remove {path}', path):
        pathlib.Path(path).unlink(missing_ok=True)
        if lasting:
            atomic.sync(os.path.dirname(path))


def _write(path: str, note: Note, end: str, *, lasting: bool) -> int:
    """Write an entry and return its descriptor, locked.

    It appears whole, and locked. One that is there is replaced.

    :param end: of the temporary name, which no other writer uses
    :param lasting: it is on the disk when this returns
    """
    folder = os.path.dirname(path)
    new = os.path.join(
        folder, f'{note.uuid}.{secrets.token_hex(8)}{end}{_NEW}')
    descriptor = None
    while descriptor is None:
        descriptor = locking.try_lock(new)
    try:
        with open(descriptor, 'wb', closefd=False) as file:
            file.write(note.data())
        if lasting:
            os.fsync(descriptor)
        os.rename(new, path)
        if lasting:
            atomic.sync(folder)
    except BaseException:
        pathlib.Path(new).unlink(missing_ok=True)
        os.close(descriptor)
        raise
    return descriptor


def _read(path: str) -> Note:
    with failure.naming(f'cannot read {path}', path):
        return _parsed(path, records.read(path))


def _take(path: str, end: str) -> Entry | None:
    descriptor = locking.try_lock(path, create=False)
    if descriptor is None:
        return None
    try:
        return Entry(path, descriptor, _parsed(
            path, records.read_open(descriptor)), end)
    except BaseException:
        os.close(descriptor)
        raise


def _parsed(path: str, data: bytes) -> Note:
    # What former versions did not write down.
    older = {'id': os.path.basename(path).partition('.')[0],
             'begun_at': os.path.getmtime(path), 'owner': None}
    return records.structure({**older, **records.parse(data)}, Note)
