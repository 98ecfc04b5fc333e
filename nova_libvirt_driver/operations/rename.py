# SPDX-License-Identifier: Apache-2.0

"""Giving an instance another name for its users."""

import dataclasses

from nova_libvirt_driver import exception
from nova_libvirt_driver.guest import guests as guests_module
from nova_libvirt_driver.guest import reach
from nova_libvirt_driver.operations.steps import exclusive as exclusive_module
from nova_libvirt_driver.operations.steps import undo as undo_module
from nova_libvirt_driver.spec import instance as instance_spec
from nova_libvirt_driver.storage import spec_record

OPERATION = 'rename'
_MAX_LENGTH = 255


@dataclasses.dataclass(frozen=True, slots=True)
class Rename:
    """Renames instances.

    Steps: write the name into what runs and into the definition; into the
    record. When one fails, the former name is written again. The name of the
    domain stays. A suspended guest is refused: its saved memory has the name,
    too, which would come back with it.
    """

    guests: guests_module.Guests
    exclusive: exclusive_module.Exclusive
    specs: spec_record.SpecRecords

    def rename(
            self, instance: instance_spec.Instance,
            display_name: str) -> None:
        """Write the name into the metadata of the domain.

        :raises InvalidRequest: it is empty, too long, or no text
        :raises WrongState: the guest is suspended
        """
        if not 0 < len(display_name.strip()) <= _MAX_LENGTH:
            raise exception.InvalidRequest(
                reason=f'a name has 1 to {_MAX_LENGTH} characters')
        with self.exclusive.hold(instance, OPERATION):
            guest = self.guests.find(instance)
            if guest.has_saved():
                raise exception.WrongState(
                    tried='rename it', instance=instance.uuid,
                    state='suspended: resume it first')
            with undo_module.Undo(OPERATION, instance) as undo:
                former = reach.mark_in(guest.xml(inactive=True))
                if former is not None:
                    # Before: the call may do one of two things, and fail.
                    undo.add('write the former name', lambda: (
                        guest.set_display_name(former)))
                guest.set_display_name(display_name)
                self.specs.note_display_name(instance, display_name)
                undo.commit()
