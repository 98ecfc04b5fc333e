# SPDX-License-Identifier: Apache-2.0

"""The way from libvirt's threads to ours.

Libvirt runs a callback on its loop thread or on whichever thread is inside
a call, so a callback may do one thing only: put what it has into the inbox.
``put`` never blocks, takes no lock that others hold, and is safe on a native
thread of an eventlet process. The thread that empties the inbox only sorts
and books; what may block is done elsewhere.

Also which events a session subscribes to, and what becomes of each.
"""

from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Iterator
import contextlib
import dataclasses
import os
import queue
import threading
import time
from typing import Any
from typing import Protocol

import libvirt
from oslo_log import log as logging

from nova_libvirt_driver.calls import errors
from nova_libvirt_driver.calls import protocol
from nova_libvirt_driver.calls import runtime as runtime_module
from nova_libvirt_driver.events import decode
from nova_libvirt_driver.events import router as router_module
from nova_libvirt_driver.spec import event

LOG = logging.getLogger(__name__)

_STOP = object()

_REASONS = {
    libvirt.VIR_CONNECT_CLOSE_REASON_ERROR: 'an I/O error',
    libvirt.VIR_CONNECT_CLOSE_REASON_EOF: 'the daemon closed it',
    libvirt.VIR_CONNECT_CLOSE_REASON_KEEPALIVE: 'keepalive got no answer',
    libvirt.VIR_CONNECT_CLOSE_REASON_CLIENT: 'this client closed it',
}

_PREFIX = 'VIR_DOMAIN_EVENT_ID_'
_LIFECYCLE = f'{_PREFIX}LIFECYCLE'

Fields = dict[str, Any]
LifecycleCallback = Callable[..., None]


@dataclasses.dataclass(frozen=True, slots=True)
class Closed:
    """Libvirt says that a session is gone."""

    generation: int
    reason: int

    @property
    def words(self) -> str:
        """The reason, for people."""
        return _REASONS.get(self.reason, f'reason {self.reason}')


@dataclasses.dataclass(frozen=True, slots=True)
class Listed:
    """All guests of a new session, or None when they cannot be listed."""

    generation: int
    reports: list[decode.Report] | None


class Inbox(Protocol):
    """An unbounded queue with many writers and one reader."""

    def put(self, item: object) -> None:
        """Add an item; never blocks."""

    def get(self) -> Any:
        """Take the oldest item; blocks the calling (green) thread."""

    def qsize(self) -> int:
        """Return about how many items wait."""


class GreenInbox:
    """The inbox of an eventlet process: a pipe wakes the green reader."""

    def __init__(self) -> None:
        self._items = runtime_module.original('collections').deque()
        self._os = runtime_module.original('os')
        self._reader, self._writer = os.pipe()
        os.set_blocking(self._reader, False)
        os.set_blocking(self._writer, False)

    def put(self, item: object) -> None:
        self._items.append(item)
        try:
            self._os.write(self._writer, b'.')
        except BlockingIOError:
            # A full pipe wakes the reader as well as one more byte.
            return

    def get(self) -> Any:
        from eventlet import hubs
        while True:
            try:
                return self._items.popleft()
            except IndexError:
                hubs.trampoline(self._reader, read=True)
                # The hub may wake without a byte; the thread that reads must
                # not end of it, for no event would arrive any more.
                with contextlib.suppress(BlockingIOError):
                    self._os.read(self._reader, 65536)

    def qsize(self) -> int:
        return len(self._items)

    def __del__(self) -> None:
        os.close(self._reader)
        os.close(self._writer)


def make() -> Inbox:
    """Return the inbox that fits this process."""
    # SimpleQueue, not Queue: its put may be interrupted by itself.
    return (GreenInbox() if runtime_module.in_eventlet_process()
            else queue.SimpleQueue())


class Reader:
    """Hands guests' events to the router."""

    def __init__(
            self, inbox: Inbox, router: router_module.Router,
            runtime: runtime_module.Runtime = runtime_module.PROCESS,
    ) -> None:
        self._inbox = inbox
        self._runtime = runtime
        self._router = router
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def ensure_running(self, closed: Callable[[Closed], object]) -> None:
        """Start the thread unless it runs.

        :param closed: takes what libvirt says of the end of a session
        :raises RuntimeError: the process has no thread left
        """
        with self._lock:
            if self._thread is None:
                self._thread = self._runtime.thread(
                    'libvirt-reader', lambda: self._run(closed))
                try:
                    self._thread.start()
                except RuntimeError:
                    self._thread = None
                    raise

    def stop(self, timeout_s: float) -> None:
        """Stop the thread; waits for it for *timeout_s* at most."""
        with self._lock:
            thread, self._thread = self._thread, None
        if thread is not None:
            self._inbox.put(_STOP)
            thread.join(timeout_s)

    def _run(self, closed: Callable[[Closed], object]) -> None:
        while True:
            item = self._inbox.get()
            if item is _STOP:
                return
            try:
                if isinstance(item, Closed):
                    closed(item)
                elif isinstance(item, Listed):
                    self._router.synchronize(item.reports, item.generation)
                elif isinstance(item, router_module.Change):
                    self._router.handle(item)
            except Exception:
                LOG.exception('A message from libvirt was lost: %r', item)


def _agent(state: int, reason: int) -> Fields:
    return {'connected': state == libvirt.
            VIR_CONNECT_DOMAIN_EVENT_AGENT_LIFECYCLE_STATE_CONNECTED}


def _block_job(target_dev: str, kind: int, status: int) -> Fields:
    job_type, words = decode.block_job(kind, status)
    return {'target_dev': target_dev, 'job_type': job_type, 'status': words}


def _io_error(path: str, alias: str, action: int, reason: str) -> Fields:
    return {'path': path, 'alias': alias, 'reason': reason,
            'action': decode.io_error_action(action)}


def _job_completed(stats: dict[str, Any]) -> Fields:
    return {'success': bool(stats.get('success', False)),
            'operation': int(stats.get('operation', 0)),
            'error': str(stats.get('errmsg', ''))}


# Kind of event, what libvirt calls it, and what makes the fields of it that
# are not those of every event.
_DECODERS: tuple[tuple[
    type[event.GuestEvent], str, Callable[..., Fields]], ...] = (
    (event.DeviceEvent, 'DEVICE_REMOVED',
     lambda alias: {'alias': alias, 'removed': True}),
    (event.DeviceEvent, 'DEVICE_REMOVAL_FAILED',
     lambda alias: {'alias': alias, 'removed': False}),
    (event.AgentEvent, 'AGENT_LIFECYCLE', _agent),
    # The second form names the disk by its target, not by a path.
    (event.BlockJobEvent, 'BLOCK_JOB_2', _block_job),
    (event.IOErrorEvent, 'IO_ERROR_REASON', _io_error),
    (event.RebootEvent, 'REBOOT', lambda: {}),
    (event.JobCompletedEvent, 'JOB_COMPLETED', _job_completed),
    (event.MigrationIterationEvent, 'MIGRATION_ITERATION',
     lambda iteration: {'iteration': iteration}),
)

# Of two names for one kind the first counts.
_NAMES: dict[type[event.GuestEvent], str] = {
    event.LifecycleEvent: _LIFECYCLE,
    **{kind: _PREFIX + name for kind, name, _ in reversed(_DECODERS)}}


def name_of(kind: type[event.GuestEvent]) -> str:
    """Return libvirt's name for a kind of event."""
    return _NAMES[kind]


class Missing(Exception):
    """There is no subscription to one kind of event."""

    def __init__(self, name: str, error: libvirt.libvirtError) -> None:
        super().__init__(f'{name}: {errors.text(error)}')
        self.name = name
        self.error = error


@dataclasses.dataclass(frozen=True, slots=True)
class Subscriptions:
    """What a session subscribes to, and where its events go."""

    lifecycle: Callable[[], LifecycleCallback]
    """Returns what libvirt is to call for a lifecycle event."""
    inbox: Inbox

    def all(self) -> Iterator[tuple[str, int, Callable[..., None]]]:
        """Give every kind of event that this libvirt has.

        Lifecycle events come first.

        :returns: libvirt's name and number, and what to call for it
        """
        yield _LIFECYCLE, getattr(libvirt, _LIFECYCLE), self.lifecycle()
        for kind, name, decoder in _DECODERS:
            event_id = getattr(libvirt, _PREFIX + name, None)
            if event_id is not None:
                yield _PREFIX + name, event_id, self._callback(kind, decoder)

    def receive(
            self, domain: protocol.Domain, number: int, detail: int,
            generation: int) -> None:
        """Take a lifecycle event; on a thread of libvirt, never blocks."""
        change = decode.lifecycle(domain, number, detail, generation)
        if change is not None:
            self.inbox.put(change)

    def _callback(
            self, kind: type[event.GuestEvent],
            decoder: Callable[..., Fields]) -> Callable[..., None]:
        inbox = self.inbox

        def callback(
                connection: object, domain: protocol.Domain,
                *args: Any) -> None:
            *values, generation = args
            inbox.put(kind(
                uuid=domain.UUIDString(), name=domain.name(),
                generation=generation, timestamp=time.time(),
                **decoder(*values)))

        return callback


def log_problems(problems: Iterable[Exception], uri: str) -> None:
    """Tell the operator what a new session lacks."""
    for problem in problems:
        if not isinstance(problem, Missing):
            LOG.warning('The connection to %s is not complete: %s',
                        uri, problem)
        elif errors.is_failure(problem.error):
            LOG.error('The subscription to events of %s failed: %s',
                      uri, problem)
        elif problem.name == _LIFECYCLE:
            LOG.warning('%s has no lifecycle events (%s): changes of guests '
                        'are seen only when asked for', uri, problem)
        else:
            LOG.debug('%s has no such events: %s', uri, problem)
