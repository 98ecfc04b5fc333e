# SPDX-License-Identifier: Apache-2.0

"""What an instance got though nobody asked for it, kept in Nova's database.

When it is made again, by an unshelve, a rebuild or on another host, it gets
the same, whatever that host's own choice would be. Nova's own driver keeps
the same properties.
"""

from collections.abc import Iterable
from collections.abc import Iterator
import re
from typing import Any

from oslo_log import log as logging

from nova_libvirt_driver import driver as core_driver
from nova_libvirt_driver import exception
from nova_libvirt_driver.xmlmodel import domain as domain_model

LOG = logging.getLogger(__name__)

_PREFIX = 'image_'
_NAMES = ('hw_machine_type', 'hw_disk_bus', 'hw_cdrom_bus', 'hw_input_bus',
          'hw_pointer_model', 'hw_video_model', 'hw_vif_model')

_VERSION = re.compile(r'-\d+(\.\d+)*(-.*)?$')
_ALIASES = {'pc-i440fx': 'pc', 'pc-q35': 'q35'}
_CDROM_BUSES = {'pc': 'ide', 'q35': 'sata'}


def register(core: core_driver.LibvirtDriver, instance: Any) -> None:
    """Write down what the guest has and its instance does not say.

    What cannot be found, or written, is logged and left for the next start.
    """
    missing = [name for name in _NAMES
               if _PREFIX + name not in instance.system_metadata]
    if not missing:
        return
    try:
        xml = core.get_domain_xml(instance, inactive=True)
        found = dict(_found(domain_model.Domain.parse(xml)))
        changes = {_PREFIX + name: found[name] for name in missing
                   if found[name]}
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


def _found(
        domain: domain_model.Domain) -> Iterator[tuple[str, str | None]]:
    devices = domain.devices
    machine = machine_family(domain.os.machine or '')
    yield 'hw_machine_type', machine
    yield 'hw_disk_bus', _first(
        disk.target_bus for disk in devices.disks if disk.device == 'disk')
    yield 'hw_cdrom_bus', _first(
        disk.target_bus for disk in devices.disks
        if disk.device == 'cdrom') or _CDROM_BUSES.get(machine)
    bus = _first(one.bus for one in devices.inputs if one.type == 'tablet')
    yield 'hw_input_bus', bus
    yield 'hw_pointer_model', 'usbtablet' if bus == 'usb' else None
    yield 'hw_video_model', _first(one.model for one in devices.videos)
    yield 'hw_vif_model', _first(one.model for one in devices.interfaces)


def _first(values: Iterable[str | None]) -> str | None:
    return next(iter(values), None)
