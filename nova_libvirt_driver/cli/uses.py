# SPDX-License-Identifier: Apache-2.0

"""Which servers have which volumes, as their domains and records say."""

from collections.abc import Iterable
from collections.abc import Sequence
import contextlib
from typing import TYPE_CHECKING

from nova_libvirt_driver.cli import errors
from nova_libvirt_driver.cli import naming
from nova_libvirt_driver.cli import volumes
from nova_libvirt_driver import exception
from nova_libvirt_driver.spec import instance as instance_spec
from nova_libvirt_driver.xmlmodel import domain as domain_model

if TYPE_CHECKING:
    from nova_libvirt_driver import driver as driver_module

Users = Sequence[instance_spec.InstanceSummary]


def of_volumes(
        driver: 'driver_module.LibvirtDriver',
) -> dict[str, list[instance_spec.InstanceSummary]]:
    """Return the servers that have a volume, by its id."""
    found: dict[str, list[instance_spec.InstanceSummary]] = {}
    for row in driver.list_instance_summaries():
        if row.owned:
            for volume_id in _volumes(driver, row):
                found.setdefault(volume_id, []).append(row)
    return found


def refuse_used(
        driver: 'driver_module.LibvirtDriver',
        volume: volumes.Volume, *, but: str = '') -> None:
    """Refuse a volume that a server has.

    :param but: uuid of a server that may have it
    :raises Conflict: one does
    """
    users = [row for row in of_volumes(driver).get(volume.id, ())
             if row.uuid != but]
    if users:
        name = naming.shown(users[0])
        raise errors.Conflict(
            f'server {name} has volume {volume.name}',
            f'take it away first: nova-libvirt volume detach {name} '
            f'{volume.name}')


def _volumes(
        driver: 'driver_module.LibvirtDriver',
        row: instance_spec.InstanceSummary) -> set[str]:
    found: set[str] = set()
    # It may be deleted by now.
    with contextlib.suppress(exception.InstanceNotFound):
        for inactive in (False, True):
            found.update(_serials(driver.get_domain_xml(
                row, inactive=inactive)))
    # While it is rescued, its domain need not name all of them.
    with contextlib.suppress(exception.InstanceNotFound):
        found.update(disk.id for disk in
                     driver.get_spec(row).storage.volumes)
    return found


def _serials(xml: str) -> Iterable[str]:
    for disk in domain_model.Domain.parse(xml).devices.disks:
        if disk.serial:
            yield disk.serial
