# SPDX-License-Identifier: Apache-2.0

"""One operation at a time for each instance, between processes too.

The lock is that of a file, so it ends with the process that has it. A
deletion may ask the operation under way to give up: that hears of it at its
next step, undoes what it did, and lets go of the lock. So may an operation
that cuts the power, and those hear of it that wait for the guest to let go of
a device: for them the stop is as good.

Each host has locks of its own, also where several share the folder: whether
they see each other's depends on the file system, and the lock of a host that
has lost its power may stay for ever. What keeps hosts apart is the journal.
"""

from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
import contextlib
import dataclasses
import os
import time

from nova_libvirt_driver import exception
from nova_libvirt_driver.filesystem import locking
from nova_libvirt_driver import ports
from nova_libvirt_driver.spec import instance as instance_spec
from nova_libvirt_driver.storage import journal as journal_module

_POLL_S = 0.05
_BUSY_S = 5.0
_CANCEL_S = 120.0

_CANCEL, _STOP = 'cancel', 'stop'
"""Kinds of files that ask an operation to give up, and for what."""

_NO_ENTRIES = ('.lock', f'.{_CANCEL}', f'.{_STOP}')
"""How the names end of all files in the folder but those of the journal."""

_OPEN_HINT = 'wait for its end: "nova-libvirt operations list" shows it'

_GIVE_WAY = ('attach', 'detach')
"""Operations that wait for guests, and end that when one is to stop."""


class Exclusive:
    """Locks instances.

    :param folder: where the locks are; is created
    :param host: name of this host
    :param touched: takes the uuid of each instance that was locked, as soon
        as the operation has ended, however it has
    :param settle: see :meth:`clean_ups.CleanUps.settle`
    :param busy_s: how long to wait for another operation to end by itself
    """

    def __init__(
            self, folder: str, host: str,
            touched: Callable[[str], None] = lambda uuid: None,
            settle: Callable[..., Sequence[journal_module.Note]] = (
                lambda instance, **options: ()), *,
            busy_s: float = _BUSY_S) -> None:
        self._folder = folder
        self._host = journal_module.quoted(host)
        self._touched = touched
        self._settle = settle
        self._busy_s = busy_s

    @contextlib.contextmanager
    def hold(
            self, instance: instance_spec.Instance, operation: str,
            progress: ports.Progress = ports.NullProgress(), *,
            patient: bool = True, wait_s: float | None = None,
            stopping: bool = False, continuing: str | None = '',
            settling: bool = True,
            given_up: bool = False) -> Iterator['Watched']:
        """Hold the lock of an instance; end what was interrupted on it.

        :param patient: wait for another operation to end by itself
        :param wait_s: how long; default is some seconds
        :param stopping: an operation that waits for the guest is asked to
            give up, as the power will be cut, and is waited for longer
        :param continuing: operation that may be open on it; None for any
        :param settling: end what was interrupted, and look what is open
        :param given_up: the guest is to be made here, or to come: end what an
            earlier move has left open as well, unless the guest is here
        :returns: a progress that passes on what it gets, and raises when the
            instance is to be deleted
        :raises WrongState: another operation has the lock, or is open
        :raises DriverError: what was interrupted cannot be ended now
        """
        if wait_s is None:
            wait_s = self._busy_s
        with self._locked(
                instance, operation, wait_s if patient else 0.0,
                asking=_STOP if stopping else ''):
            for note in self._settle(instance, given_up=given_up) if (
                    settling and self._may_have_entries(instance)) else ():
                if continuing not in (None, note.operation):
                    raise exception.WrongState(
                        tried=f'begin to {operation}', instance=instance.uuid,
                        state=f'open for {note.operation}: {note.phase}',
                        hint=note.values.get('hint', _OPEN_HINT))
            yield Watched(
                progress, instance, operation, {
                    kind: self._path(instance, kind)
                    for kind in (_CANCEL, _STOP)})

    def _may_have_entries(self, instance: instance_spec.Instance) -> bool:
        # The names alone: as a rule there is nothing to read.
        try:
            names = os.listdir(self._folder)
        except OSError:
            # To read the entries says what is wrong.
            return True
        # Former versions named neither instance nor host.
        return any('@' not in name or name.startswith(instance.uuid)
                   for name in names if not name.endswith(_NO_ENTRIES))

    @contextlib.contextmanager
    def take_over(
            self, instance: instance_spec.Instance,
            operation: str) -> Iterator[None]:
        """Let the operation under way give up, and hold the lock.

        Waits for at most two minutes. What was interrupted is left as it is.

        :raises WrongState: it does not give up
        """
        with self._locked(
                instance, operation, _CANCEL_S, asking=_CANCEL):
            yield

    def sweep(self) -> None:
        """Remove the locks that killed processes of this host have left."""
        with contextlib.suppress(FileNotFoundError):
            for name in os.listdir(self._folder):
                if name.endswith(tuple(
                        f'@{self._host}.{kind}'
                        for kind in ('lock', _CANCEL, _STOP))):
                    _is_held(os.path.join(self._folder, name))

    @contextlib.contextmanager
    def _locked(
            self, instance: instance_spec.Instance, operation: str,
            timeout_s: float, *, asking: str) -> Iterator[None]:
        path = self._path(instance, 'lock')
        with contextlib.ExitStack() as request:
            if asking:
                request.enter_context(self._asked_to_give_up(
                    self._path(instance, asking)))
            descriptor = self._awaited(
                path, instance, operation, timeout_s,
                is_stop=asking == _STOP)
            try:
                request.close()
                _sign(descriptor, operation)
                yield
            finally:
                try:
                    self._touched(instance.uuid)
                finally:
                    _remove(path, descriptor)

    def _awaited(
            self, path: str, instance: instance_spec.Instance,
            operation: str, timeout_s: float, *, is_stop: bool) -> int:
        """Return the descriptor of the lock once it is free."""
        begun_at = time.monotonic()
        while (descriptor := self._try(path)) is None:
            holder = _holder(path)
            if is_stop and holder in _GIVE_WAY:
                timeout_s = _CANCEL_S
            if time.monotonic() >= begun_at + timeout_s:
                raise exception.WrongState(
                    tried=f'begin to {operation}', instance=instance.uuid,
                    state=f'busy with {holder}')
            time.sleep(_POLL_S)
        return descriptor

    @contextlib.contextmanager
    def _asked_to_give_up(self, path: str) -> Iterator[None]:
        """Keep a file that asks for it, locked for as long as this lives."""
        # Who looked before it was locked took it for a killed process's.
        while (descriptor := self._try(path, shared=True)) is None:
            time.sleep(0)
        try:
            yield
        finally:
            _remove(path, descriptor)

    def _try(self, path: str, *, shared: bool = False) -> int | None:
        try:
            os.makedirs(self._folder, mode=0o750, exist_ok=True)
            return locking.try_lock(path, shared=shared)
        except OSError as error:
            raise exception.StorageFailure(
                reason=f'cannot open the lock {path}: {error.strerror}',
                path=self._folder) from error

    def _path(self, instance: instance_spec.Instance, kind: str) -> str:
        if not instance_spec.is_uuid(instance.uuid):
            raise exception.InvalidRequest(
                reason=f'{instance.uuid!r} is not the uuid of an instance')
        return os.path.join(
            self._folder, f'{instance.uuid}@{self._host}.{kind}')


@dataclasses.dataclass(frozen=True, slots=True)
class Watched:
    """A progress that ends the operation when it is asked to give up.

    :param asking: path of the file that asks, for each kind of request
    """

    progress: ports.Progress
    instance: instance_spec.Instance
    operation: str
    asking: Mapping[str, str]

    def step(self, name: str) -> None:
        """Say that a step begins.

        :raises GaveWay: the instance is to be deleted
        """
        self._check(_CANCEL, 'being deleted')
        self.progress.step(name)

    def advance(self, done: int, total: int) -> None:
        """Say how much of a step is done.

        :raises GaveWay: the instance is to be deleted
        """
        self._check(_CANCEL, 'being deleted')
        self.progress.advance(done, total)

    def give_way(self) -> None:
        """End a wait for the guest when the guest is not to run on.

        :raises GaveWay: it is to be deleted, or its power to be cut
        """
        self._check(_CANCEL, 'being deleted')
        self._check(_STOP, 'about to be stopped')

    def _check(self, kind: str, state: str) -> None:
        if _is_held(self.asking[kind]):
            raise exception.GaveWay(
                tried=f'go on to {self.operation}',
                instance=self.instance.uuid, state=state)


def _is_held(path: str) -> bool:
    """Say whether a process has it; what a killed one left is removed."""
    if not os.path.lexists(path):
        return False
    try:
        descriptor = locking.try_lock(path, create=False)
    except OSError:
        return False
    if descriptor is None:
        return os.path.lexists(path)
    _remove(path, descriptor)
    return False


def _remove(path: str, descriptor: int) -> None:
    # Removed before it is let go, so that no other's file is removed.
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
    os.close(descriptor)


def _sign(descriptor: int, operation: str) -> None:
    # For messages only. On a full disk the lock is as good without it, and
    # what makes room there has to get it.
    with contextlib.suppress(OSError):
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, operation.encode(), 0)


def _holder(path: str) -> str:
    try:
        with open(path, encoding='utf-8', errors='replace') as file:
            return file.read(64) or 'another operation'
    except OSError:
        return 'another operation'
