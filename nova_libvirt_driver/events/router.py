# SPDX-License-Identifier: Apache-2.0

"""From raw events to transitions that a listener hears of.

Events of a new session are held back until its guests have been compared
with what was known before; events of an old one are dropped. That way a
missed transition is inferred once, and before the ones that follow it.

The stop of a guest that an operation stops in order to start it again is
none of the instance: who hears of it would write down that it is off, or stop
it once more. When the operation fails, that is why the guest is off.
"""

from collections.abc import Callable
from collections.abc import Collection
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Mapping
import contextlib
import dataclasses
import itertools
import threading
import time

from oslo_log import log as logging

from nova_libvirt_driver.events import decode
from nova_libvirt_driver.events import expecting
from nova_libvirt_driver.spec import event
from nova_libvirt_driver.spec import instance

LOG = logging.getLogger(__name__)

_State = instance.PowerState
_Transition = event.Transition

_AFTER = {
    _Transition.STARTED: _State.RUNNING,
    _Transition.RESUMED: _State.RUNNING,
    _Transition.PAUSED: _State.PAUSED,
    _Transition.SUSPENDED: _State.SUSPENDED,
    _Transition.POSTCOPY_STARTED: _State.PAUSED,
    _Transition.MIGRATION_COMPLETED: _State.SHUTDOWN,
    _Transition.STOPPED: _State.SHUTDOWN,
    _Transition.CRASHED: _State.SHUTDOWN,
}

Change = event.GuestEvent | decode.Gone | decode.Defined
"""What libvirt may say of a guest."""

_UP = (_State.RUNNING, _State.PAUSED, _State.SUSPENDED)

_WHILE_UP = (_Transition.RESUMED, _Transition.PAUSED,
             _Transition.SUSPENDED, _Transition.POSTCOPY_STARTED)

_ARRIVAL = {
    _State.RUNNING: (_Transition.STARTED,),
    _State.PAUSED: (_Transition.STARTED, _Transition.PAUSED),
    _State.SUSPENDED: (_Transition.STARTED, _Transition.SUSPENDED),
}

_CHANGE = {
    _State.RUNNING: (_Transition.RESUMED,),
    _State.PAUSED: (_Transition.PAUSED,),
    _State.SUSPENDED: (_Transition.SUSPENDED,),
}

_STOPS = (event.Transition.STOPPED, event.Transition.CRASHED)

# How long an event may be behind the answer to what it tells of.
_LATE_S = 1.0

# Libvirt's word for a stop after a failure, which was not asked for.
_FAILED = 'failed'

_PAUSE, _IO_ERROR = 'pause', 'ioerror'
# QEMU reports each request that fails, which may be thousands a second.
_QUIET_S = 60.0
_BROKEN = 'postcopy-failed'
_NEXT_STEP = ('make room on its file system or repair its storage, then '
              'unpause the instance')


@dataclasses.dataclass(frozen=True, slots=True)
class Known:
    """What is known of one guest."""

    name: str
    state: instance.PowerState
    domain_id: int = -1
    """Libvirt's id of the running domain; a restart changes it."""
    synthesized_in: int = 0
    """Generation whose comparison found this state; 0 for an event."""
    version: int = dataclasses.field(
        init=False, compare=False, default_factory=itertools.count(1).__next__)
    """Greater than that of whatever was known of any guest before."""


class Registry:
    """The last known power state of every guest, and from where.

    Pure bookkeeping: it takes events and reports and says which transitions a
    listener should hear of. It locks nothing; its caller does.
    """

    def __init__(self) -> None:
        self._guests: dict[str, Known] = {}
        self._filled = False

    def get(self, uuid: str) -> Known | None:
        """Return what is known of a guest, None when there is none."""
        return self._guests.get(uuid)

    def touch(self, uuid: str) -> None:
        """Give what is known of a guest another version."""
        known = self._guests.get(uuid)
        if known is not None:
            self._guests[uuid] = dataclasses.replace(known)

    def apply(
            self, change: Change) -> event.LifecycleEvent | None:
        """Take note of an event; return it when a listener should know."""
        match change:
            case decode.Gone(uuid=uuid):
                self._forget(uuid)
                return None
            case decode.Defined(uuid=uuid, name=name):
                known = self._guests.get(uuid)
                self._guests[uuid] = (
                    dataclasses.replace(known, name=name) if known
                    else Known(name, _State.SHUTDOWN))
                return None
            case event.LifecycleEvent():
                return self._apply_lifecycle(change)
        return None

    def _forget(self, uuid: str) -> None:
        known = self._guests.get(uuid)
        # A running guest outlives its definition.
        if known is not None and known.state not in _UP:
            del self._guests[uuid]

    def _apply_lifecycle(
            self, change: event.LifecycleEvent
    ) -> event.LifecycleEvent | None:
        before = self._guests.get(change.uuid)
        after = _state_after(change)
        if before is not None and self._is_repeated(before, change, after):
            return None
        if self._filled and change.transition in _WHILE_UP and (
                before is None or before.state not in _UP):
            # A guest that starts is resumed first and started then.
            return None
        self._guests[change.uuid] = Known(
            change.name, after, change.domain_id)
        return change

    def _is_repeated(
            self, before: Known, change: event.LifecycleEvent,
            after: instance.PowerState) -> bool:
        """Say whether a listener has heard of it already."""
        if (before.state == after
                and before.synthesized_in == change.generation):
            # The comparison after the reconnect was faster.
            return True
        if after not in _UP:
            # As when a guest panics first, and is stopped for it then.
            return before.state not in _UP
        return (change.transition == _Transition.STARTED
                and before.state in _UP
                and not _differ(before.domain_id, change.domain_id))

    def unseen(self, held: list[Change]) -> list[Change]:
        """Return those events that came after the listing of their guest.

        A start with the very id that was listed came before it, and so did
        what precedes that start.
        """
        seen: dict[str, int] = {}
        for number, change in enumerate(held):
            known = self._guests.get(change.uuid)
            if (isinstance(change, event.LifecycleEvent)
                    and change.transition == _Transition.STARTED
                    and known is not None and known.state in _UP
                    and known.domain_id == change.domain_id > 0):
                seen[change.uuid] = number
        return [change for number, change in enumerate(held)
                if number > seen.get(change.uuid, -1)]

    def compare(
            self, reports: Iterable[decode.Report],
            generation: int) -> list[event.LifecycleEvent]:
        """Take a full listing; return the transitions that were missed.

        The first listing of all only fills the registry.
        """
        now = {report.uuid: self._certain(report) for report in reports}
        missed: list[event.LifecycleEvent] = []
        if self._filled:
            for report in now.values():
                missed.extend(self._missed(report, generation))
            missed.extend(
                _synthesized(uuid, known.name, _Transition.STOPPED, generation)
                for uuid, known in self._guests.items()
                if uuid not in now and known.state in _UP)
        changed = {change.uuid for change in missed}
        # Kept once more, for an event of its stop that is still to come.
        gone = {
            change.uuid: Known(change.name, _State.SHUTDOWN, -1, generation)
            for change in missed if change.uuid not in now}
        self._guests = gone | {
            uuid: Known(report.name, report.state, report.domain_id,
                        generation if uuid in changed else 0)
            for uuid, report in now.items()}
        self._filled = True
        return missed

    def guests(self) -> Mapping[str, Known]:
        """Return a copy of what is known, by uuid."""
        return dict(self._guests)

    def confirm(
            self, before: Mapping[str, Known],
            reports: Iterable[decode.Report],
            generation: int) -> list[event.LifecycleEvent]:
        """Return the stops of which no event has told, and note them.

        A guest of which something was heard since is left alone: the
        listing may be older than that.

        :param before: what was known before the listing was made
        """
        now = {report.uuid: report for report in reports}
        found = []
        for uuid, known in before.items():
            now_known = self._guests.get(uuid)
            if known.state not in _UP or now_known is None or (
                    now_known.version != known.version):
                continue
            stop = _stop_of(uuid, known, now.get(uuid), generation)
            if stop is not None:
                self._guests[uuid] = Known(
                    known.name, _State.SHUTDOWN, -1, generation)
                found.append(stop)
        return found

    def _certain(self, report: decode.Report) -> decode.Report:
        """Take the last known state where libvirt does not know."""
        before = self._guests.get(report.uuid)
        if report.state != _State.NOSTATE or before is None:
            return report
        return dataclasses.replace(
            report, state=before.state, domain_id=before.domain_id)

    def _missed(
            self, report: decode.Report,
            generation: int) -> list[event.LifecycleEvent]:
        before = self._guests.get(report.uuid)
        was = before.state if before else _State.SHUTDOWN
        restarted = (before is not None and was in _UP
                     and report.state in _UP
                     and _differ(before.domain_id, report.domain_id))
        if report.state in (was, _State.NOSTATE) and not restarted:
            return []
        if restarted:
            transitions: tuple[event.Transition, ...] = (
                _Transition.STOPPED, *_ARRIVAL[report.state])
        elif report.state not in _UP:
            transitions = (
                (report.stop_transition,) if was in _UP else ())
        elif was in _UP:
            transitions = _CHANGE[report.state]
        else:
            transitions = _ARRIVAL[report.state]
        detail = '' if report.state in _UP else report.stop_detail
        return [_synthesized(report.uuid, report.name, item, generation,
                             detail) for item in transitions]


def _stop_of(
        uuid: str, known: Known, report: decode.Report | None,
        generation: int) -> event.LifecycleEvent | None:
    """Return the stop of a guest that was up, None when it still is."""
    if report is None:
        return _synthesized(
            uuid, known.name, _Transition.STOPPED, generation)
    # One that is shutting down has an event of its own yet.
    if report.state in (*_UP, _State.NOSTATE) or report.domain_id > 0:
        return None
    return _synthesized(uuid, report.name, report.stop_transition,
                        generation, report.stop_detail)


def _differ(before: int, now: int) -> bool:
    return before > 0 and now > 0 and before != now


def _state_after(change: event.LifecycleEvent) -> instance.PowerState:
    if (change.transition == _Transition.SUSPENDED
            and change.detail == 'saved'):
        # Its memory is in a file now; libvirt calls it shut off.
        return _State.SHUTDOWN
    return _AFTER[change.transition]


def _synthesized(
        uuid: str, name: str, transition: event.Transition,
        generation: int, detail: str = '') -> event.LifecycleEvent:
    return event.LifecycleEvent(
        uuid=uuid, name=name, generation=generation,
        timestamp=time.time(), transition=transition,
        detail=detail, synthesized=True)


class Router:
    """Keeps the registry and passes transitions on, in order.

    :param forward: takes each transition; must not block
    :param waits: gets every event, for those who wait for one
    :ivar generation: of the session whose guests were compared last; 0 for
        none
    :ivar is_current: that session could list its guests
    """

    def __init__(
            self, forward: Callable[[event.LifecycleEvent], None],
            waits: expecting.Waits | None = None) -> None:
        self._forward_transition = forward
        self._waits = waits or expecting.Waits()
        # Held for bookkeeping only; neither libvirt nor a listener is
        # called meanwhile.
        self._lock = threading.Lock()
        self._registry = Registry()
        self.generation = 0
        self.is_current = False
        self._held: list[Change] = []
        self._disk_errors = _DiskErrors()

    def known(self, uuid: str) -> Known | None:
        """Return what events say of a guest, None when they do not."""
        with self._lock:
            return self._registry.get(uuid) if self.is_current else None

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

    def handle(self, change: Change) -> None:
        """Take one event in the order in which libvirt sent it."""
        with self._lock:
            if change.generation > self.generation:
                self._held.append(change)
            elif change.generation == self.generation:
                self._apply(change)

    def synchronize(
            self, reports: Iterable[decode.Report] | None,
            generation: int) -> None:
        """Compare with a full listing and let held events go.

        :param reports: None when the guests could not be listed; then
            nothing is inferred, and what is known counts as outdated
        """
        with self._lock:
            if generation <= self.generation:
                return
            self.generation = generation
            self.is_current = reports is not None
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

    def guests(self) -> Mapping[str, Known]:
        """Return what is known of each guest now, by uuid."""
        with self._lock:
            return self._registry.guests()

    def confirm(
            self, before: Mapping[str, Known],
            reports: Iterable[decode.Report], generation: int) -> None:
        """Pass on that guests are down of which no event has told.

        :param before: what was known before they were listed
        :param reports: a full listing of a session
        :param generation: of that session; one that is not the present one
            changes nothing
        """
        with self._lock:
            if generation != self.generation or not self.is_current:
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

    def _apply(self, change: Change) -> None:
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

    def note(self, change: Change) -> None:
        if isinstance(change, decode.Gone):
            self.last.pop(change.uuid, None)
        elif isinstance(change, event.IOErrorEvent):
            self.last[change.uuid] = change
            self._warn(change, change.action, f'Disk {change.path} failed '
                       f'({change.reason or "I/O error"})')
        elif not isinstance(change, event.LifecycleEvent):
            return
        elif change.detail == _BROKEN:
            LOG.warning(
                'Guest %s: the two hosts lost each other while the rest of '
                'its memory followed it in post-copy. Let them reach each '
                'other: it goes on then. If the other host is dead, so is the '
                'guest: delete the instance, or kill the guest by "virsh '
                'destroy" and start it again', change.name,
                instance={'uuid': change.uuid})
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
        self.started = False


class Restarts:
    """Holds back the stop of a guest until it is known what becomes of it.

    :param forward: takes each event; must not block
    """

    def __init__(
            self, forward: Callable[[event.LifecycleEvent], None]) -> None:
        self._forward = forward
        # Held while forwarding, too: a stop that is let go must not come
        # behind the start that follows it.
        self._changed = threading.Condition()
        self._restarts: dict[str, _Restart] = {}

    def take(self, item: event.LifecycleEvent) -> None:
        """Pass an event on, or hold it; never blocks."""
        with self._changed:
            restart = self._restarts.get(item.uuid)
            if restart is not None:
                if item.transition in _STOPS:
                    restart.stops.append(item)
                    return
                if item.transition is event.Transition.STARTED:
                    restart.stops.clear()
                    restart.started = True
                    self._changed.notify_all()
            self._forward(item)

    @contextlib.contextmanager
    def during(self, uuid: str) -> Iterator[None]:
        """Hold back stops of a guest while an operation starts it.

        A stop that no start has followed a second after the operation
        ended is passed on then; the detail is ``failed`` when the operation
        has. One operation at a time for each guest.
        """
        restart, failed = _Restart(), True
        with self._changed:
            self._restarts[uuid] = restart
        try:
            yield
            failed = False
        finally:
            with self._changed:
                # What is undone stops a guest that was started.
                self._changed.wait_for(
                    lambda: not restart.stops and not (
                        failed and restart.started), _LATE_S)
                del self._restarts[uuid]
                for stop in restart.stops:
                    self._forward(dataclasses.replace(stop, detail=_FAILED)
                                  if failed else stop)
