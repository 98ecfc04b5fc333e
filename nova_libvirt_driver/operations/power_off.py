# SPDX-License-Identifier: Apache-2.0

"""Stopping a guest, with its help or without."""

from collections.abc import Callable
import dataclasses

from oslo_log import log as logging

from nova_libvirt_driver.guest import guests as guests_module
from nova_libvirt_driver.operations.steps import exclusive as exclusive_module
from nova_libvirt_driver.operations.steps import shutdown
from nova_libvirt_driver import ports
from nova_libvirt_driver.spec import instance as instance_spec

LOG = logging.getLogger(__name__)

OPERATION = 'power off'


@dataclasses.dataclass(frozen=True, slots=True)
class PowerOff:
    """Stops guests.

    Steps: ask the guest to shut down, again and again until the time is
    over; cut its power. When that fails the guest runs on, or is down. Once
    it was asked, a connection may be lost and come back in time.
    """

    guests: guests_module.Guests
    exclusive: exclusive_module.Exclusive
    stopped: Callable[[instance_spec.Instance], object] = lambda instance: None
    """Takes note of it."""

    def power_off(
            self, instance: instance_spec.Instance, timeout_s: float,
            retry_interval_s: float,
            progress: ports.Progress = ports.NullProgress()) -> None:
        """Stop a guest; see :meth:`base.ComputeDriver.power_off`."""
        with self.exclusive.hold(
                instance, OPERATION, progress, stopping=True) as watched:
            guest = self.guests.find(instance)
            if timeout_s > 0:
                if shutdown.run(
                        guest, timeout_s, retry_interval_s, watched):
                    self.stopped(instance)
                    return
                LOG.info('Guest did not shut down in time, cutting its power',
                         instance={'uuid': instance.uuid})
            guest.destroy()
            self.stopped(instance)
