# SPDX-License-Identifier: Apache-2.0

"""Starting a guest that is stopped, whatever stopped it."""

from collections.abc import Callable
from collections.abc import Iterator
import contextlib
import dataclasses

from nova_libvirt_driver.events import router as router_module
from nova_libvirt_driver import exception
from nova_libvirt_driver.guest import guests as guests_module
from nova_libvirt_driver.guest import handle
from nova_libvirt_driver.guest import reach
from nova_libvirt_driver.operations.steps import attached as attached_module
from nova_libvirt_driver.operations.steps import exclusive as exclusive_module
from nova_libvirt_driver.operations.steps import rebuild as rebuild_module
from nova_libvirt_driver.operations.steps import sources
from nova_libvirt_driver import ports
from nova_libvirt_driver.spec import guest as guest_spec
from nova_libvirt_driver.spec import instance as instance_spec
from nova_libvirt_driver.storage import instance_files
from nova_libvirt_driver.storage import spec_record

OPERATION = 'start'

_NO_PROGRESS = ports.NullProgress()


@dataclasses.dataclass(frozen=True, slots=True)
class PowerOn:
    """Starts guests from a domain defined again, or from saved memory.

    An image that a disk is based on and that is gone from the cache is
    fetched again first. When the start fails, the domain is defined as it was
    before.
    """

    guests: guests_module.Guests
    files: instance_files.InstanceFiles
    specs: spec_record.SpecRecords
    rebuild: rebuild_module.Rebuild
    exclusive: exclusive_module.Exclusive
    restarts: router_module.Restarts
    started: Callable[[instance_spec.Instance], object] = lambda instance: None
    """Takes note of it."""

    def power_on(
            self, described: guest_spec.Described, images: ports.ImageSource,
            progress: ports.Progress,
            attachments: ports.Attachments) -> None:
        """Start a guest; see :meth:`base.ComputeDriver.power_on`.

        :raises WrongState: it is suspended, and would lose its memory
        """
        with self._starting(described, OPERATION, attachments, progress) as (
                spec, attached):
            guest = self.guests.find_or_none(spec)
            if guest is not None and _is_up(guest):
                return
            if guest is not None and guest.has_saved():
                raise exception.WrongState(
                    tried='start it', instance=spec.uuid,
                    state='suspended: resume it')
            spec = attached.prepare(spec)
            if guest is not None and self.rebuild.is_rescued(spec):
                # Its domain is the rescue's; only unrescue makes another.
                self.files.complete(spec, images, attached.progress)
                sources.renew(self.guests, guest, spec, spec)
                attached.start(guest, spec)
            else:
                self.rebuild.run(spec, guest, images, attached)

    def resume(
            self, described: guest_spec.Described, images: ports.ImageSource,
            attachments: ports.Attachments) -> None:
        """Go on from saved memory; see :meth:`base.ComputeDriver.resume`.

        :raises WrongState: there is no saved memory
        """
        with self._starting(described, 'resume', attachments) as (
                spec, attached):
            guest = self.guests.find(spec)
            if not guest.has_saved():
                raise exception.WrongState(
                    tried='resume it', instance=spec.uuid,
                    state=f'{guest.state().power.name.lower()}, not '
                    'suspended')
            self._resume(guest, spec, images, attached)

    def resume_state_on_host_boot(
            self, described: guest_spec.Described, images: ports.ImageSource,
            attachments: ports.Attachments) -> None:
        """Start a guest after a boot of the host; one that is up stays.

        Saved memory is taken where there is some.
        """
        with self._starting(described, OPERATION, attachments) as (
                spec, attached):
            guest = self.guests.find_or_none(spec)
            if guest is not None and _is_up(guest):
                return
            if guest is not None and guest.has_saved():
                self._resume(guest, spec, images, attached)
            else:
                self.rebuild.run(
                    attached.prepare(spec), guest, images, attached)

    @contextlib.contextmanager
    def _starting(
            self, described: guest_spec.Described, operation: str,
            attachments: ports.Attachments,
            progress: ports.Progress = _NO_PROGRESS
    ) -> Iterator[tuple[guest_spec.GuestSpec, attached_module.Attached]]:
        with self.exclusive.hold(described, operation, progress) as watched:
            # Around the undo, too: that stop was not asked for.
            with (self.restarts.during(described.uuid),
                  attached_module.starting(
                      operation, described, attachments,
                      watched) as attached):
                yield self.specs.current(described), attached
            # Not within: a note that fails must not stop the guest again.
            self.started(described)

    def _resume(
            self, guest: handle.Guest, spec: guest_spec.GuestSpec,
            images: ports.ImageSource,
            attached: attached_module.Attached) -> None:
        spec = attached.prepare(spec)
        self.files.complete(spec, images, attached.progress)
        sources.renew_saved(self.guests, guest, spec)
        attached.start_saved(guest, spec)


def _is_up(guest: handle.Guest) -> bool:
    return guest.state().power in reach.UP
