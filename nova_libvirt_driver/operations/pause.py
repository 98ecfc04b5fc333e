# SPDX-License-Identifier: Apache-2.0

"""Stopping the CPUs of a guest, and letting them go on."""

from nova_libvirt_driver.guest import guests as guests_module
from nova_libvirt_driver.operations.steps import exclusive as exclusive_module
from nova_libvirt_driver import ports
from nova_libvirt_driver.spec import instance as instance_spec

PAUSE, UNPAUSE = 'pause', 'unpause'


class Pause:
    """Pauses guests and unpauses them.

    One step each, which may be repeated; a failure leaves the guest as it
    was.
    """

    def __init__(
            self, guests: guests_module.Guests,
            exclusive: exclusive_module.Exclusive) -> None:
        self._guests = guests
        self._exclusive = exclusive

    def pause(self, instance: instance_spec.Instance) -> None:
        """Stop the CPUs of a guest.

        :raises WrongState: it is not up
        """
        with self._exclusive.hold(instance, PAUSE, ports.NullProgress()):
            self._guests.find(instance).pause()

    def unpause(self, instance: instance_spec.Instance) -> None:
        """Let the CPUs of a guest go on.

        :raises WrongState: it is neither paused nor running
        """
        with self._exclusive.hold(instance, UNPAUSE, ports.NullProgress()):
            self._guests.find(instance).resume()
