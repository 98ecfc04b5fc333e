# SPDX-License-Identifier: Apache-2.0

"""Asking a guest to shut down, and waiting until it is down."""

from oslo_log import log as logging

from nova_libvirt_driver import exception
from nova_libvirt_driver.guest import handle
from nova_libvirt_driver import ports
from nova_libvirt_driver.spec import event
from nova_libvirt_driver.spec import instance as instance_spec

LOG = logging.getLogger(__name__)


def run(
        guest: handle.Guest, timeout_s: float,
        retry_interval_s: float, progress: ports.Progress) -> bool:
    """Ask a guest to shut down, and again, until it is down.

    Through its agent first if it has one, and by its power button
    afterwards. Once it has been asked, a connection that is lost and
    got back in time changes nothing.

    :param retry_interval_s: 0 asks it once
    :param progress: may end the wait by raising
    :returns: whether it is down; False also for one that cannot be
        asked, and at once
    :raises HypervisorUnavailable: it could not be asked, or there is
        no connection when the time is over
    """
    interval_s = retry_interval_s if retry_interval_s > 0 else timeout_s
    asked = False
    with guest.expecting(event.LifecycleEvent) as news:
        deadline = news.clock() + timeout_s
        while (remaining_s := deadline - news.clock()) > 0:
            try:
                if not _ask(guest, again=asked):
                    break
            except exception.HypervisorUnavailable:
                if not asked:
                    raise
            asked = True
            if _wait(news, guest, min(interval_s, remaining_s),
                     progress):
                return True
        return not _is_active(guest)


def _ask(guest: handle.Guest, *, again: bool) -> bool:
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
        LOG.info('Cannot ask the guest to shut down: %s', error,
                 instance={'uuid': guest.uuid})
        # It was asked before, and may be about to.
        return again
    return True


def _wait(
        news: handle.Expectation, guest: handle.Guest,
        timeout_s: float, progress: ports.Progress) -> bool:
    try:
        # Also after an event: it may have been started again since, and one
        # that has crashed may still be up.
        return news.wait(
            lambda change: not _is_active(guest), timeout_s,
            lambda: progress.advance(0, 0))
    except exception.HypervisorUnavailable:
        # It shuts down all the same, and the connection may be back soon.
        return False


def _is_active(guest: handle.Guest) -> bool:
    try:
        return guest.is_active()
    except exception.InstanceNotFound:
        return False
