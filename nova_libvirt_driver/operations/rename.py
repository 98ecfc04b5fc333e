# SPDX-License-Identifier: Apache-2.0

"""Giving an instance another name for its users."""

from collections.abc import Callable

from nova_libvirt_driver import exception
from nova_libvirt_driver.guest import guests as guests_module
from nova_libvirt_driver.operations.steps import exclusive as exclusive_module
from nova_libvirt_driver import ports
from nova_libvirt_driver.spec import instance as instance_spec

OPERATION = 'rename'
_MAX_LENGTH = 255


class Rename:
    """Renames instances.

    One step for the definition and, when the guest is up, one for what
    runs; a failure of the second one leaves the new name for the next
    start. The name of the domain stays.
    """

    def __init__(
            self, guests: guests_module.Guests,
            exclusive: exclusive_module.Exclusive,
            note: Callable[[instance_spec.Instance, str], object]) -> None:
        self._guests = guests
        self._exclusive = exclusive
        self._note = note

    def rename(
            self, instance: instance_spec.Instance,
            display_name: str) -> None:
        """Write the name into the metadata of the domain.

        :raises InvalidRequest: it is empty, too long, or no text
        """
        if not 0 < len(display_name.strip()) <= _MAX_LENGTH:
            raise exception.InvalidRequest(
                reason=f'a name has 1 to {_MAX_LENGTH} characters')
        with self._exclusive.hold(instance, OPERATION, ports.NullProgress()):
            self._guests.find(instance).set_display_name(display_name)
            self._note(instance, display_name)
