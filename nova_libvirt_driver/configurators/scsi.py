# SPDX-License-Identifier: Apache-2.0

"""SCSI controllers, and where disks are on them."""

from collections.abc import Sequence
import dataclasses

from nova_libvirt_driver import exception
from nova_libvirt_driver.spec import disk as disk_spec
from nova_libvirt_driver.xmlmodel.devices import disk as disk_module
from nova_libvirt_driver.xmlmodel import domain as domain_module

_DEFAULT_MODEL = 'virtio-scsi'

# Of virtio-scsi; the older ones have a handful.
_UNITS_MAX = 256


@dataclasses.dataclass(frozen=True, slots=True)
class Place:
    """Where a disk is."""

    controller: int
    unit: int


def add_controllers(
        domain: domain_module.Domain,
        disks: Sequence[disk_spec.DiskSpec]) -> None:
    """Add one controller for each model that a disk needs."""
    for index, model in enumerate(_models(disks)):
        controller = domain.devices.controllers.add()
        controller.type = 'scsi'
        controller.index = index
        controller.model = model
        controller.driver_queues = max(
            (disk.queues for disk in _on_scsi(disks)
             if disk.queues and _model(disk) == model), default=None)


def addresses(
        disks: Sequence[disk_spec.DiskSpec]) -> dict[str, Place]:
    """Return where each SCSI disk is, by the name of its target.

    :raises InvalidRequest: two are to be in the same place
    """
    models = _models(disks)
    places: dict[str, Place] = {}
    # Disks that want a unit come first, the others take what is left.
    for disk in sorted(_on_scsi(disks), key=lambda one: one.unit is None):
        controller = models.index(_model(disk))
        unit = (_free(places, controller) if disk.unit is None
                else disk.unit)
        place = Place(controller, unit)
        if place in places.values() or not 0 <= unit < _UNITS_MAX:
            raise exception.InvalidRequest(
                reason=f'the disk {disk.target_dev} cannot have unit '
                f'{unit}: it is taken, or there is none such')
        places[disk.target_dev] = place
    return places


def put_address(element: disk_module.Disk, place: Place) -> None:
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


def _model(disk: disk_spec.DiskSpec) -> str:
    return disk.scsi_model or _DEFAULT_MODEL


def _models(disks: Sequence[disk_spec.DiskSpec]) -> list[str]:
    """Return the models in the order of the disks, each once."""
    return list(dict.fromkeys(map(_model, _on_scsi(disks))))
