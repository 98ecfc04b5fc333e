# SPDX-License-Identifier: Apache-2.0

"""Making a guest dump its memory."""

from nova_libvirt_driver.guest import guests as guests_module
from nova_libvirt_driver.spec import instance as instance_spec


class CrashDump:
    """Sends guests a non-maskable interrupt.

    What a guest does with it is its own affair; nothing on the host
    changes.
    """

    def __init__(self, guests: guests_module.Guests) -> None:
        self._guests = guests

    def trigger_crash_dump(self, instance: instance_spec.Instance) -> None:
        """Send the interrupt.

        :raises WrongState: the guest is not up
        """
        self._guests.find(instance).inject_nmi()
