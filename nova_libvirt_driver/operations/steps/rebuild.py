# SPDX-License-Identifier: Apache-2.0

"""Defining the domain of an existing guest again, and starting it."""

from collections.abc import Callable
import dataclasses

from nova_libvirt_driver.configurators import machine as machine_module
from nova_libvirt_driver import exception
from nova_libvirt_driver.guest import handle
from nova_libvirt_driver.guest import unmanaged
from nova_libvirt_driver.operations.steps import attached as attached_module
from nova_libvirt_driver.operations.steps import domains as domains_module
from nova_libvirt_driver.operations.steps import serial_ports
from nova_libvirt_driver.operations.steps import sources
from nova_libvirt_driver import ports
from nova_libvirt_driver.spec import disk as disk_spec
from nova_libvirt_driver.spec import guest as guest_spec
from nova_libvirt_driver.spec import instance as instance_spec
from nova_libvirt_driver.storage import folder as folder_module
from nova_libvirt_driver.storage import instance_files
from nova_libvirt_driver.storage import rescue_files
from nova_libvirt_driver.xmlmodel import domain as domain_model


Plan = Callable[[guest_spec.GuestSpec], tuple[disk_spec.DiskSpec, ...]]


@dataclasses.dataclass(frozen=True, slots=True)
class Rebuild:
    """Makes the domain of a guest again from its spec."""

    domains: domains_module.Domains
    folders: folder_module.Folders
    files: instance_files.InstanceFiles
    rescues: rescue_files.RescueFiles

    def run(
            self, spec: guest_spec.GuestSpec, guest: handle.Guest | None,
            images: ports.ImageSource,
            attached: attached_module.Attached) -> None:
        """Define the domain again and start it.

        Its power is cut first when it is up. What cannot become a domain is
        refused before that, and a guest whose disks are not complete. When a
        later step fails, the guest is stopped and defined as it was.

        :param spec: as the attachments have completed it
        :param guest: None when there is no domain
        :param images: where the image of its disk comes from when it is gone
            from the cache
        :raises StorageFailure: a disk is gone, or what it is based on
        :raises WrongState: it is rescued
        """
        if self.is_rescued(spec):
            raise exception.WrongState(
                tried='define its domain again', instance=spec.uuid,
                state='rescued: unrescue it first')
        progress = attached.progress
        with self.domains.ports.reservation() as reservation:
            xml = self.xml(spec, guest, self.domains.plan, reservation)
            progress.step('files')
            self.files.complete(spec, images, progress)
            if guest is not None:
                progress.step('stop')
                before = guest.xml(inactive=True)
                guest.destroy()
                attached.undo.add(
                    'define the domain as it was',
                    lambda: self.domains.guests.define(before, spec))
            self.define_and_start(spec, xml, attached)

    def is_rescued(self, instance: instance_spec.Instance) -> bool:
        """Say whether the guest starts from a rescue disk now."""
        return self.rescues.kept_xml(instance) is not None

    def define_and_start(
            self, spec: guest_spec.GuestSpec, xml: str,
            attached: attached_module.Attached) -> None:
        """Define a domain of that XML and start it."""
        attached.progress.step('define')
        guest = self.domains.guests.define(xml, spec)
        attached.start(guest, spec, drop_saved=True)
        attached.progress.step('finish')

    def xml(
            self, spec: guest_spec.GuestSpec, guest: handle.Guest | None,
            plan: Plan, reservation: serial_ports.Reservation, *,
            rescue: bool = False) -> str:
        """Return the XML for a guest with its disks.

        :param plan: returns those, of a spec that names the machine
        :param guest: gives the machine type when the spec has none, and keeps
            its ports and the devices that it has beside those of the spec
        :param rescue: it is without the disks among those for the time being
        :raises WrongState: such a device cannot be kept; or a volume is to
            be a file that is below its own
        """
        before = None
        if guest is not None:
            reservation.prefer(guest)
            before = domain_model.Domain.parse(guest.xml(inactive=True))
            sources.refuse_stale(before, spec)
            # Nova's own driver leaves "raw" in the record of a disk that it
            # has converted, and reads its domain alone.
            self.files.correct_formats(spec, {
                disk.source_file for disk in before.devices.disks
                if disk.driver_type == 'qcow2'})
            # By its name alone, a later QEMU would give the guest other
            # hardware.
            if machine_module.is_version_of(
                    before.os.machine or '', spec.boot.machine):
                spec = dataclasses.replace(spec, boot=dataclasses.replace(
                    spec.boot, machine=before.os.machine or ''))
        spec = self.domains.settle(self.files.with_kernel(spec))
        domain = self.domains.build(spec, plan(spec), reservation)
        if before is not None:
            unmanaged.keep(
                before, domain, spec, folder=self.folders.of(spec).path,
                with_disks=not rescue)
        return domain.to_xml()
