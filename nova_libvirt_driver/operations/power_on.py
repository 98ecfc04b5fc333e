# SPDX-License-Identifier: Apache-2.0

"""Starting a guest that is stopped, whatever stopped it."""

from collections.abc import Iterator
import contextlib

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
from nova_libvirt_driver.storage import instance_files
from nova_libvirt_driver.storage import spec_record

OPERATION = 'start'

_NO_PROGRESS = ports.NullProgress()


class PowerOn:
    """Starts guests from a domain defined again, or from saved memory.

    An image that a disk is based on and that is gone from the cache is
    fetched again first. When the start fails, the domain is defined as it was
    before.
    """

    def __init__(
            self, guests: guests_module.Guests,
            files: instance_files.InstanceFiles,
            specs: spec_record.SpecRecords,
            rebuild: rebuild_module.Rebuild,
            exclusive: exclusive_module.Exclusive) -> None:
        self._guests = guests
        self._files = files
        self._specs = specs
        self._rebuild = rebuild
        self._exclusive = exclusive

    def power_on(
            self, described: guest_spec.Described, images: ports.ImageSource,
            progress: ports.Progress,
            attachments: ports.Attachments) -> None:
        """Start a guest; see :meth:`base.ComputeDriver.power_on`.

        :raises WrongState: it is suspended, and would lose its memory
        """
        with self._starting(described, OPERATION, attachments, progress) as (
                spec, attached):
            guest = self._guests.find_or_none(spec)
            if guest is not None and _is_up(guest):
                return
            if guest is not None and guest.has_saved():
                raise exception.WrongState(
                    tried='start it', instance=spec.uuid,
                    state='suspended: resume it')
            spec = attached.prepare(spec)
            if guest is not None and self._rebuild.is_rescued(spec):
                # Its domain is the rescue's; only unrescue makes another.
                self._files.complete(spec, images, attached.progress)
                sources.renew(self._guests, guest, spec, spec)
                attached.start(guest)
            else:
                self._rebuild.run(spec, guest, images, attached)

    def resume(
            self, described: guest_spec.Described, images: ports.ImageSource,
            attachments: ports.Attachments) -> None:
        """Go on from saved memory; see :meth:`base.ComputeDriver.resume`.

        :raises WrongState: there is no saved memory
        """
        with self._starting(described, 'resume', attachments) as (
                spec, attached):
            guest = self._guests.find(spec)
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
            guest = self._guests.find_or_none(spec)
            if guest is not None and _is_up(guest):
                return
            if guest is not None and guest.has_saved():
                self._resume(guest, spec, images, attached)
            else:
                self._rebuild.run(
                    attached.prepare(spec), guest, images, attached)

    @contextlib.contextmanager
    def _starting(
            self, described: guest_spec.Described, operation: str,
            attachments: ports.Attachments,
            progress: ports.Progress = _NO_PROGRESS
    ) -> Iterator[tuple[guest_spec.GuestSpec, attached_module.Attached]]:
        with (self._exclusive.hold(
                described, operation, progress) as watched,
              attached_module.starting(
                  operation, described, attachments, watched) as attached):
            yield self._specs.current(described), attached

    def _resume(
            self, guest: handle.Guest, spec: guest_spec.GuestSpec,
            images: ports.ImageSource,
            attached: attached_module.Attached) -> None:
        spec = attached.prepare(spec)
        self._files.complete(spec, images, attached.progress)
        sources.renew_saved(self._guests, guest, spec)
        attached.start_saved(guest)


def _is_up(guest: handle.Guest) -> bool:
    return guest.state().power in reach.UP
