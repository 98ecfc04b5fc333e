# SPDX-License-Identifier: Apache-2.0

"""Controllers: of PCI Express, of USB, of SCSI.

Libvirt adds one of USB unless told not to.
"""

from collections.abc import Sequence
import dataclasses

from nova_libvirt_driver.configurators import display
from nova_libvirt_driver.configurators import inputs as inputs_module
from nova_libvirt_driver.configurators import machine
from nova_libvirt_driver import exception
from nova_libvirt_driver.spec import disk as disk_spec
from nova_libvirt_driver.xmlmodel.devices import controller as controller_model
from nova_libvirt_driver.xmlmodel.devices import devices as devices_model
from nova_libvirt_driver.xmlmodel.devices import disk as disk_module
from nova_libvirt_driver.xmlmodel import domain as domain_module

_NOT_OF_QEMU = ('buslogic',)
_VIRTIO_SCSI = 'virtio-scsi'
# Of virtio-scsi; the older ones have a handful.
_UNITS_MAX = 256


def add_pcie(
        domain: domain_module.Domain, inputs: inputs_module.Inputs) -> None:
    """Add the PCIe ports of the host's policy, where the machine has such."""
    if not inputs.policy.pcie_ports or not machine.has_pcie(inputs):
        return
    root = domain.devices.controllers.add()
    root.type = 'pci'
    root.index = 0
    root.model = 'pcie-root'
    for index in range(inputs.policy.pcie_ports):
        port = domain.devices.controllers.add()
        port.type = 'pci'
        port.index = index + 1
        port.model = 'pcie-root-port'


def add_usb(
        domain: domain_module.Domain, inputs: inputs_module.Inputs) -> None:
    """Add a USB controller where a device needs it, or it is asked for.

    :raises InvalidRequest: a device needs it, and it is not wanted
    """
    wanted = inputs.spec.devices.usb_controller
    needed = _usb_needed(inputs)
    redirected = ('redirected USB devices'
                  if inputs.spec.devices.usb_redirections else '')
    if (needed or redirected) and not wanted:
        raise exception.InvalidRequest(
            reason=f'{needed or redirected} cannot be without a USB '
            'controller')
    controller = domain.devices.controllers.add()
    controller.type = 'usb'
    controller.index = 0
    # What a device needs is libvirt's choice, as it is in Nova's own driver:
    # another controller would move devices to other addresses.
    if not needed:
        controller.model = inputs.spec.devices.usb_model or (
            'qemu-xhci' if redirected else 'none')


def _usb_needed(inputs: inputs_module.Inputs) -> str:
    """Return what the controller is needed for; empty for nothing."""
    for disk in inputs.disks:
        if disk.bus is disk_spec.DiskBus.USB:
            return f'the USB disk {disk.target_dev}'
    if display.pointer(inputs) == display.USB_TABLET:
        return 'a USB tablet'
    return 'a USB keyboard' if display.keyboard(inputs) == 'usb' else ''


@dataclasses.dataclass(frozen=True, slots=True)
class Place:
    """Where a disk is."""

    controller: int
    unit: int


def add_scsi(
        domain: domain_module.Domain, disks: Sequence[disk_spec.DiskSpec],
        wanted: str) -> None:
    """Add one SCSI controller for each model that is asked for.

    Disks that ask for none are on the controller that libvirt adds.

    :param wanted: model of the first one, for disks that come later
    :raises InvalidRequest: QEMU has no such model
    """
    for index, model in enumerate(_models(disks, wanted)):
        if model in _NOT_OF_QEMU:
            raise exception.InvalidRequest(
                reason=f'QEMU has no SCSI controller of the model {model}')
        controller = domain.devices.controllers.add()
        controller.type = 'scsi'
        controller.index = index
        controller.model = model
        controller.driver_queues = max(
            (disk.queues for disk in _on_scsi(disks)
             if disk.queues and disk.scsi_model == model), default=None)


def scsi_addresses(
        disks: Sequence[disk_spec.DiskSpec],
        wanted: str) -> dict[str, Place]:
    """Return where each SCSI disk is, by the name of its target.

    Other controllers than virtio-scsi leave it to libvirt.

    :raises InvalidRequest: two are to be in the same place
    """
    models = _models(disks, wanted)
    placed = [disk for disk in _on_scsi(disks)
              if disk.scsi_model == _VIRTIO_SCSI or disk.unit is not None]
    places: dict[str, Place] = {}
    # Disks that want a unit come first, the others take what is left.
    for disk in sorted(placed, key=lambda one: one.unit is None):
        controller = (models.index(disk.scsi_model) if disk.scsi_model
                      else 0)
        unit = (_free(places, controller) if disk.unit is None
                else disk.unit)
        place = Place(controller, unit)
        if place in places.values() or not 0 <= unit < _UNITS_MAX:
            raise exception.InvalidRequest(
                reason=f'the disk {disk.target_dev} cannot have unit '
                f'{unit}: it is taken, or there is none such')
        places[disk.target_dev] = place
    return places


def scsi_place(
        there: Sequence[devices_model.Devices], disk: disk_spec.DiskSpec,
) -> tuple[Place, str, controller_model.Controller | None]:
    """Return where one more SCSI disk goes, in a guest that is there.

    Libvirt would add a controller of another model when one is full.

    :param there: the devices that it has now, and those of its next start
    :returns: its place, the model of the controller, and the controller
        itself if it has to be added
    """
    found = [{one.index or 0: one.model for one in devices.controllers
              if one.type == 'scsi'} for devices in there]
    models = dict(set.intersection(*(set(one.items()) for one in found)))
    taken = {(one.address.controller or 0, one.address.unit or 0)
             for devices in there for one in devices.disks
             if one.target_bus == disk_spec.DiskBus.SCSI}
    wanted = disk.scsi_model or next(
        (model for _, model in sorted(models.items()) if model), _VIRTIO_SCSI)
    for index, model in sorted(models.items()):
        for unit in range(_UNITS_MAX):
            if model == wanted and (index, unit) not in taken and (
                    disk.unit in (None, unit)):
                return Place(index, unit), wanted, None
    added = controller_model.Controller()
    added.type = 'scsi'
    added.index = max((index for one in found for index in one),
                      default=-1) + 1
    added.model = wanted
    added.driver_queues = disk.queues
    return Place(added.index, disk.unit or 0), wanted, added


def put_scsi_address(element: disk_module.Disk, place: Place) -> None:
    """Write the place of a disk."""
    element.address.type = 'drive'
    element.address.controller = place.controller
    element.address.bus = '0'
    element.address.target = 0
    element.address.unit = place.unit


def _free(places: dict[str, Place], controller: int) -> int:
    taken = {place.unit for place in places.values()
             if place.controller == controller}
    return next(unit for unit in range(_UNITS_MAX + 1)
                if unit not in taken)


def _on_scsi(
        disks: Sequence[disk_spec.DiskSpec]) -> list[disk_spec.DiskSpec]:
    return [disk for disk in disks if disk.bus is disk_spec.DiskBus.SCSI]


def _models(
        disks: Sequence[disk_spec.DiskSpec], wanted: str) -> list[str]:
    """Return the models in the order of the disks, each once."""
    models = [wanted, *(disk.scsi_model for disk in _on_scsi(disks))]
    return list(dict.fromkeys(filter(None, models)))
