# SPDX-License-Identifier: Apache-2.0

"""The XML of a running guest, for another host.

It stays what it is, but for what depends on the host: the guest must not see
any difference. What a guest does not have it is not given.
"""

from collections.abc import Iterable
from collections.abc import Mapping
import dataclasses
import os

from nova_libvirt_driver.configurators import disk_source
from nova_libvirt_driver.configurators import inputs as inputs_module
from nova_libvirt_driver.configurators import interfaces
from nova_libvirt_driver import exception
from nova_libvirt_driver.guest import device as device_module
from nova_libvirt_driver.spec import console as console_spec
from nova_libvirt_driver.spec import cpu as cpu_spec
from nova_libvirt_driver.spec import guest as guest_spec
from nova_libvirt_driver.spec import live_migration as migration_spec
from nova_libvirt_driver.xmlmodel.devices import character
from nova_libvirt_driver.xmlmodel.devices import disk as disk_model
from nova_libvirt_driver.xmlmodel.devices import interface
from nova_libvirt_driver.xmlmodel import domain as domain_model

_TCP = console_spec.SerialKind.TCP


@dataclasses.dataclass(frozen=True, slots=True)
class Relocation:
    """What a guest finds on its other host.

    :param spec: the guest as it is there: its volumes, its interfaces, its
        consoles, and which CPUs and memory it gets
    :param inputs: what its interfaces are built from
    :param folder: of the instance on this host
    """

    spec: guest_spec.GuestSpec
    destination: migration_spec.Destination
    inputs: inputs_module.Inputs
    folder: str

    def xml(self, xml: str) -> str:
        """Return the XML of the guest for the other host.

        :param xml: as it is here
        :raises WrongState: a device of it is not known to be there
        """
        domain = domain_model.Domain.parse(xml)
        self._files(domain)
        self._volumes(domain)
        self._interfaces(domain)
        self._consoles(domain)
        _place(domain, self.spec.cpu)
        self._memory(domain)
        events = self.destination.perf_events
        if events is not None:
            for event in list(domain.perf_events):
                if event.name not in events:
                    domain.perf_events.remove(event)
        return domain.to_xml()

    def _files(self, domain: domain_model.Domain) -> None:
        for disk in domain.devices.disks:
            moved = self._path(disk.source_file)
            if moved is not None and not self.destination.is_shared:
                # What it is based on may be elsewhere there.
                disk.forget_backing()
                disk.source_file = moved
        for port in (*domain.devices.serials, *domain.devices.consoles):
            port.log_file = self._path(port.log_file) or port.log_file
        domain.os.kernel = self._path(domain.os.kernel) or domain.os.kernel
        domain.os.initrd = self._path(domain.os.initrd) or domain.os.initrd

    def _path(self, path: str | None) -> str | None:
        """Return where a file of the instance is there; None for others."""
        if path is None or os.path.dirname(path) != self.folder:
            return None
        above, name = os.path.split(self.folder)
        return os.path.join(self.destination.instances_path or above, name,
                            os.path.basename(path))

    def _volumes(self, domain: domain_model.Domain) -> None:
        for volume in self.spec.storage.volumes:
            disk = device_module.find(domain.devices, volume.key)
            if not isinstance(disk, disk_model.Disk):
                raise self._refusal(str(volume.key))
            source = disk_model.Disk()
            disk_source.fill(source, volume)
            disk.take_source(source)

    def _interfaces(self, domain: domain_model.Domain) -> None:
        for nic in self.spec.nics:
            found = device_module.find(domain.devices, nic.key)
            if not isinstance(found, interface.Interface):
                raise self._refusal(str(nic.key))
            there = interface.Interface()
            interfaces.fill(there, nic, self.inputs)
            found.take_place(there)

    def _consoles(self, domain: domain_model.Domain) -> None:
        consoles = self.spec.consoles
        for console in consoles.graphics:
            for graphics in domain.devices.graphics:
                if graphics.type != console.kind:
                    continue
                if graphics.listen is not None:
                    graphics.listen = console.listen
                for listen in graphics.listens:
                    if listen.address is not None:
                        listen.address = console.listen
        for number, serial in enumerate(consoles.serials):
            if serial.kind is _TCP and serial.port is not None:
                _serve(domain.devices.serials, number, serial)
                _serve(domain.devices.consoles, number, serial)

    def _memory(self, domain: domain_model.Domain) -> None:
        backing, wanted = (domain.memory_backing,
                           self.destination.file_backed_memory)
        if wanted:
            backing.source_type = 'file'
            backing.access_mode = 'shared'
            backing.allocation_mode = 'immediate'
            backing.discard = True
        elif wanted is False and backing.source_type == 'file':
            backing.source_type = None
            backing.access_mode = None
            backing.allocation_mode = None
            backing.discard = False

    def _refusal(self, what: str) -> exception.WrongState:
        return exception.WrongState(
            tried='migrate it', instance=self.spec.uuid,
            state=f'without {what}, which it should have',
            hint='attach it again, or reboot the instance hard')


def bound_to_host(domain: domain_model.Domain) -> str:
    """Say what of a guest cannot go with it; empty for nothing."""
    devices = domain.devices
    if devices.hostdevs or any(
            nic.type == 'hostdev' for nic in devices.interfaces):
        return 'using a device of this host'
    # QEMU sends along what an emulated one remembers.
    return ('using the TPM of this host' if any(
        tpm.backend_type != 'emulator' for tpm in devices.tpms) else '')


def _serve(
        devices: Iterable[character.Serial | character.Console],
        number: int, serial: console_spec.SerialSpec) -> None:
    for device in devices:
        if device.type == 'tcp' and (device.target_port or 0) == number:
            device.source_host = serial.listen
            device.source_service = str(serial.port)


def _place(domain: domain_model.Domain, cpu: cpu_spec.CpuSpec) -> None:
    """Say which CPUs and which memory of the other host the guest gets."""
    tune = domain.cputune
    if domain.vcpu_cpuset is not None or not list(tune.vcpupins):
        domain.vcpu_cpuset = cpu.host_cpus or None
    if tune.shares is not None and cpu.tune.shares is None:
        # Nova gave them to every guest once; some kernels refuse as many.
        tune.shares = None
    if cpu.realtime_vcpus:
        # Libvirt has split the element (LP 1889257).
        for scheduled in tune.vcpuscheds:
            scheduled.priority = cpu.realtime_priority
    pins = {pin.vcpu: pin.host_cpus for pin in cpu.pins}
    for pin in tune.vcpupins:
        if pin.vcpu in pins:
            pin.cpuset = pins[pin.vcpu]
    if cpu.emulator_cpus:
        if tune.emulatorpin is not None:
            tune.emulatorpin = cpu.emulator_cpus
        for thread in tune.iothreadpins:
            thread.cpuset = cpu.emulator_cpus
    _place_memory(domain, {
        cell.id: cell.host_node for cell in cpu.cells
        if cell.host_node is not None})


def _place_memory(
        domain: domain_model.Domain, nodes: Mapping[int, int]) -> None:
    for memnode in domain.numatune.memnodes:
        node = nodes.get(-1 if memnode.cellid is None else memnode.cellid)
        if node is not None:
            memnode.nodeset = frozenset({node})
    if nodes and domain.numatune.nodeset is not None:
        domain.numatune.nodeset = frozenset(nodes.values())
