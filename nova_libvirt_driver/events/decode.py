# SPDX-License-Identifier: Apache-2.0

"""Libvirt's numbers for states and events, as our values.

Runs on libvirt's threads: it makes no call that leaves the process, and
neither logs nor waits.
"""

import dataclasses
import time

import libvirt

from nova_libvirt_driver.calls import errors
from nova_libvirt_driver.calls import protocol
from nova_libvirt_driver.spec import event
from nova_libvirt_driver.spec import instance

_MIGRATED = event.Transition.MIGRATION_COMPLETED
_POSTCOPY = event.Transition.POSTCOPY_STARTED

_POWER_STATES = {
    libvirt.VIR_DOMAIN_NOSTATE: instance.PowerState.NOSTATE,
    libvirt.VIR_DOMAIN_RUNNING: instance.PowerState.RUNNING,
    libvirt.VIR_DOMAIN_BLOCKED: instance.PowerState.RUNNING,
    libvirt.VIR_DOMAIN_PAUSED: instance.PowerState.PAUSED,
    # Being shut down; takes part in nothing any more.
    libvirt.VIR_DOMAIN_SHUTDOWN: instance.PowerState.SHUTDOWN,
    libvirt.VIR_DOMAIN_SHUTOFF: instance.PowerState.SHUTDOWN,
    libvirt.VIR_DOMAIN_CRASHED: instance.PowerState.CRASHED,
    libvirt.VIR_DOMAIN_PMSUSPENDED: instance.PowerState.SUSPENDED,
}

_TRANSITIONS = {
    libvirt.VIR_DOMAIN_EVENT_STARTED: event.Transition.STARTED,
    libvirt.VIR_DOMAIN_EVENT_STOPPED: event.Transition.STOPPED,
    libvirt.VIR_DOMAIN_EVENT_SUSPENDED: event.Transition.PAUSED,
    libvirt.VIR_DOMAIN_EVENT_RESUMED: event.Transition.RESUMED,
    libvirt.VIR_DOMAIN_EVENT_PMSUSPENDED: event.Transition.SUSPENDED,
    libvirt.VIR_DOMAIN_EVENT_CRASHED: event.Transition.CRASHED,
}

# What the detail says matters more than the event: a guest that is saved,
# migrated away or torn down by a failure "stopped" as well.
_BY_DETAIL = {
    (libvirt.VIR_DOMAIN_EVENT_STOPPED,
     libvirt.VIR_DOMAIN_EVENT_STOPPED_CRASHED): event.Transition.CRASHED,
    # QEMU went away without a word, for example by a signal.
    (libvirt.VIR_DOMAIN_EVENT_STOPPED,
     libvirt.VIR_DOMAIN_EVENT_STOPPED_FAILED): event.Transition.CRASHED,
    (libvirt.VIR_DOMAIN_EVENT_STOPPED,
     libvirt.VIR_DOMAIN_EVENT_STOPPED_SAVED): event.Transition.SUSPENDED,
    (libvirt.VIR_DOMAIN_EVENT_STOPPED,
     libvirt.VIR_DOMAIN_EVENT_STOPPED_MIGRATED): _MIGRATED,
    (libvirt.VIR_DOMAIN_EVENT_SUSPENDED,
     libvirt.VIR_DOMAIN_EVENT_SUSPENDED_POSTCOPY): _POSTCOPY,
    (libvirt.VIR_DOMAIN_EVENT_STARTED,
     libvirt.VIR_DOMAIN_EVENT_STARTED_WAKEUP): event.Transition.RESUMED,
}

# The same, for a guest that is found shut off.
_SHUTOFF_REASONS = {
    libvirt.VIR_DOMAIN_SHUTOFF_CRASHED: event.Transition.CRASHED,
    libvirt.VIR_DOMAIN_SHUTOFF_FAILED: event.Transition.CRASHED,
    libvirt.VIR_DOMAIN_SHUTOFF_SAVED: event.Transition.SUSPENDED,
    libvirt.VIR_DOMAIN_SHUTOFF_MIGRATED: _MIGRATED,
}


def _words(prefix: str) -> dict[int, str]:
    return {value: name[len(prefix):].lower().replace('_', '-')
            for name, value in vars(libvirt).items()
            if name.startswith(prefix) and not name.endswith('_LAST')}


def _words_of(prefix: str, *names: str) -> dict[int, dict[int, str]]:
    """Return the words for the details of each of some numbers."""
    return {getattr(libvirt, prefix + name): _words(f'{prefix}{name}_')
            for name in names}


_DETAILS = _words_of(
    'VIR_DOMAIN_EVENT_', 'STARTED', 'STOPPED', 'SUSPENDED', 'RESUMED',
    'PMSUSPENDED', 'CRASHED')
_BLOCK_JOBS = _words('VIR_DOMAIN_BLOCK_JOB_TYPE_')
_BLOCK_JOB_STATUSES = {
    libvirt.VIR_DOMAIN_BLOCK_JOB_COMPLETED: 'completed',
    libvirt.VIR_DOMAIN_BLOCK_JOB_FAILED: 'failed',
    libvirt.VIR_DOMAIN_BLOCK_JOB_CANCELED: 'canceled',
    libvirt.VIR_DOMAIN_BLOCK_JOB_READY: 'ready',
}
_STATE_REASONS = _words_of(
    'VIR_DOMAIN_', 'NOSTATE', 'RUNNING', 'BLOCKED', 'PAUSED', 'SHUTDOWN',
    'SHUTOFF', 'CRASHED', 'PMSUSPENDED')
_DISK_ERRORS = _words('VIR_DOMAIN_DISK_ERROR_')
_IO_ERROR_ACTIONS = _words('VIR_DOMAIN_EVENT_IO_ERROR_')


@dataclasses.dataclass(frozen=True, slots=True)
class Gone:
    """The definition of a domain is gone."""

    uuid: str
    generation: int


@dataclasses.dataclass(frozen=True, slots=True)
class Defined:
    """A domain was defined, or its definition changed."""

    uuid: str
    name: str
    generation: int


@dataclasses.dataclass(frozen=True, slots=True)
class Report:
    """How libvirt says one guest is."""

    uuid: str
    name: str
    state: instance.PowerState
    shutoff_reason: int = 0
    domain_id: int = -1

    @property
    def stop_transition(self) -> event.Transition:
        """How the guest came to its end, if it did."""
        if self.state == instance.PowerState.CRASHED:
            return event.Transition.CRASHED
        return _SHUTOFF_REASONS.get(
            self.shutoff_reason, event.Transition.STOPPED)

    @property
    def stop_detail(self) -> str:
        """Libvirt's word for how the guest came to its end."""
        return _STATE_REASONS[libvirt.VIR_DOMAIN_SHUTOFF].get(
            self.shutoff_reason, '')


def power_state(number: int) -> instance.PowerState:
    """Return our power state for one of libvirt's."""
    return _POWER_STATES.get(number, instance.PowerState.NOSTATE)


def state_reason(number: int, reason: int) -> str:
    """Return libvirt's word for why a guest is in a state."""
    return _STATE_REASONS.get(number, {}).get(reason, str(reason))


def why_down(number: int, reason: int) -> str:
    """Return the same of a guest that does not run; empty if not known."""
    return state_reason(number, reason) if reason and number in (
        libvirt.VIR_DOMAIN_SHUTOFF, libvirt.VIR_DOMAIN_CRASHED) else ''


def report(domain: protocol.Domain, number: int, reason: int) -> Report:
    """Return what libvirt's state and reason say of a domain."""
    is_shutoff = number == libvirt.VIR_DOMAIN_SHUTOFF
    return Report(
        uuid=domain.UUIDString(), name=domain.name(),
        state=power_state(number),
        shutoff_reason=reason if is_shutoff else 0,
        domain_id=domain.ID())


def lifecycle(
        domain: protocol.Domain, number: int, detail: int,
        generation: int) -> event.LifecycleEvent | Gone | Defined | None:
    """Return what a lifecycle event of libvirt means, None for nothing."""
    uuid = domain.UUIDString()
    if number == libvirt.VIR_DOMAIN_EVENT_UNDEFINED:
        return Gone(uuid, generation)
    if number == libvirt.VIR_DOMAIN_EVENT_DEFINED:
        return Defined(uuid, domain.name(), generation)
    transition = _BY_DETAIL.get((number, detail), _TRANSITIONS.get(number))
    if transition is None:
        return None
    return event.LifecycleEvent(
        uuid=uuid, name=domain.name(), generation=generation,
        timestamp=time.time(), transition=transition,
        domain_id=domain.ID(),
        detail=_DETAILS[number].get(detail, str(detail)))


def block_job(kind: int, status: int) -> tuple[str, str]:
    """Return the words for a block job's type and status."""
    return (_BLOCK_JOBS.get(kind, str(kind)),
            _BLOCK_JOB_STATUSES.get(status, str(status)))


def disk_error(number: int) -> str:
    """Return the word for what is wrong with a disk."""
    return _DISK_ERRORS.get(number, str(number))


def io_error_action(number: int) -> str:
    """Return the word for what QEMU did on an I/O error."""
    return _IO_ERROR_ACTIONS.get(number, str(number))


def reports(connection: protocol.Connection) -> list[Report]:
    """Return how each guest is.

    One call that never enters a guest's monitor; a hypervisor without bulk
    statistics is asked guest by guest.

    :raises libvirt.libvirtError: as it comes
    """
    return [report for _, report in domains(connection)]


def domains(
        connection: protocol.Connection
) -> list[tuple[protocol.Domain, Report]]:
    """Return every domain and how it is; otherwise like :func:`reports`."""
    try:
        records = connection.getAllDomainStats(
            libvirt.VIR_DOMAIN_STATS_STATE, 0)
    except libvirt.libvirtError as error:
        if not errors.is_unsupported(error):
            raise
        return _one_by_one(connection)
    return [
        (domain, report(domain, record.get('state.state', 0),
                        record.get('state.reason', 0)))
        for domain, record in records]


def _one_by_one(
        connection: protocol.Connection
) -> list[tuple[protocol.Domain, Report]]:
    found = []
    for domain in connection.listAllDomains(0):
        try:
            state, reason = domain.state(0)[:2]
        except libvirt.libvirtError as error:
            if errors.is_not_found(error):
                # It went away since the list was made.
                continue
            raise
        found.append((domain, report(domain, state, reason)))
    return found
