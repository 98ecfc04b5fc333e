# SPDX-License-Identifier: Apache-2.0

"""One operation at a time for each instance, between processes too.

The lock is that of a file, so it ends with the process that has it. A
deletion may ask the operation under way to give up: it is told at its next
step, undoes what it did, and lets go of the lock.
"""

from collections.abc import Callable
from collections.abc import Iterator
import contextlib
import fcntl
import os
import time

from nova_libvirt_driver import exception
from nova_libvirt_driver import ports
from nova_libvirt_driver.spec import instance as instance_spec

_FOLDER = '.operations'
_POLL_S = 0.05
_BUSY_S = 5.0
_CANCEL_S = 120.0


class Exclusive:
    """Locks instances.

    :param instances_path: the folder of the instances; locks are files in a
        folder of their own below it
    :param touched: takes the uuid of each instance that was locked, as soon
        as the operation has ended, however it has
    :param busy_s: how long to wait for another operation to end by itself
    """

    def __init__(
            self, instances_path: str,
            touched: Callable[[str], None] = lambda uuid: None, *,
            busy_s: float = _BUSY_S) -> None:
        self._folder = os.path.join(instances_path, _FOLDER)
        self._touched = touched
        self._busy_s = busy_s

    @contextlib.contextmanager
    def hold(
            self, instance: instance_spec.Instance, operation: str,
            progress: ports.Progress, *,
            patient: bool = True) -> Iterator[ports.Progress]:
        """Hold the lock of an instance.

        :param patient: wait for another operation to end by itself
        :returns: a progress that passes on what it is told, and raises when
            the instance is to be deleted
        :raises WrongState: another operation has the lock
        """
        lock = self._acquire(
            instance, operation, self._busy_s if patient else 0.0)
        try:
            yield _Watched(progress, self._cancel_path(instance), instance,
                           operation)
        finally:
            self._end(instance, lock)

    @contextlib.contextmanager
    def take_over(
            self, instance: instance_spec.Instance,
            operation: str) -> Iterator[None]:
        """Let the operation under way give up, and hold the lock.

        Waits for two minutes at the most.

        :raises WrongState: it does not give up
        """
        self._make_folder()
        with _asked_to_give_up(self._cancel_path(instance)):
            lock = self._acquire(instance, operation, _CANCEL_S)
        try:
            yield
        finally:
            self._end(instance, lock)

    def sweep(self) -> None:
        """Remove the locks that killed processes have left."""
        with contextlib.suppress(FileNotFoundError):
            for name in os.listdir(self._folder):
                path = os.path.join(self._folder, name)
                if name.endswith('.lock'):
                    lock = _try(path, 'clean up')
                    if lock is not None:
                        _release(lock)
                elif name.endswith('.cancel'):
                    _is_asked(path)

    def _end(
            self, instance: instance_spec.Instance, lock: '_Lock') -> None:
        try:
            self._touched(instance.uuid)
        finally:
            _release(lock)

    def _acquire(
            self, instance: instance_spec.Instance, operation: str,
            timeout_s: float) -> '_Lock':
        self._make_folder()
        path = os.path.join(self._folder, f'{_checked(instance)}.lock')
        deadline = time.monotonic() + timeout_s
        while True:
            lock = _try(path, operation)
            if lock is not None:
                return lock
            if time.monotonic() >= deadline:
                raise exception.WrongState(
                    tried=f'begin to {operation}', instance=instance.uuid,
                    state=f'busy with {_holder(path)}')
            time.sleep(_POLL_S)

    def _cancel_path(self, instance: instance_spec.Instance) -> str:
        return os.path.join(self._folder, f'{_checked(instance)}.cancel')

    def _make_folder(self) -> None:
        try:
            os.makedirs(self._folder, mode=0o750, exist_ok=True)
        except OSError as error:
            raise exception.StorageFailure(
                reason=f'cannot make the folder {self._folder}: '
                f'{error.strerror}', path=self._folder) from error


class _Lock:
    def __init__(self, path: str, descriptor: int) -> None:
        self.path = path
        self.descriptor = descriptor


class _Watched:
    """A progress that ends the operation when it is asked to give up."""

    def __init__(
            self, progress: ports.Progress, cancel_path: str,
            instance: instance_spec.Instance, operation: str) -> None:
        self._progress = progress
        self._cancel_path = cancel_path
        self._instance = instance
        self._operation = operation

    def step(self, name: str) -> None:
        self._check()
        self._progress.step(name)

    def advance(self, done: int, total: int) -> None:
        self._check()
        self._progress.advance(done, total)

    def _check(self) -> None:
        if _is_asked(self._cancel_path):
            raise exception.WrongState(
                tried=f'go on to {self._operation}',
                instance=self._instance.uuid, state='being deleted')


@contextlib.contextmanager
def _asked_to_give_up(path: str) -> Iterator[None]:
    """Keep a file that asks for it, locked for as long as this lives."""
    descriptor = _shared(path)
    try:
        yield
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
        os.close(descriptor)


def _shared(path: str) -> int:
    while True:
        descriptor = _open(path)
        fcntl.flock(descriptor, fcntl.LOCK_SH)
        # Before it was locked, who looked took it for a killed process's
        # and may have removed it.
        with contextlib.suppress(FileNotFoundError):
            if os.stat(path).st_ino == os.fstat(descriptor).st_ino:
                return descriptor
        os.close(descriptor)


def _is_asked(path: str) -> bool:
    """Say whether somebody asks; what a killed process left is removed."""
    if not os.path.exists(path):
        return False
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    else:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
        return False
    finally:
        os.close(descriptor)


def _try(path: str, operation: str) -> _Lock | None:
    descriptor = _open(path)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Whoever had it may have removed the file since it was opened: then
        # this lock is one on a file that nobody else finds.
        if os.stat(path).st_ino == os.fstat(descriptor).st_ino:
            _sign(descriptor, operation)
            return _Lock(path, descriptor)
    except (BlockingIOError, FileNotFoundError):
        pass
    except BaseException:
        os.close(descriptor)
        raise
    os.close(descriptor)
    return None


def _open(path: str) -> int:
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o640)
    except OSError as error:
        raise exception.StorageFailure(
            reason=f'cannot open the lock {path}: {error.strerror}',
            path=os.path.dirname(path)) from error


def _sign(descriptor: int, operation: str) -> None:
    # For messages only. On a full disk the lock is as good without it, and
    # what makes room there has to get it.
    with contextlib.suppress(OSError):
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, operation.encode(), 0)


def _release(lock: _Lock) -> None:
    # Removed before it is let go, so that no other's file is removed.
    with contextlib.suppress(FileNotFoundError):
        os.unlink(lock.path)
    os.close(lock.descriptor)


def _holder(path: str) -> str:
    try:
        with open(path, encoding='utf-8', errors='replace') as file:
            return file.read(64) or 'another operation'
    except OSError:
        return 'another operation'


def _checked(instance: instance_spec.Instance) -> str:
    if not instance_spec.is_uuid(instance.uuid):
        raise exception.InvalidRequest(
            reason=f'{instance.uuid!r} is no uuid of an instance')
    return instance.uuid
