# SPDX-License-Identifier: Apache-2.0

"""What an instance got without having asked for it, kept in Nova's database.

When it is made again, by an unshelve, a rebuild or on another host, it gets
the same, whatever that host's own choice would be. Nova's own driver keeps
the same properties.
"""

from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Iterator
import re
from typing import Any

from oslo_log import log as logging

import nova.conf
from nova_libvirt_driver.conf import policy
from nova_libvirt_driver import driver as core_driver
from nova_libvirt_driver import exception
from nova_libvirt_driver.nova_plugin import volumes
from nova_libvirt_driver.spec import disk as disk_spec
from nova_libvirt_driver.spec import guest as guest_spec
from nova_libvirt_driver.xmlmodel import domain as domain_model

CONF = nova.conf.CONF
LOG = logging.getLogger(__name__)

_PREFIX = 'image_'
NAMES = ('hw_machine_type', 'hw_disk_bus', 'hw_cdrom_bus', 'hw_input_bus',
         'hw_pointer_model', 'hw_video_model', 'hw_vif_model')

_VERSION = re.compile(r'-\d+(\.\d+)*(-.*)?$')
_ALIASES = {'pc-i440fx': 'pc', 'pc-q35': 'q35'}
_CDROM_BUSES = {'pc': 'ide', 'q35': 'sata'}


def register(
        core: core_driver.LibvirtDriver, instance: Any,
        standing: Callable[[], guest_spec.GuestSpec] | None = None) -> None:
    """Write down what the guest has and its instance does not say.

    What cannot be found, or written, is logged and left for the next start.

    :param standing: returns the guest as it would be built today; None for
        one that was built just now
    """
    missing = [name for name in NAMES
               if _PREFIX + name not in instance.system_metadata]
    if not missing:
        return
    try:
        domain = domain_model.Domain.parse(
            core.get_domain_xml(instance, inactive=True))
        today = domain
        if standing is not None and 'hw_machine_type' in missing:
            today = domain_model.Domain.parse(
                core.get_guest_xml(standing()))
        found = hardware(
            domain, today, volumes.usual_bus(instance.image_meta))
        changes = {_PREFIX + name: found[name] for name in missing
                   if name in found}
        if changes:
            instance.system_metadata.update(changes)
            instance.save()
    except exception.InstanceNotFound:
        LOG.debug('There is no guest to read its hardware from',
                  instance=instance)
    except Exception as error:
        LOG.warning('The hardware of the guest is not written down: %s',
                    error, instance=instance)


def machine_family(machine: str) -> str:
    """Return the name of a machine type without its version."""
    # Distributions have versions that are no numbers.
    return next((alias for stem, alias in _ALIASES.items()
                 if machine.startswith(stem)), _VERSION.sub('', machine))


def hardware(
        domain: domain_model.Domain, today: domain_model.Domain,
        disk_bus: str) -> dict[str, str]:
    """Return what a guest has, under the names that images have for it.

    :param today: the domain as it would be built now
    :param disk_bus: of disks that have none of their own
    """
    return {name: value for name, value in _found(domain, today, disk_bus)
            if value}


def _found(
        domain: domain_model.Domain, today: domain_model.Domain,
        disk_bus: str) -> Iterator[tuple[str, str | None]]:
    devices = domain.devices
    machine = domain.os.machine or ''
    yield 'hw_machine_type', _machine(machine, today.os.machine or '')
    # Buses in the domain may be those of block device mappings, or of a
    # rescue.
    yield 'hw_disk_bus', disk_bus
    yield 'hw_cdrom_bus', _CDROM_BUSES.get(
        machine_family(machine), disk_spec.DiskBus.SCSI.value)
    bus = next((one.bus for one in devices.inputs if one.type == 'tablet'),
               None)
    yield 'hw_input_bus', bus
    yield 'hw_pointer_model', 'usbtablet' if bus else None
    yield 'hw_video_model', _common(one.model for one in devices.videos)
    yield 'hw_vif_model', _common(one.model for one in devices.interfaces)


def _machine(machine: str, today: str) -> str:
    """Return the name that the guest gets its machine by, here and now.

    It is a short one where that stands for the guest's machine: snapshots
    inherit the name, and would need that version wherever they are started.
    """
    if machine != today or machine in policy.guest(
            CONF).machine_types.values():
        return machine
    return machine_family(machine)


def _common(models: Iterable[str | None]) -> str | None:
    """Return the model that all have that have one."""
    found = {model for model in models if model}
    return found.pop() if len(found) == 1 else None
