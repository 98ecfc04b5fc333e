# SPDX-License-Identifier: Apache-2.0

"""Asking a guest to shut down, and waiting until it is down."""

from collections.abc import Callable
import time

from oslo_log import log as logging

from nova_libvirt_driver import exception
from nova_libvirt_driver.guest import handle
from nova_libvirt_driver import ports
from nova_libvirt_driver.spec import instance as instance_spec

LOG = logging.getLogger(__name__)

_POLL_MIN_S, _POLL_MAX_S = 0.1, 0.5


class Shutdown:
    """Gets guests down with their own help.

    :param clock: seconds, monotonic
    :param sleep: waits for some seconds
    """

    def __init__(
            self, *, clock: Callable[[], float] = time.monotonic,
            sleep: Callable[[float], object] = time.sleep) -> None:
        self._clock = clock
        self._sleep = sleep

    def run(
            self, guest: handle.Guest, timeout_s: float,
            retry_interval_s: float, progress: ports.Progress) -> bool:
        """Ask a guest to shut down, and again, until it is down.

        Through its agent first if it has one, and by its power button
        afterwards. Once it has been asked, a connection that is lost and
        got back in the time is no matter.

        :param retry_interval_s: 0 asks it once
        :param progress: may end the wait by raising
        :returns: whether it is down; False also for one that cannot be
            asked, and at once
        :raises HypervisorUnavailable: it could not be asked, or there is
            no connection when the time is over
        """
        deadline = self._clock() + timeout_s
        interval_s = retry_interval_s if retry_interval_s > 0 else timeout_s
        asked = False
        while (remaining_s := deadline - self._clock()) > 0:
            try:
                if not self._ask(guest, again=asked):
                    break
            except exception.HypervisorUnavailable:
                if not asked:
                    raise
            asked = True
            if self.wait(guest, min(interval_s, remaining_s), progress):
                return True
        return not _is_active(guest)

    def wait(
            self, guest: handle.Guest, timeout_s: float,
            progress: ports.Progress) -> bool:
        """Wait until a guest is known to be down; say whether it is."""
        deadline = self._clock() + timeout_s
        pause_s = _POLL_MIN_S
        while _may_be_active(guest):
            remaining_s = deadline - self._clock()
            if remaining_s <= 0:
                return False
            progress.advance(0, 0)
            self._sleep(min(pause_s, remaining_s))
            pause_s = min(pause_s * 2, _POLL_MAX_S)
        return True

    def _ask(self, guest: handle.Guest, *, again: bool) -> bool:
        try:
            if guest.state().power is not instance_spec.PowerState.RUNNING:
                return False
        except exception.InstanceNotFound:
            return False
        try:
            guest.shutdown(button=again)
        except exception.InstanceNotFound:
            # A transient one that has stopped meanwhile.
            return False
        except (exception.AgentUnavailable, exception.CallTimeout,
                exception.GuestUnresponsive, exception.LibvirtFailure,
                exception.UnsupportedOperation,
                exception.WrongState) as error:
            LOG.info('Guest %s cannot be asked to shut down: %s',
                     guest.uuid, error)
            # It was asked before, and may be about to.
            return again
        return True


def _may_be_active(guest: handle.Guest) -> bool:
    try:
        return _is_active(guest)
    except exception.HypervisorUnavailable as error:
        # It shuts down all the same, and the connection may be back soon.
        LOG.debug('Guest %s: whether it is down cannot be seen now: %s',
                  guest.uuid, error)
        return True


def _is_active(guest: handle.Guest) -> bool:
    try:
        return guest.is_active()
    except exception.InstanceNotFound:
        return False
