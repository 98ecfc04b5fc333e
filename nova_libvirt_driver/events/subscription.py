# SPDX-License-Identifier: Apache-2.0

"""Which events of libvirt a session subscribes to.

Every callback here runs on a thread of libvirt: it makes a value and puts it
into the inbox, nothing more.
"""

from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Iterator
import dataclasses
import time
from typing import Any

import libvirt
from oslo_log import log as logging

from nova_libvirt_driver.calls import errors
from nova_libvirt_driver.calls import protocol
from nova_libvirt_driver.events import decode
from nova_libvirt_driver.events import inbox as inbox_module
from nova_libvirt_driver.spec import event

LOG = logging.getLogger(__name__)

_PREFIX = 'VIR_DOMAIN_EVENT_ID_'
_LIFECYCLE = f'{_PREFIX}LIFECYCLE'

Decoder = Callable[..., event.GuestEvent]
LifecycleCallback = Callable[..., None]


def _origin(domain: protocol.Domain, generation: int) -> dict[str, Any]:
    return {'uuid': domain.UUIDString(), 'name': domain.name(),
            'generation': generation, 'timestamp': time.time()}


def _removed(origin: dict[str, Any], alias: str) -> event.GuestEvent:
    return event.DeviceEvent(alias=alias, removed=True, **origin)


def _removal_failed(origin: dict[str, Any], alias: str) -> event.GuestEvent:
    return event.DeviceEvent(alias=alias, removed=False, **origin)


def _agent(
        origin: dict[str, Any], state: int, reason: int) -> event.GuestEvent:
    return event.AgentEvent(
        connected=state == libvirt.
        VIR_CONNECT_DOMAIN_EVENT_AGENT_LIFECYCLE_STATE_CONNECTED, **origin)


def _block_job(
        origin: dict[str, Any], target_dev: str, kind: int,
        status: int) -> event.GuestEvent:
    job_type, words = decode.block_job(kind, status)
    return event.BlockJobEvent(
        target_dev=target_dev, job_type=job_type, status=words, **origin)


def _io_error(
        origin: dict[str, Any], path: str, alias: str, action: int,
        reason: str) -> event.GuestEvent:
    return event.IOErrorEvent(
        path=path, alias=alias, action=decode.io_error_action(action),
        reason=reason, **origin)


def _reboot(origin: dict[str, Any]) -> event.GuestEvent:
    return event.RebootEvent(**origin)


def _job_completed(
        origin: dict[str, Any], stats: dict[str, Any]) -> event.GuestEvent:
    return event.JobCompletedEvent(
        success=bool(stats.get('success', False)),
        operation=int(stats.get('operation', 0)),
        error=str(stats.get('errmsg', '')), **origin)


# Kind of event, what libvirt calls it, and what makes a value of it.
_DECODERS: tuple[tuple[type[event.GuestEvent], str, Decoder], ...] = (
    (event.DeviceEvent, 'DEVICE_REMOVED', _removed),
    (event.DeviceEvent, 'DEVICE_REMOVAL_FAILED', _removal_failed),
    (event.AgentEvent, 'AGENT_LIFECYCLE', _agent),
    # The second form names the disk by its target, not by a path.
    (event.BlockJobEvent, 'BLOCK_JOB_2', _block_job),
    (event.IOErrorEvent, 'IO_ERROR_REASON', _io_error),
    (event.RebootEvent, 'REBOOT', _reboot),
    (event.JobCompletedEvent, 'JOB_COMPLETED', _job_completed),
)

# Of two names for one kind the first counts.
_NAMES: dict[type[event.GuestEvent], str] = {
    event.LifecycleEvent: _LIFECYCLE,
    **{kind: _PREFIX + name for kind, name, _ in reversed(_DECODERS)}}


@dataclasses.dataclass(frozen=True, slots=True)
class Wanted:
    """One kind of event and what to call for it."""

    name: str
    event_id: int
    callback: Callable[..., None]


def name_of(kind: type[event.GuestEvent]) -> str:
    """Return libvirt's name for a kind of event."""
    return _NAMES[kind]


class Missing(Exception):
    """There is no subscription to one kind of event."""

    def __init__(self, name: str, error: libvirt.libvirtError) -> None:
        super().__init__(f'{name}: {errors.text(error)}')
        self.name = name
        self.error = error

    @property
    def is_lifecycle(self) -> bool:
        """It is the kind without which no guest can be followed."""
        return self.name == _LIFECYCLE


@dataclasses.dataclass(frozen=True, slots=True)
class Subscriptions:
    """What a session subscribes to, and where its events go."""

    lifecycle: Callable[[], LifecycleCallback]
    """Returns what libvirt is to call for a lifecycle event."""
    inbox: inbox_module.Inbox

    def all(self) -> Iterator[Wanted]:
        """Give every kind of event that this libvirt has.

        Lifecycle events come first.
        """
        yield Wanted(_LIFECYCLE, getattr(libvirt, _LIFECYCLE),
                     self.lifecycle())
        for _, name, decoder in _DECODERS:
            event_id = getattr(libvirt, _PREFIX + name, None)
            if event_id is not None:
                yield Wanted(
                    _PREFIX + name, event_id, self._callback(decoder))

    def receive(
            self, domain: protocol.Domain, number: int, detail: int,
            generation: int) -> None:
        """Take a lifecycle event; on a thread of libvirt, never blocks."""
        change = decode.lifecycle(domain, number, detail, generation)
        if change is not None:
            self.inbox.put(change)

    def _callback(self, decoder: Decoder) -> Callable[..., None]:
        inbox = self.inbox

        def callback(
                connection: object, domain: protocol.Domain,
                *args: Any) -> None:
            *values, generation = args
            inbox.put(decoder(_origin(domain, generation), *values))

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
        elif problem.is_lifecycle:
            LOG.warning('%s has no lifecycle events (%s): changes of guests '
                        'are seen only when asked for', uri, problem)
        else:
            LOG.debug('%s has no such events: %s', uri, problem)
