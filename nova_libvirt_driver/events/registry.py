# SPDX-License-Identifier: Apache-2.0

"""What is known of each guest's power state, and from where.

Pure bookkeeping: it takes events and reports and says which transitions a
listener should hear of. It locks nothing; its caller does.
"""

from collections.abc import Iterable
from collections.abc import Mapping
import dataclasses
import itertools
import time

from nova_libvirt_driver.events import decode
from nova_libvirt_driver.spec import event
from nova_libvirt_driver.spec import instance

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
    """The last known power state of every guest."""

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

    def __len__(self) -> int:
        return len(self._guests)

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
            missed.extend(self._vanished(now, generation))
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

    def _vanished(
            self, now: dict[str, decode.Report],
            generation: int) -> list[event.LifecycleEvent]:
        return [
            _synthesized(uuid, known.name, _Transition.STOPPED, generation)
            for uuid, known in self._guests.items()
            if uuid not in now and known.state in _UP]


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
