# SPDX-License-Identifier: Apache-2.0

"""From the spec of a guest to its domain."""

from collections.abc import Collection
import dataclasses

from nova_libvirt_driver.configurators import builder
from nova_libvirt_driver.configurators import inputs as inputs_module
from nova_libvirt_driver.configurators import machine as machine_module
from nova_libvirt_driver.guest import guests as guests_module
from nova_libvirt_driver.host import capabilities as capabilities_module
from nova_libvirt_driver.operations.steps import serial_ports
from nova_libvirt_driver.spec import disk as disk_spec
from nova_libvirt_driver.spec import guest as guest_spec
from nova_libvirt_driver.spec import policy as policy_spec
from nova_libvirt_driver.storage import folder as folder_module
from nova_libvirt_driver.storage import layout
from nova_libvirt_driver.storage import record
from nova_libvirt_driver.xmlmodel import domain as domain_model


@dataclasses.dataclass(frozen=True, slots=True)
class Domains:
    """Makes the XML of domains, from what there is on this host.

    :param backend: how new disks are kept
    :param ports: TCP ports for serial consoles
    """

    guests: guests_module.Guests
    capabilities: capabilities_module.Capabilities
    policy: policy_spec.GuestPolicy
    backend: policy_spec.ImageBackend
    folders: folder_module.Folders
    ports: serial_ports.SerialPorts

    def settle(self, spec: guest_spec.GuestSpec) -> guest_spec.GuestSpec:
        """Return the spec with what is to be decided once and for all.

        That is the machine type, in full: a later QEMU must not give the
        guest other hardware.
        """
        if spec.boot.machine:
            return spec
        host = self.capabilities.get(
            spec.boot.arch, virt_type=self.policy.virt_type)
        wanted = machine_module.wanted(spec, self.policy, host.arch)
        host = self.capabilities.get(
            spec.boot.arch, wanted, self.policy.virt_type)
        return dataclasses.replace(spec, boot=dataclasses.replace(
            spec.boot, machine=host.capabilities.machine or wanted))

    def plan_new(
            self, spec: guest_spec.GuestSpec
    ) -> tuple[disk_spec.DiskSpec, ...]:
        """Return the disks that a guest is going to have."""
        folder = self.folders.of(spec)
        return layout.plan(
            spec, folder, layout.planned_formats(spec, folder, self.backend),
            self.policy, self.folders.cache_mode())

    def plan(
            self, spec: guest_spec.GuestSpec
    ) -> tuple[disk_spec.DiskSpec, ...]:
        """Return the disks of a guest whose files exist."""
        folder = self.folders.of(spec)
        return layout.plan(
            spec, folder, record.read_all(folder.disk_info), self.policy,
            self.folders.cache_mode())

    def plan_rescue(
            self, spec: guest_spec.GuestSpec, *,
            stable_device: disk_spec.RescueDevice | None
    ) -> tuple[disk_spec.DiskSpec, ...]:
        """Return the disks that a rescued guest is going to have."""
        folder = self.folders.of(spec)
        formats = {**record.read_all(folder.disk_info),
                   folder.rescue_disk: str(self.backend)}
        return layout.plan_rescue(
            spec, folder, formats, self.policy, stable_device,
            self.folders.cache_mode())

    def build(
            self, spec: guest_spec.GuestSpec,
            disks: tuple[disk_spec.DiskSpec, ...],
            reservation: serial_ports.Reservation) -> domain_model.Domain:
        """Return the domain of a guest with these disks; makes nothing.

        :param reservation: gives each serial console over TCP its port, which
            is kept until the guest is started
        :raises InvalidRequest: the spec contradicts itself
        :raises UnsupportedOperation: this host cannot run such a guest
        """
        return builder.build(dataclasses.replace(
            self.inputs(reservation.filled(spec)), disks=disks,
            console_log=self.folders.of(spec).console_log))

    def inputs(self, spec: guest_spec.GuestSpec) -> inputs_module.Inputs:
        """Return what the devices of a guest are built from.

        :param spec: a settled one
        """
        host = self.capabilities.get(
            spec.boot.arch, spec.boot.machine, self.policy.virt_type)
        models = self.policy.usable_cpu_models(
            host.capabilities.cpu_models) if spec.cpu.needed_flags else ()
        return inputs_module.Inputs(
            spec=spec, policy=self.policy, host=host, model_flags={
                model: self.capabilities.features_of(host.arch, model)
                for model in models})

    def free_name(
            self, disk: disk_spec.DiskSpec, spec: guest_spec.GuestSpec,
            taken: Collection[str]) -> str:
        """Return a name for one more disk of a guest.

        :param taken: those of its disks, of any bus
        """
        return layout.free_name(disk, taken, spec, self.policy)
