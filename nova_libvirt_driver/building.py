# SPDX-License-Identifier: Apache-2.0

"""Builds the description of a new guest, and asks for nothing twice.

Uuid, date and version are found here; sizes are said once, and go to where the
guest, its flavor and its metadata have them.
"""

import datetime
from typing import Any
import uuid

from nova_libvirt_driver.spec import cpu as cpu_spec
from nova_libvirt_driver.spec import disk as disk_spec
from nova_libvirt_driver.spec import flavor as flavor_spec
from nova_libvirt_driver.spec import guest as guest_spec
from nova_libvirt_driver.spec import memory as memory_spec
from nova_libvirt_driver import version


def guest(
        name: str, *, image_id: str = '', vcpus: int = 1,
        memory_mib: int = 512, root_gib: int = 0,
        flavor: flavor_spec.Flavor | None = None,
        **parts: Any) -> guest_spec.GuestSpec:
    """Return a new guest, with a uuid of its own.

    :param name: of the domain, and the one that people see
    :param image_id: image of its root disk; empty for no such disk
    :param root_gib: size of its root disk; 0 takes the image's
    :param flavor: says the sizes, instead of the numbers
    :param parts: further fields of
        :class:`~nova_libvirt_driver.spec.guest.GuestSpec`, such as ``nics``
        or ``devices``; ``cpu``, ``memory`` and ``storage`` replace what is
        made of the numbers
    :raises TypeError: a field is not known
    """
    if flavor is None:
        flavor = flavor_spec.Flavor(
            name=f'custom-{vcpus}-{memory_mib}-{root_gib}', vcpus=vcpus,
            memory_mib=memory_mib, root_gib=root_gib)
    now = datetime.datetime.now(datetime.UTC)
    fields: dict[str, Any] = {
        'cpu': cpu_spec.CpuSpec(vcpus=flavor.vcpus),
        'memory': memory_spec.MemorySpec(size_mib=flavor.memory_mib),
        'storage': disk_spec.StorageSpec(
            image_id=image_id, root_gib=flavor.root_gib), **parts}
    return guest_spec.GuestSpec(
        uuid=str(uuid.uuid4()), name=name,
        metadata=guest_spec.GuestMetadata(
            display_name=name, flavor=flavor, image_id=image_id,
            created_at=now.strftime('%Y-%m-%dT%H:%M:%S'),
            package_version=version.version()), **fields)
