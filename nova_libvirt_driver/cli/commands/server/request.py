# SPDX-License-Identifier: Apache-2.0

"""From the command line of ``server create`` to the guest to be made.

Nothing is created here. What the image, the options and the properties ask for
goes the same way: as properties, of which those typed win.
"""

import argparse
from collections.abc import Iterable
from collections.abc import Mapping
import dataclasses
import os
from typing import TYPE_CHECKING

from nova_libvirt_driver import building
from nova_libvirt_driver.cli.commands import image as image_command
from nova_libvirt_driver.cli.commands.server import document
from nova_libvirt_driver.cli.commands.server import injection
from nova_libvirt_driver.cli.commands.server import nics
from nova_libvirt_driver.cli import errors
from nova_libvirt_driver.cli import naming
from nova_libvirt_driver import exception
from nova_libvirt_driver.images import flavors
from nova_libvirt_driver.images import properties
from nova_libvirt_driver.spec import boot as boot_spec
from nova_libvirt_driver.spec import configdrive as configdrive_spec
from nova_libvirt_driver.spec import console as console_spec
from nova_libvirt_driver.spec import device as device_spec
from nova_libvirt_driver.spec import disk as disk_spec
from nova_libvirt_driver.spec import flavor as flavor_spec
from nova_libvirt_driver.spec import guest as guest_spec
from nova_libvirt_driver.spec import image as image_spec

if TYPE_CHECKING:
    from nova_libvirt_driver.images import local as local_images

CDROM = 'cdrom'
_MIB_PER_GIB = 1024
_DEFAULT_FLAVOR = 'small'
_LISTING = 'nova-libvirt flavor list'

# Options that are another way to type a property.
_PROPERTY_OPTIONS = {
    'firmware': 'hw_firmware_type', 'machine': 'hw_machine_type',
    'disk_bus': 'hw_disk_bus', 'tpm': 'hw_tpm_version',
    'os_type': 'os_type', 'append': 'os_command_line'}


@dataclasses.dataclass(frozen=True, slots=True)
class Surroundings:
    """What a request depends on besides the command line."""

    images: 'local_images.LocalImages'
    qemu: bool
    """The hypervisor is QEMU, not a make-believe one."""
    volumes: tuple[disk_spec.DiskSpec, ...] = ()
    """Those that the guest has; the one with a boot order is its root."""


def guest(
        parsed_args: argparse.Namespace,
        around: Surroundings) -> guest_spec.GuestSpec:
    """Return the guest that was asked for, with a new uuid.

    :raises UsageError: the arguments make no sense, or not together
    :raises NotFound: there is no such image or flavor
    """
    if parsed_args.spec is not None:
        return _described(parsed_args, around)
    image = None
    if parsed_args.image:
        image = image_command.find(around.images, parsed_args.image)
    elif not (parsed_args.kernel or parsed_args.boot_volume):
        raise errors.UsageError(
            'neither --image, --boot-volume nor --kernel is given',
            'name an image, see nova-libvirt image list')
    if parsed_args.image and parsed_args.boot_volume:
        raise errors.UsageError(
            '--image and --boot-volume are given',
            'leave out one of them, or give the volume as --volume')
    asked = _properties(parsed_args, image)
    flavor = _flavor(parsed_args)
    spec = building.guest(
        parsed_args.name, flavor=flavor, image_id=image.id if image else '',
        storage=dataclasses.replace(
            _storage(parsed_args, flavor, image), volumes=around.volumes),
        nics=nics.with_forwards(
            nics.all_of(parsed_args.networks, qemu=around.qemu),
            parsed_args.forwards),
        consoles=_consoles(parsed_args),
        devices=device_spec.DeviceSpec(video=_video(parsed_args)),
        config_drive=_config_drive(parsed_args))
    return _with_kernel(
        _apply_properties(spec, asked), parsed_args, around.images)


def _described(
        parsed_args: argparse.Namespace,
        around: Surroundings) -> guest_spec.GuestSpec:
    """Return the guest that a file describes, as --spec names it."""
    found = dict(parsed_args.spec)
    storage = found.get('storage') or {}
    is_object = isinstance(storage, dict)
    word = parsed_args.image or (
        storage.get('image_id') if is_object else None)
    if word and is_object:
        image = image_command.find(around.images, str(word))
        found['storage'] = {**storage, 'image_id': image.id}
    spec = document.guest(parsed_args.name, found)
    drive = _config_drive(parsed_args)
    return spec if drive is None else dataclasses.replace(
        spec, config_drive=drive)


def _properties(
        parsed_args: argparse.Namespace,
        image: image_spec.Image | None) -> dict[str, str]:
    typed = dict(parsed_args.properties)
    _check_properties(typed)
    for option, name in _PROPERTY_OPTIONS.items():
        value = getattr(parsed_args, option)
        if value is not None:
            typed[name] = value
    if parsed_args.secure_boot:
        typed['os_secure_boot'] = 'required'
        typed.setdefault('hw_firmware_type', boot_spec.Firmware.UEFI)
    if parsed_args.agent:
        typed['hw_qemu_guest_agent'] = 'yes'
    return {**(image.properties if image else {}), **typed}


def _flavor(parsed_args: argparse.Namespace) -> flavor_spec.Flavor:
    sizes = (parsed_args.vcpus, parsed_args.ram, parsed_args.disk,
             parsed_args.swap, parsed_args.ephemeral)
    if all(size is None for size in sizes):
        return _named_flavor(parsed_args.flavor or _DEFAULT_FLAVOR)
    if parsed_args.flavor:
        raise errors.UsageError(
            '--flavor and sizes are given', 'leave out one or the other')
    if not (parsed_args.vcpus and parsed_args.ram):
        raise errors.UsageError(
            'a server without --flavor needs --vcpus and --ram',
            f'give both, or a flavor: {_LISTING}')
    return dataclasses.replace(
        flavors.custom(parsed_args.vcpus, parsed_args.ram,
                       parsed_args.disk or 0),
        swap_mib=parsed_args.swap or 0,
        ephemeral_gib=parsed_args.ephemeral or 0)


def _named_flavor(word: str) -> flavor_spec.Flavor:
    for flavor in flavors.builtin():
        if word == flavor.name:
            return flavor
    raise errors.NotFound(
        f'there is no flavor {word}', naming.advice(
            word, [flavor.name for flavor in flavors.builtin()], _LISTING))


def _with_kernel(
        spec: guest_spec.GuestSpec, parsed_args: argparse.Namespace,
        images: 'local_images.LocalImages') -> guest_spec.GuestSpec:
    """Return the guest with the kernel that was typed, if any."""
    if not parsed_args.kernel:
        if parsed_args.initrd or parsed_args.append is not None and (
                not spec.boot.kernel_image_id):
            raise errors.UsageError(
                '--initrd and --append need --kernel',
                'give a kernel that takes them')
        return spec
    kernel, kernel_id = _file_or_image(parsed_args.kernel, images)
    initrd, initrd_id = '', ''
    if parsed_args.initrd:
        initrd, initrd_id = _file_or_image(parsed_args.initrd, images)
        if bool(kernel) != bool(initrd):
            raise errors.UsageError(
                'one of --kernel and --initrd is a file, the other an image',
                'give two files or two images')
    boot = dataclasses.replace(
        spec.boot, kernel_image_id=kernel_id, ramdisk_image_id=initrd_id)
    if kernel:
        boot = dataclasses.replace(
            boot, kernel_cmdline='', kernel=boot_spec.KernelBoot(
                kernel=kernel, initrd=initrd, cmdline=boot.kernel_cmdline))
    return dataclasses.replace(spec, boot=boot)


def _file_or_image(
        word: str, images: 'local_images.LocalImages') -> tuple[str, str]:
    """Return the path of a file, or the identifier of an image."""
    path = os.path.abspath(os.path.expanduser(word))
    if os.path.isfile(path):
        return path, ''
    if '/' in word:
        raise errors.UsageError(
            f'there is no file {word}', 'name a file, or an image')
    return '', image_command.find(images, word).id


def _storage(
        parsed_args: argparse.Namespace, flavor: flavor_spec.Flavor,
        image: image_spec.Image | None) -> disk_spec.StorageSpec:
    cdrom = _boots_from_cdrom(parsed_args, image)
    if parsed_args.disk and (cdrom or image is None):
        raise errors.UsageError(
            '--disk is the size of a disk created from an image',
            'give --ephemeral for an empty one')
    gib = flavor.ephemeral_gib
    return disk_spec.StorageSpec(
        image_id=image.id if image else '',
        # A disc has the size that it has.
        root_gib=0 if cdrom or image is None else flavor.root_gib,
        root_device=(disk_spec.DiskDevice.CDROM if cdrom
                     else disk_spec.DiskDevice.DISK),
        ephemerals=(disk_spec.LocalDisk(size_mib=gib * _MIB_PER_GIB),
                    ) if gib else (),
        swap=(disk_spec.LocalDisk(size_mib=flavor.swap_mib)
              if flavor.swap_mib else None))


def _boots_from_cdrom(
        parsed_args: argparse.Namespace,
        image: image_spec.Image | None) -> bool:
    if parsed_args.boot_from:
        return bool(parsed_args.boot_from == CDROM)
    return image is not None and (
        image.disk_format == image_spec.DiskFormat.ISO)


def _consoles(parsed_args: argparse.Namespace) -> console_spec.ConsoleSpec:
    kind = parsed_args.graphics
    return console_spec.ConsoleSpec(
        serials=(console_spec.SerialSpec(
            kind=console_spec.SerialKind(parsed_args.serial)),),
        graphics=() if kind == 'none' else (console_spec.GraphicsSpec(
            kind=console_spec.GraphicsKind(kind)),))


def _video(parsed_args: argparse.Namespace) -> device_spec.VideoSpec | None:
    return (None if parsed_args.graphics == 'none'
            else device_spec.VideoSpec())


def _config_drive(
        parsed_args: argparse.Namespace
        ) -> configdrive_spec.ConfigDriveSpec | None:
    if not (parsed_args.config_drive or parsed_args.user_data
            or parsed_args.files or parsed_args.keys):
        return None
    return injection.config_drive(
        parsed_args.name, user_data=parsed_args.user_data,
        files=parsed_args.files, keys=parsed_args.keys)


def _apply_properties(
        spec: guest_spec.GuestSpec,
        asked: Mapping[str, str]) -> guest_spec.GuestSpec:
    """Return the guest with what the properties ask for.

    :raises UsageError: a property has a value that it cannot have
    """
    try:
        return properties.apply(spec, asked)
    except exception.InvalidRequest as error:
        raise errors.UsageError(
            str(error.fields['reason']),
            'correct --property, or the property of the image') from error


def _check_properties(names: Iterable[str]) -> None:
    """See whether properties that were typed are known.

    :raises UsageError: one is not
    """
    for name in names:
        if name not in properties.CHANGES:
            raise errors.UsageError(
                f'there is no property {name}',
                naming.advice(name, properties.CHANGES,
                              'nova-libvirt help server create'))
