# SPDX-License-Identifier: Apache-2.0

"""Rebooting a guest, with or without its help."""

from oslo_log import log as logging

from nova_libvirt_driver import exception
from nova_libvirt_driver.guest import handle
from nova_libvirt_driver.guest import restarts as restarts_module
from nova_libvirt_driver.operations.steps import domains as domains_module
from nova_libvirt_driver.operations.steps import exclusive as exclusive_module
from nova_libvirt_driver.operations.steps import rebuild as rebuild_module
from nova_libvirt_driver.operations.steps import shutdown as shutdown_module
from nova_libvirt_driver import ports
from nova_libvirt_driver.spec import guest as guest_spec
from nova_libvirt_driver.spec import instance as instance_spec

LOG = logging.getLogger(__name__)

OPERATION = 'reboot'
_RETRY_S = 10.0


class Reboot:
    """Reboots guests.

    A soft reboot asks the guest to shut down and starts it again; one that
    does not obey in time, or is not running, gets a hard one: its power is
    cut and its domain defined anew; saved memory is lost, so a suspended
    guest gets no soft one. When that fails, the guest is stopped
    and defined as it was.

    :param timeout_s: how long a guest may take to shut down by itself
    """

    def __init__(
            self, domains: domains_module.Domains,
            rebuild: rebuild_module.Rebuild,
            exclusive: exclusive_module.Exclusive,
            shutdown: shutdown_module.Shutdown,
            restarts: restarts_module.Restarts, *,
            timeout_s: float) -> None:
        self._domains = domains
        self._rebuild = rebuild
        self._exclusive = exclusive
        self._shutdown = shutdown
        self._restarts = restarts
        self._timeout_s = timeout_s

    def reboot(
            self, spec: guest_spec.GuestSpec,
            reboot_type: guest_spec.RebootType,
            progress: ports.Progress) -> None:
        """Reboot a guest; see :meth:`base.ComputeDriver.reboot`."""
        with (self._exclusive.hold(spec, OPERATION, progress) as watched,
              self._restarts.during(spec.uuid)):
            if reboot_type is guest_spec.RebootType.SOFT:
                guest = self._domains.guests.find(spec)
                if self._soft(guest, watched):
                    return
                LOG.info('Guest %s does not shut down by itself: its power '
                         'is cut.', spec.uuid)
            self._rebuild.run(
                spec, self._domains.guests.find_or_none(spec), watched)

    def _soft(self, guest: handle.Guest, progress: ports.Progress) -> bool:
        if guest.state().power is not instance_spec.PowerState.RUNNING:
            if guest.has_saved():
                raise exception.WrongState(
                    tried='reboot it softly', instance=guest.uuid,
                    state='suspended')
            return False
        progress.step('shut down')
        if not self._shutdown.run(
                guest, self._timeout_s, _RETRY_S, progress):
            return False
        progress.step('start')
        guest.start()
        return True
