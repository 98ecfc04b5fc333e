# SPDX-License-Identifier: Apache-2.0

"""From raw events to transitions that a listener hears of.

Events of a new session are held back until its guests have been compared
with what was known before; events of an old one are dropped. That way a
missed transition is inferred once, and before the ones that follow it.

The stop of a guest that an operation stops in order to start it again is
none of the instance: who hears of it would write down that it is off, or stop
it once more.
"""

from collections.abc import Callable
from collections.abc import Collection
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Mapping
import contextlib
import threading

from oslo_log import log as logging

from nova_libvirt_driver.events import decode
from nova_libvirt_driver.events import expecting
from nova_libvirt_driver.events import registry
from nova_libvirt_driver.spec import event

LOG = logging.getLogger(__name__)

_STOPS = (event.Transition.STOPPED, event.Transition.CRASHED)

# How long the event of a start may be behind the answer to the start.
_LATE_S = 1.0

_PAUSE, _IO_ERROR = 'pause', 'ioerror'
# QEMU reports each request that fails, which may be thousands a second.
_QUIET_S = 60.0
_NEXT_STEP = ('make room on its file system or repair its storage, then '
              'unpause the instance')


class Router:
    """Keeps the registry and passes transitions on, in order.

    :param forward: takes each transition; must not block
    :param waits: gets every event, for those who wait for one
    """

    def __init__(
            self, forward: Callable[[event.LifecycleEvent], None],
            waits: expecting.Waits | None = None) -> None:
        self._forward_transition = forward
        self._waits = waits or expecting.Waits()
        # Held for bookkeeping only; neither libvirt nor a listener is
        # called meanwhile.
        self._lock = threading.Lock()
        self._registry = registry.Registry()
        self._generation = 0
        self._is_current = False
        self._held: list[registry.Change] = []
        self._disk_errors = _DiskErrors()

    @property
    def generation(self) -> int:
        """The session whose guests were compared last; 0 for none."""
        return self._generation

    @property
    def is_current(self) -> bool:
        """That session could list its guests."""
        return self._is_current

    def known(self, uuid: str) -> registry.Known | None:
        """Return what events say of a guest, None when they do not."""
        with self._lock:
            return self._registry.get(uuid) if self._is_current else None

    def touch(self, uuid: str) -> None:
        """Let what is known of a guest count as news, though it is none.

        Something was done to it of which an event may still be on its way.
        """
        with self._lock:
            self._registry.touch(uuid)

    def disk_errors(self) -> Mapping[str, event.IOErrorEvent]:
        """Return the last error of each guest whose disks had any, by uuid.

        Those that were heard of since the driver was made.
        """
        with self._lock:
            return dict(self._disk_errors.last)

    def handle(self, change: registry.Change) -> None:
        """Take one event in the order in which libvirt sent it."""
        with self._lock:
            if change.generation > self._generation:
                self._held.append(change)
            elif change.generation == self._generation:
                self._apply(change)

    def synchronize(
            self, reports: Iterable[decode.Report] | None,
            generation: int) -> None:
        """Compare with a full listing and let held events go.

        :param reports: None when the guests could not be listed; then
            nothing is inferred, and what is known counts as outdated
        """
        with self._lock:
            if generation <= self._generation:
                return
            self._generation = generation
            self._is_current = reports is not None
            if reports is not None:
                reports = list(reports)
                self._disk_errors.keep({report.uuid for report in reports})
                for missed in self._registry.compare(reports, generation):
                    LOG.info('Missed event "%s" of guest %s',
                             missed.transition, missed.name,
                             instance={'uuid': missed.uuid})
                    self._forward(missed)
            held, self._held = self._held, []
            for change in self._registry.unseen(held):
                if change.generation == generation:
                    self._apply(change)

    def guests(self) -> Mapping[str, registry.Known]:
        """Return what is known of each guest now, by uuid."""
        with self._lock:
            return self._registry.guests()

    def confirm(
            self, before: Mapping[str, registry.Known],
            reports: Iterable[decode.Report], generation: int) -> None:
        """Pass on that guests are down of which no event has told.

        :param before: what was known before they were listed
        :param reports: a full listing of a session
        :param generation: of that session; one that is not the present one
            changes nothing
        """
        with self._lock:
            if generation != self._generation or not self._is_current:
                return
            for missed in self._registry.confirm(
                    before, reports, generation):
                LOG.info('libvirt never sent event "%s" of guest %s',
                         missed.transition, missed.name,
                         instance={'uuid': missed.uuid})
                self._forward(missed)

    def _forward(self, transition: event.LifecycleEvent) -> None:
        self._waits.take(transition)
        self._forward_transition(transition)

    def _apply(self, change: registry.Change) -> None:
        self._disk_errors.note(change)
        transition = self._registry.apply(change)
        if transition is not None:
            self._forward(transition)
        elif isinstance(change, event.GuestEvent) and not isinstance(
                change, event.LifecycleEvent):
            self._waits.take(change)
            LOG.debug('Guest %s: %s', change.name, change,
                      instance={'uuid': change.uuid})


class _DiskErrors:
    """Warns of disks that fail, once a minute for each guest.

    A guest that goes on and is paused again is warned of again.

    :ivar last: the last error of each guest that exists, by uuid
    """

    def __init__(self) -> None:
        self.last: dict[str, event.IOErrorEvent] = {}
        # When a guest was warned of, by its uuid and what QEMU did.
        self._warned: dict[tuple[str, str], float] = {}

    def keep(self, uuids: Collection[str]) -> None:
        """Forget all guests but these."""
        self.last = {uuid: error for uuid, error in self.last.items()
                     if uuid in uuids}

    def note(self, change: registry.Change) -> None:
        if isinstance(change, decode.Gone):
            self.last.pop(change.uuid, None)
        elif isinstance(change, event.IOErrorEvent):
            self.last[change.uuid] = change
            self._warn(change, change.action, f'Disk {change.path} failed '
                       f'({change.reason or "I/O error"})')
        elif not isinstance(change, event.LifecycleEvent):
            return
        elif change.transition is event.Transition.RESUMED:
            self._warned.pop((change.uuid, _PAUSE), None)
        elif (change.transition is event.Transition.PAUSED
              and change.detail == _IO_ERROR):
            self._warn(change, _PAUSE, 'A disk failed or has no room')

    def _warn(
            self, change: event.GuestEvent, action: str, what: str) -> None:
        now_s = change.timestamp
        self._warned = {key: at_s for key, at_s in self._warned.items()
                        if 0 <= now_s - at_s < _QUIET_S}
        if (change.uuid, action) in self._warned:
            return
        self._warned[change.uuid, action] = now_s
        LOG.warning(
            'Guest %s: %s%s', change.name, what,
            f', and QEMU paused the guest: {_NEXT_STEP}.'
            if action == _PAUSE else '.', instance={'uuid': change.uuid})


class _Restart:
    """What has been heard of one guest since its operation began."""

    def __init__(self) -> None:
        self.stops: list[event.LifecycleEvent] = []
        self.settled = threading.Event()
        self.settled.set()


class Restarts:
    """Holds back the stop of a guest until it is known what becomes of it.

    :param forward: takes each event; must not block
    """

    def __init__(
            self, forward: Callable[[event.LifecycleEvent], None]) -> None:
        self._forward = forward
        # Held while forwarding, too: a stop that is let go must not come
        # behind the start that follows it.
        self._lock = threading.Lock()
        self._restarts: dict[str, _Restart] = {}

    def take(self, item: event.LifecycleEvent) -> None:
        """Pass an event on, or hold it; never blocks."""
        with self._lock:
            restart = self._restarts.get(item.uuid)
            if restart is not None:
                if item.transition in _STOPS:
                    restart.stops.append(item)
                    restart.settled.clear()
                    return
                if item.transition is event.Transition.STARTED:
                    restart.stops.clear()
                    restart.settled.set()
            self._forward(item)

    @contextlib.contextmanager
    def during(self, uuid: str) -> Iterator[None]:
        """Hold back stops of a guest while an operation restarts it.

        A stop that no start has followed a second after the operation
        ended is passed on then. One operation at a time for each guest.
        """
        restart = _Restart()
        with self._lock:
            self._restarts[uuid] = restart
        try:
            yield
        finally:
            restart.settled.wait(_LATE_S)
            with self._lock:
                del self._restarts[uuid]
                for stop in restart.stops:
                    self._forward(stop)
