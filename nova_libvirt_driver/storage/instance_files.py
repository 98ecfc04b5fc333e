# SPDX-License-Identifier: Apache-2.0

"""The files of a new instance, and of an old one that is to be started."""

import dataclasses
import functools
import os

from nova_libvirt_driver import exception
from nova_libvirt_driver import ports
from nova_libvirt_driver.spec import boot as boot_spec
from nova_libvirt_driver.spec import configdrive as configdrive_spec
from nova_libvirt_driver.spec import guest as guest_spec
from nova_libvirt_driver.spec import image as image_spec
from nova_libvirt_driver.spec import instance as instance_spec
from nova_libvirt_driver.spec import policy as policy_spec
from nova_libvirt_driver.storage import atomic
from nova_libvirt_driver.storage import backing
from nova_libvirt_driver.storage.configdrive import drive as drive_module
from nova_libvirt_driver.storage import disks as disks_module
from nova_libvirt_driver.storage import failure
from nova_libvirt_driver.storage import folder as folder_module
from nova_libvirt_driver.storage import image_cache
from nova_libvirt_driver.storage import image_fetch
from nova_libvirt_driver.storage import record
from nova_libvirt_driver.storage import spec_record

_GIB = 1 << 30


class InstanceFiles:
    """Makes the files of instances, and makes them complete."""

    def __init__(
            self, policy: policy_spec.StoragePolicy,
            folders: folder_module.Folders, cache: image_cache.ImageCache,
            disks: disks_module.Disks,
            drives: drive_module.ConfigDrives) -> None:
        self._policy = policy
        self._folders = folders
        self._cache = cache
        self._disks = disks
        self._drives = drives

    def settle(self, spec: guest_spec.GuestSpec) -> guest_spec.GuestSpec:
        """Return the spec with the paths and the drive it will have."""
        config_drive = spec.config_drive
        if config_drive is None and self._policy.force_config_drive:
            config_drive = configdrive_spec.ConfigDriveSpec()
        return dataclasses.replace(
            self.with_kernel(spec), config_drive=config_drive)

    def with_kernel(
            self, spec: guest_spec.GuestSpec) -> guest_spec.GuestSpec:
        """Return the spec with the paths of its kernel, if it has one."""
        folder, boot = self._folders.of(spec), spec.boot
        if not boot.kernel_image_id:
            return spec
        return dataclasses.replace(spec, boot=dataclasses.replace(
            boot, kernel=boot_spec.KernelBoot(
                kernel=folder.kernel, cmdline=boot.kernel_cmdline,
                initrd=folder.ramdisk if boot.ramdisk_image_id else '')))

    def make(
            self, spec: guest_spec.GuestSpec, images: ports.ImageSource,
            progress: ports.Progress) -> None:
        """Make in the folder what does not describe the guest.

        :param spec: a settled one
        :raises DriverError: an image or a disk cannot be had; what was made
            stays
        """
        folder = self._folders.of(spec)
        self._make_root(spec, folder, images, progress)
        progress.step('disks')
        for number, wanted in enumerate(spec.storage.ephemerals):
            self._disks.make_ephemeral(folder, number, wanted)
        if spec.storage.swap is not None:
            self._disks.make_swap(folder, spec.storage.swap)
        self._fetch_kernel(spec.boot, folder, images, progress)

    def describe(
            self, spec: guest_spec.GuestSpec,
            progress: ports.Progress) -> None:
        """Make the config drive, and record what the guest is made from.

        :param spec: a settled one
        """
        folder = self._folders.of(spec)
        if spec.config_drive is not None:
            progress.step('config drive')
            self._drives.make(spec, folder.config_drive)
        progress.step('record')
        spec_record.write(folder.spec, spec)

    def complete(
            self, spec: guest_spec.GuestSpec, images: ports.ImageSource,
            progress: ports.Progress) -> None:
        """Make again what can be made again, and see that the rest is there.

        :raises StorageFailure: a disk is missing, or what it is based on
        """
        folder = self._folders.of(spec)
        if spec.config_drive is not None and not os.path.exists(
                folder.config_drive):
            self._drives.make(spec, folder.config_drive)
        self._fetch_kernel(spec.boot, folder, images, progress)
        self.complete_disks(spec, spec.storage.image_id, images, progress)

    def complete_disks(
            self, instance: instance_spec.Instance, image_id: str,
            images: ports.ImageSource, progress: ports.Progress) -> None:
        """See that the disks are there, and the images they are based on.

        An image that is gone from the cache is fetched again.

        :param image_id: image that the instance was made from
        :raises StorageFailure: a disk is missing, or what it is based on
        """
        formats = record.read_all(self._folders.of(instance).disk_info)
        for path, format in formats.items():
            if not os.path.exists(path):
                raise exception.StorageFailure(
                    reason=f'the disk {path} of instance {instance.uuid} is '
                    'gone', path=path)
            if format == policy_spec.ImageBackend.QCOW2:
                for base in _bases(path):
                    self._cache.bring_back(base, image_id, images, progress)

    def _make_root(
            self, spec: guest_spec.GuestSpec,
            folder: folder_module.InstanceFolder, images: ports.ImageSource,
            progress: ports.Progress) -> None:
        storage = spec.storage
        size_bytes = storage.root_gib * _GIB
        if storage.image_id:
            progress.step('image')
            with self._cache.using(
                    storage.image_id, images, progress,
                    at_most_bytes=size_bytes or None) as cached:
                progress.step('root disk')
                self._disks.make_root(
                    folder, cached, size_bytes, image_id=storage.image_id,
                    progress=progress)
        elif size_bytes:
            progress.step('root disk')
            self._disks.make_blank(folder.disk, folder, size_bytes)

    def _fetch_kernel(
            self, boot: boot_spec.BootSpec,
            folder: folder_module.InstanceFolder, images: ports.ImageSource,
            progress: ports.Progress) -> None:
        for image_id, path in ((boot.kernel_image_id, folder.kernel),
                               (boot.ramdisk_image_id, folder.ramdisk)):
            if image_id and not os.path.exists(path):
                progress.step('kernel')
                atomic.make(path, functools.partial(
                    self._download, images.show(image_id), images, progress))

    def _download(
            self, image: image_spec.Image, images: ports.ImageSource,
            progress: ports.Progress, path: str) -> None:
        with open(path, 'wb') as file:
            image_fetch.download(
                image, images, file, progress,
                at_most_bytes=self._policy.image_max_gib * _GIB)


def _bases(path: str) -> list[backing.Base]:
    with failure.naming(f'cannot read {path}', path):
        return list(backing.chain(path))
