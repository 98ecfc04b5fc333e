# SPDX-License-Identifier: Apache-2.0

"""Freezing the file systems of a guest, and thawing them whatever happens."""

from collections.abc import Iterator
import contextlib
import time

from oslo_log import log as logging

from nova_libvirt_driver import exception
from nova_libvirt_driver.guest import handle

LOG = logging.getLogger(__name__)

_THAW_TRIES = 3

OUTAGE_S = 30.0
_POLL_S = 0.5

_STILL_FROZEN = 'File systems of the guest may still be frozen: %s'

_AGENT_FAILURES = (
    exception.AgentUnavailable, exception.CallTimeout,
    exception.GuestUnresponsive, exception.LibvirtFailure,
    exception.UnsupportedOperation, exception.WrongState)


@contextlib.contextmanager
def frozen(
        guest: handle.Guest, *, required: bool = False,
        outage_s: float = OUTAGE_S) -> Iterator[bool]:
    """Keep the file systems of a guest frozen, if its agent can do that.

    Without an agent nothing happens. An agent that does not answer in time
    is given up, after an attempt to thaw.

    :param required: not to be able to do it is an error
    :returns: whether they are frozen
    :raises AgentUnavailable: it is required, and there is no agent that could
    :raises WrongState: it is required, and the guest does not run
    """
    is_frozen = False
    try:
        is_frozen = _freeze(guest, required=required)
        yield is_frozen
    finally:
        if is_frozen:
            with contextlib.suppress(exception.DriverError):
                # It was logged, and there is nothing else to do.
                thaw(guest, outage_s=outage_s)


def freeze(guest: handle.Guest) -> None:
    """Freeze the file systems of a guest.

    Waits for an agent that is about to come. On failure they are thawed
    again, as far as the agent answers.

    :raises AgentUnavailable: there is no agent that could
    :raises WrongState: the guest does not run
    """
    guest.agent.await_connected()
    try:
        guest.agent.freeze()
    except (exception.AgentUnavailable, exception.GuestUnresponsive,
            exception.HypervisorUnavailable, exception.LibvirtFailure):
        # It may have frozen some of them, or be about to.
        _thaw_quietly(guest)
        raise


def thaw(guest: handle.Guest, *, outage_s: float = OUTAGE_S) -> None:
    """Thaw the file systems of a guest; they need not be frozen.

    An agent that does not answer is asked three times; a connection that is
    lost is waited for.

    :param outage_s: for how long
    :raises AgentUnavailable: there is no agent that could
    :raises HypervisorUnavailable: the connection did not come back
    :raises WrongState: the guest does not run
    """
    tries, deadline_s = _THAW_TRIES, time.monotonic() + outage_s
    while True:
        try:
            guest.agent.thaw()
            return
        except (exception.AgentUnavailable, exception.CallTimeout,
                exception.GuestUnresponsive) as error:
            tries -= 1
            if not tries:
                LOG.error(_STILL_FROZEN, error,
                          instance={'uuid': guest.uuid})
                raise
        except exception.HypervisorUnavailable as error:
            if time.monotonic() > deadline_s:
                LOG.error(_STILL_FROZEN, error,
                          instance={'uuid': guest.uuid})
                raise
            time.sleep(_POLL_S)


def thaw_left(guest: handle.Guest) -> None:
    """Thaw what an operation may have left frozen, if there is an agent.

    An agent that cannot do it is no error.

    :raises HypervisorUnavailable: there is no connection to ask it
    """
    try:
        if guest.agent.is_connected():
            thaw(guest)
    except _AGENT_FAILURES as error:
        LOG.info('Could not thaw the file systems: %s', error,
                 instance={'uuid': guest.uuid})


def check(guest: handle.Guest) -> None:
    """See that the agent is there that is needed to freeze a guest.

    Waits some seconds for one that is about to come.

    :raises AgentUnavailable: it is not there
    """
    guest.agent.await_connected()
    if not guest.agent.is_connected():
        raise exception.AgentUnavailable(
            instance=guest.uuid, reason='it is not connected, and the image '
            'of the instance demands (os_require_quiesce) that its file '
            'systems are frozen')


def _freeze(guest: handle.Guest, *, required: bool) -> bool:
    try:
        if required:
            check(guest)
        if not guest.agent.is_connected():
            return False
        freeze(guest)
    except _AGENT_FAILURES as error:
        if required:
            raise
        LOG.warning('Taking the snapshot without freezing file systems: %s',
                    error, instance={'uuid': guest.uuid})
        return False
    return True


def _thaw_quietly(guest: handle.Guest) -> None:
    try:
        guest.agent.thaw()
    except (*_AGENT_FAILURES, exception.HypervisorUnavailable) as error:
        LOG.info('Could not thaw the file systems: %s', error,
                 instance={'uuid': guest.uuid})
