# SPDX-License-Identifier: Apache-2.0

"""Saving the memory of a guest to disk and stopping it."""

from oslo_log import log as logging

from nova_libvirt_driver import exception
from nova_libvirt_driver.guest import guests as guests_module
from nova_libvirt_driver.guest import handle
from nova_libvirt_driver.operations.steps import exclusive as exclusive_module
from nova_libvirt_driver import ports
from nova_libvirt_driver.spec import instance as instance_spec

LOG = logging.getLogger(__name__)

OPERATION = 'suspend'


class Suspend:
    """Suspends guests.

    One step, which libvirt does: it pauses the guest, writes its memory to
    a file and stops it. When that fails, or takes too long, the file is
    gone and the guest goes on as before.

    :param timeout_s: how long it may take
    """

    def __init__(
            self, guests: guests_module.Guests,
            exclusive: exclusive_module.Exclusive, *,
            timeout_s: float = handle.SAVE_TIMEOUT_S) -> None:
        self._guests = guests
        self._exclusive = exclusive
        self._timeout_s = timeout_s

    def suspend(self, instance: instance_spec.Instance) -> None:
        """Save a guest and stop it.

        :raises WrongState: it is not up
        """
        with self._exclusive.hold(instance, OPERATION, ports.NullProgress()):
            guest = self._guests.find(instance)
            try:
                guest.save(timeout_s=self._timeout_s)
            except exception.CallTimeout:
                if not _end(guest):
                    raise


def _end(guest: handle.Guest) -> bool:
    """End a save that takes too long; say whether it was done after all."""
    try:
        guest.abort_job()
    except (exception.GuestUnresponsive, exception.LibvirtFailure) as error:
        LOG.info('Guest %s: its save cannot be aborted: %s',
                 guest.uuid, error)
        return guest.has_saved() and not guest.is_active()
    return False
