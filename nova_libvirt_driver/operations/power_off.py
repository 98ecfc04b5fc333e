# SPDX-License-Identifier: Apache-2.0

"""Stopping a guest, with its help or without."""

from oslo_log import log as logging

from nova_libvirt_driver.guest import guests as guests_module
from nova_libvirt_driver.operations.steps import exclusive as exclusive_module
from nova_libvirt_driver.operations.steps import shutdown as shutdown_module
from nova_libvirt_driver.spec import instance as instance_spec

LOG = logging.getLogger(__name__)

OPERATION = 'power off'


class PowerOff:
    """Stops guests.

    Steps: ask the guest to shut down, again and again until the time is
    over; cut its power. When that fails the guest runs on, or is down. Once
    it was asked, a connection may be lost and come back in time.
    """

    def __init__(
            self, guests: guests_module.Guests,
            exclusive: exclusive_module.Exclusive,
            shutdown: shutdown_module.Shutdown) -> None:
        self._guests = guests
        self._exclusive = exclusive
        self._shutdown = shutdown

    def power_off(
            self, instance: instance_spec.Instance, timeout_s: float,
            retry_interval_s: float) -> None:
        """Stop a guest; see :meth:`base.ComputeDriver.power_off`."""
        with self._exclusive.hold(
                instance, OPERATION, stopping=True) as watched:
            guest = self._guests.find(instance)
            if timeout_s > 0:
                if self._shutdown.run(
                        guest, timeout_s, retry_interval_s, watched):
                    return
                LOG.info('Guest did not shut down in time, cutting its power',
                         instance={'uuid': instance.uuid})
            guest.destroy()
