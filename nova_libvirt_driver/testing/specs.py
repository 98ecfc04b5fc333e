# SPDX-License-Identifier: Apache-2.0

"""Small valid guests for tests, as values; and an image to boot one from."""

import dataclasses
import typing
import uuid as uuid_module

from nova_libvirt_driver.spec import cpu as cpu_spec
from nova_libvirt_driver.spec import device as device_spec
from nova_libvirt_driver.spec import disk as disk_spec
from nova_libvirt_driver.spec import flavor as flavor_spec
from nova_libvirt_driver.spec import guest as guest_module
from nova_libvirt_driver.spec import image as image_spec
from nova_libvirt_driver.spec import memory as memory_spec
from nova_libvirt_driver.testing import guests

CREATED_AT = '2026-11-25T12:00:00'
BOOT_MEMORY_MIB = 32
_IMAGE_BYTES = 1024 * 1024


class ImageStore(typing.Protocol):
    """What :class:`fake_images.MemoryImages` has."""

    def add(
            self, content: bytes, *, disk_format: str = 'raw',
            **fields: typing.Any) -> image_spec.Image:
        """Keep an image."""


def guest_spec(
        name: str, image_id: str = '', *,
        memory_mib: int = BOOT_MEMORY_MIB, root_gib: int = 0,
        **overrides: typing.Any) -> guest_module.GuestSpec:
    """Return a guest with a disk of an image and nothing else.

    No network, no display, no USB, no random numbers: it starts in an
    instant.

    :param image_id: image of the root disk, empty for no disk at all
    :param overrides: fields of :class:`guest_module.GuestSpec`
    """
    spec = guest_module.GuestSpec(
        uuid=str(uuid_module.uuid4()),
        name=name,
        metadata=guest_module.GuestMetadata(
            display_name=name, created_at=CREATED_AT, image_id=image_id,
            flavor=flavor(memory_mib=memory_mib, root_gib=root_gib)),
        cpu=cpu_spec.CpuSpec(vcpus=1),
        memory=memory_spec.MemorySpec(size_mib=memory_mib),
        storage=disk_spec.StorageSpec(
            image_id=image_id, root_gib=root_gib),
        devices=device_spec.DeviceSpec(
            video=None, rng=None, usb_controller=False))
    return dataclasses.replace(spec, **overrides)


def flavor(
        *, memory_mib: int = BOOT_MEMORY_MIB, root_gib: int = 0,
        **fields: typing.Any) -> flavor_spec.Flavor:
    """Return a flavor of one virtual CPU."""
    return flavor_spec.Flavor(
        **{'name': 'tiny', 'vcpus': 1, 'memory_mib': memory_mib,
           'root_gib': root_gib, **fields})


def boot_sector_image(
        images: ImageStore, message: str, *, padding: bytes = b'\0',
        **fields: typing.Any) -> image_spec.Image:
    """Keep an image whose guest writes one line and halts.

    It is raw and of 1 MiB, which a BIOS can read from a disk of any bus.

    :param padding: the byte that fills the rest of it; zeros take no room
        on the host
    :param fields: of :class:`image_spec.Image`
    """
    content = guests.boot_sector(message).ljust(_IMAGE_BYTES, padding)
    return images.add(content, **fields)
