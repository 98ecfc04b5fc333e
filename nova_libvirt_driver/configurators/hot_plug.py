# SPDX-License-Identifier: Apache-2.0

"""One more device for a guest that is there already.

The device is written by the facet that writes all of its kind, so that it is
the same when the domain is defined again. What the guest has no place for is
refused here, before anything is connected to the host for it.
"""

from collections.abc import Iterable
import dataclasses

from nova_libvirt_driver.configurators import controllers
from nova_libvirt_driver.configurators import disks
from nova_libvirt_driver.configurators import inputs as inputs_module
from nova_libvirt_driver.configurators import interfaces
from nova_libvirt_driver import exception
from nova_libvirt_driver.spec import disk as disk_spec
from nova_libvirt_driver.spec import nic as nic_spec
from nova_libvirt_driver.xmlmodel.devices import controller as controller_model
from nova_libvirt_driver.xmlmodel.devices import disk as disk_model
from nova_libvirt_driver.xmlmodel.devices import interface as interface_model
from nova_libvirt_driver.xmlmodel import domain as domain_module

Bus = disk_spec.DiskBus

_HOT = (Bus.VIRTIO, Bus.SCSI, Bus.USB)
"""Buses that QEMU plugs disks into while the guest runs."""

_CONVENTIONAL_NICS = ('e1000', 'ne2k_pci', 'pcnet', 'rtl8139')
"""Models of interfaces that are no PCI Express devices."""

_PCIE_PORTS = ('pcie-root-port', 'pcie-switch-downstream-port')
_PCI_BUSES = ('pci-root', 'pci-bridge', 'pcie-to-pci-bridge')
_SLOTS = 32

_OF_THE_MACHINE = frozenset((0, 1, 2))
"""Slots of the first bus of a PC with PCI: host bridge, south bridge, and
the one that libvirt keeps for a display."""

_DETACH_FIRST = 'detach another device first'


@dataclasses.dataclass(frozen=True, slots=True)
class Plug:
    """A device that is to be attached."""

    spec: disk_spec.DiskSpec | nic_spec.NicSpec
    """With all that was left open, as the place on a bus."""
    element: disk_model.Disk | interface_model.Interface
    controller: controller_model.Controller | None = None
    """What has to be attached before it."""


@dataclasses.dataclass(frozen=True, slots=True)
class Place:
    """A guest that is to have another device."""

    now: domain_module.Domain
    """As it runs, or as it will start."""
    defined: domain_module.Domain
    """As it will start."""

    @property
    def is_live(self) -> bool:
        """Whether it runs."""
        return self.now.id is not None


def check(
        place: Place,
        wanted: disk_spec.DiskSpec | nic_spec.NicSpec,
        inputs: inputs_module.Inputs) -> None:
    """Refuse a device for which the guest has no place.

    :param wanted: may lack what is known only on a host that is connected
    :raises DeviceAttachFailed: there is no place for it
    """
    live = place.is_live
    room = _Room(place.now, inputs.spec.uuid, str(wanted.key))
    if isinstance(wanted, nic_spec.NicSpec):
        model = wanted.model or inputs.policy.nic_model
        if live:
            room.check_slot(
                conventional=not model or model in _CONVENTIONAL_NICS)
        return
    if live and wanted.bus not in _HOT:
        raise room.refusal(
            f'a disk on the bus {wanted.bus} cannot be plugged into a guest '
            'that runs', 'stop the instance, attach it, and start it')
    if wanted.bus is Bus.USB:
        room.check_usb()
    if live and (wanted.bus is Bus.VIRTIO or wanted.bus is Bus.SCSI
                 and _scsi_place(place, wanted)[2] is not None):
        room.check_slot(conventional=False)


def disk(
        place: Place, wanted: disk_spec.DiskSpec,
        inputs: inputs_module.Inputs) -> Plug:
    """Return a disk, with a controller if it needs another one.

    :raises InvalidRequest: the disk contradicts itself
    :raises UnsupportedOperation: the machine lacks its bus
    """
    element = target(wanted, inputs).element
    assert isinstance(element, disk_model.Disk)
    if wanted.bus is not Bus.SCSI:
        return Plug(wanted, element)
    on_bus, model, controller = _scsi_place(place, wanted)
    controllers.put_scsi_address(element, on_bus)
    return Plug(
        dataclasses.replace(wanted, unit=on_bus.unit, scsi_model=model),
        element, controller)


def target(
        wanted: disk_spec.DiskSpec, inputs: inputs_module.Inputs) -> Plug:
    """Return a disk that takes the place of another one.

    :raises InvalidRequest: it contradicts itself
    """
    disks.check(wanted, inputs)
    element = disk_model.Disk()
    disks.fill(element, wanted, inputs.policy)
    return Plug(wanted, element)


def nic(wanted: nic_spec.NicSpec, inputs: inputs_module.Inputs) -> Plug:
    """Return an interface.

    :raises InvalidRequest: it contradicts itself
    """
    element = interface_model.Interface()
    interfaces.fill(element, wanted, inputs)
    return Plug(wanted, element)


def _scsi_place(
        place: Place, wanted: disk_spec.DiskSpec,
) -> tuple[controllers.Place, str, controller_model.Controller | None]:
    return controllers.scsi_place(
        (place.now.devices, place.defined.devices), wanted)


class _Room:
    """Places for devices in a guest.

    :param device: for whom there should be one, in words
    """

    def __init__(
            self, domain: domain_module.Domain, instance: str,
            device: str) -> None:
        self._controllers = list(domain.devices.controllers)
        self._taken: dict[int, set[int]] = {}
        for address in domain.devices.addresses():
            if address.type == 'pci':
                self._taken.setdefault(
                    _number(address.bus), set()).add(_number(address.slot))
        self._has_pcie = any(one.model == 'pcie-root' for one in self._pci())
        self._instance = instance
        self._device = device

    def refusal(
            self, reason: str, hint: str) -> exception.DeviceAttachFailed:
        """Return the error for a device that has no place."""
        return exception.DeviceAttachFailed(
            device=self._device, instance=self._instance, reason=reason,
            hint=hint)

    def check_usb(self) -> None:
        """Refuse a device where there is no USB."""
        # Libvirt adds one unless told not to.
        if any(one.type == 'usb' and one.model == 'none'
               for one in self._controllers):
            raise self.refusal(
                'the guest has no USB controller', 'take another bus')

    def check_slot(self, *, conventional: bool) -> None:
        """Refuse a device that finds no free PCI slot.

        :param conventional: it is no PCI Express device
        """
        if not any(self._pci()):
            # A machine without PCI, or a domain that was never started.
            return
        if self._has_pcie and not conventional:
            self._check_port()
        elif not any(self._free(one) for one in self._pci()
                     if one.model in _PCI_BUSES):
            if self._has_pcie:
                raise self.refusal(
                    'the guest has no slot for a device that is not PCI '
                    'Express', 'take another model (hw_vif_model), such as '
                    'virtio or e1000e')
            raise self.refusal(
                'all PCI slots of the guest are taken', _DETACH_FIRST)

    def _check_port(self) -> None:
        ports = [one for one in self._pci() if one.model in _PCIE_PORTS]
        if all(self._taken.get(one.index or 0) for one in ports):
            raise self.refusal(
                f'all {len(ports)} PCI Express ports of the guest are taken',
                f'{_DETACH_FIRST}, or raise [libvirt] num_pcie_ports and '
                'reboot the instance hard')

    def _pci(self) -> Iterable[controller_model.Controller]:
        return (one for one in self._controllers if one.type == 'pci')

    def _free(self, bus: controller_model.Controller) -> int:
        index = bus.index or 0
        own = _OF_THE_MACHINE if bus.model == 'pci-root' else frozenset((0,))
        return _SLOTS - len(own | self._taken.get(index, set()))


def _number(text: str | None) -> int:
    return int(text or '0', 0)
