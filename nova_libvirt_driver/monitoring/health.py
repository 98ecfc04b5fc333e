# SPDX-License-Identifier: Apache-2.0

"""From the status of the connection to a verdict; pure."""

from collections.abc import Iterator

from nova_libvirt_driver.spec import connection as connection_spec
from nova_libvirt_driver.spec import health as health_spec

Reason = health_spec.Reason
State = connection_spec.ConnectionState
Verdict = health_spec.Verdict

LONG_QUEUE = 1000
"""As many waiting events mean that the listener does not keep up."""

_NAMED_GUESTS = 5


def judge(
        status: connection_spec.ConnectionStatus, *,
        grace_s: float) -> health_spec.Health:
    """Return how a driver is.

    :param grace_s: how long a lost connection only makes it degraded
    """
    if status.state is not State.CONNECTED:
        lost_for_s = status.lost_for_s
        if lost_for_s is None or lost_for_s >= grace_s:
            return health_spec.Health(
                Verdict.UNAVAILABLE, (_not_connected(status),))
        lost = Reason(
            'connection_lost', 'the connection to libvirt is being got back: '
            f'{_why(status)}', 'wait; see the log if it does not come back')
        return health_spec.Health(Verdict.DEGRADED, (lost, *_limits(status)))
    reasons = tuple(_limits(status))
    return health_spec.Health(
        Verdict.DEGRADED if reasons else Verdict.HEALTHY, reasons)


def _not_connected(status: connection_spec.ConnectionStatus) -> Reason:
    return Reason(
        'no_connection',
        f'there is no connection to libvirt at {status.uri}: {_why(status)}',
        'see log/libvirt.log below the root of that URI, and restart the '
        'service' if status.in_process else
        'see whether the libvirt daemon (virtqemud or libvirtd) runs: '
        'nova-libvirt doctor')


def _why(status: connection_spec.ConnectionStatus) -> str:
    return status.last_error or f'it is {status.state}'


def _limits(
        status: connection_spec.ConnectionStatus) -> Iterator[Reason]:
    """Yield what limits a driver although it is connected."""
    if status.unresponsive:
        named = ', '.join(status.unresponsive[:_NAMED_GUESTS])
        more = len(status.unresponsive) - _NAMED_GUESTS
        yield Reason(
            'guests_quarantined',
            f'guests that do not answer: {named}'
            + (f' and {more} more' if more > 0 else ''),
            'see why their QEMU processes stand still; they can be stopped '
            'by force or deleted meanwhile')
    if 0 < status.call_limit <= status.running_calls:
        yield Reason(
            'calls_exhausted',
            f'all {status.call_limit} threads for calls into libvirt are '
            'taken', 'restart the libvirt daemon if it hangs (guests go on '
            'running), or raise [nova_libvirt_driver] native_threads')
    if status.abandoned_calls:
        yield Reason(
            'calls_abandoned',
            f'calls that libvirt has not answered in time: '
            f'{status.abandoned_calls}',
            "look at the libvirt daemon's log; restart the daemon if the "
            'number does not fall (guests go on running)')
    if status.state is State.CONNECTED and not status.events:
        yield Reason(
            'no_events', 'events of guests are not delivered',
            'see what the connection supports: nova-libvirt doctor')
    if status.queued_events >= LONG_QUEUE:
        yield Reason(
            'events_waiting',
            f'{status.queued_events} events wait for their listener',
            'see what the service waits for, such as its message bus')
