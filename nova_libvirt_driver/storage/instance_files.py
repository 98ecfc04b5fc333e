# SPDX-License-Identifier: Apache-2.0

"""The files of a new instance, and of an old one that is to be started."""

from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Set
import contextlib
import dataclasses
import functools
import os
import re

from nova_libvirt_driver import exception
from nova_libvirt_driver.filesystem import records
from nova_libvirt_driver import ports
from nova_libvirt_driver.spec import boot as boot_spec
from nova_libvirt_driver.spec import configdrive as configdrive_spec
from nova_libvirt_driver.spec import guest as guest_spec
from nova_libvirt_driver.spec import image as image_spec
from nova_libvirt_driver.spec import instance as instance_spec
from nova_libvirt_driver.spec import live_migration as migration_spec
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

_DISK = re.compile(r'disk(\.[A-Za-z0-9]+)*')
_FORMATS = ('raw', 'qcow2')

FLAT = '.flat'
"""End of the name of a disk with what it is based on, made for a copy."""


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
        """Make the config drive, and record what the guest is built from.

        :param spec: a settled one
        """
        folder = self._folders.of(spec)
        if spec.config_drive is not None and not os.path.exists(
                folder.config_drive):
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
        self._complete_small(spec, images, progress)
        self.complete_disks(spec, spec.storage.image_id, images, progress)

    def correct_formats(
            self, instance: instance_spec.Instance,
            qcow2: Set[str | None]) -> None:
        """Correct the record of disks that are said to be raw.

        :param qcow2: paths of disks that are qcow2, as their domain says
        """
        path = self._folders.of(instance).disk_info
        for disk, format in record.read_all(path).items():
            if disk in qcow2 and format == policy_spec.ImageBackend.RAW:
                record.write(path, disk, str(policy_spec.ImageBackend.QCOW2))

    def set_aside(self, instance: instance_spec.Instance, xml: str) -> None:
        """Keep the files for a way back from a migration.

        :param xml: of the domain, which goes with them
        """
        folder, kept = self._folders.of(instance), self._folders.kept(instance)
        atomic.write(folder.domain_xml, xml.encode())
        with failure.naming(f'cannot rename {folder.path}', folder.path):
            os.rename(folder.path, kept.path)
            atomic.sync(os.path.dirname(kept.path))

    @contextlib.contextmanager
    def putting_back(
            self, instance: instance_spec.Instance) -> Iterator[str | None]:
        """Let the kept files be those of the instance; may be repeated.

        :returns: the XML that was kept, until the end; None without one
        """
        folder, kept = self._folders.of(instance), self._folders.kept(instance)
        if kept.exists():
            folder.remove()
            for name in os.listdir(kept.path):
                if name.endswith(FLAT):
                    os.unlink(os.path.join(kept.path, name))
            with failure.naming(f'cannot rename {kept.path}', kept.path):
                os.rename(kept.path, folder.path)
        try:
            xml = records.read(folder.domain_xml).decode()
        except FileNotFoundError:
            yield None
            return
        yield xml
        # Last: as long as it is there, the domain can be defined again.
        os.unlink(folder.domain_xml)

    def travelling(self, instance: instance_spec.Instance) -> list[str]:
        """Return the names of kept files and folders that go with a guest.

        Not its swap, which is made again, nothing of an earlier rescue, and
        no console log of which only libvirt's log daemon has the rights.
        """
        kept = self._folders.kept(instance)
        left_out = {kept.swap, kept.domain_xml, kept.rescue_disk,
                    kept.rescue_config_drive, kept.unrescue_xml}
        with os.scandir(kept.path) as entries:
            return sorted(
                entry.name for entry in entries
                if entry.path not in left_out and entry.name[0] != '.'
                and (entry.is_file(follow_symlinks=False)
                     or entry.is_dir(follow_symlinks=False)) and (
                        not entry.path.startswith(kept.console_log)
                        or os.access(entry.path, os.R_OK)))

    def rooted(
            self, instance: instance_spec.Instance,
            image_id: str) -> set[str]:
        """Return the paths of disks that only this host can complete.

        They are based on something else than an image that can be fetched:
        that of a shelved server, for example, is deleted later.

        :param image_id: which can be; empty for none
        :raises StorageFailure: a disk cannot be read
        """
        key = image_cache.key_of(image_id)
        return {path for path, format in record.read_all(
            self._folders.of(instance).disk_info).items()
            if format == policy_spec.ImageBackend.QCOW2
            and os.path.exists(path) and any(
                os.path.basename(base.path) != key for base in _bases(path))}

    def receive(
            self, spec: guest_spec.GuestSpec,
            disks: Iterable[migration_spec.MovedDisk],
            images: ports.ImageSource, progress: ports.Progress) -> None:
        """Make the disks, and whatever else a guest needs that is to come.

        The disks are empty: their bytes come with the guest.

        :raises InvalidRequest: one is not named or kept as disks are
        :raises StorageFailure: one is based on what is not to be had here
        """
        folder = self._folders.of(spec)
        progress.step('disks')
        for disk in disks:
            if not _DISK.fullmatch(disk.name) or disk.format not in _FORMATS:
                raise exception.InvalidRequest(
                    reason=f'{disk.name} in format {disk.format} is not a '
                    'disk of an instance')
            self._make_place(spec, os.path.join(
                folder.path, disk.name), disk, images, progress)
        self._complete_small(spec, images, progress)

    def _complete_small(
            self, spec: guest_spec.GuestSpec, images: ports.ImageSource,
            progress: ports.Progress) -> None:
        folder = self._folders.of(spec)
        if spec.config_drive is not None and not os.path.exists(
                folder.config_drive):
            self._drives.make(spec, folder.config_drive)
        self._fetch_kernel(spec.boot, folder, images, progress)

    def _make_place(
            self, spec: guest_spec.GuestSpec, path: str,
            disk: migration_spec.MovedDisk, images: ports.ImageSource,
            progress: ports.Progress) -> None:
        image_id = spec.storage.image_id
        if disk.content is not None:
            with (failure.naming(f'cannot write {path}', path),
                  open(path, 'xb') as file):
                file.write(disk.content)
            return
        if not disk.base:
            self._disks.make_empty(path, disk.format, disk.size_bytes)
        elif not image_id or disk.base != image_cache.key_of(image_id):
            # A file of that name here may be another one.
            raise exception.StorageFailure(
                reason=f'the disk {disk.name} is based on {disk.base}, which '
                'only the host has that it comes from: migrate the instance '
                'while it is stopped', path=path)
        else:
            with self._cache.using(image_id, images, progress) as cached:
                self._disks.make_overlay(path, cached, disk.size_bytes)
        record.write(self._folders.of(spec).disk_info, path, disk.format)

    def fit(
            self, spec: guest_spec.GuestSpec, images: ports.ImageSource,
            formats: Mapping[str, str], progress: ports.Progress) -> None:
        """Make complete what has come from another host or flavor.

        Images that the disks are based on are fetched, disks grow.

        :param formats: those that the guest had on its former host, by the
            names of the disks; Nova's own driver may convert a disk, and its
            record stays what it was
        :raises StorageFailure: a disk is missing, or what it is based on
        """
        folder = self._folders.of(spec)
        self._folders.adopt(spec)
        for name, format in formats.items():
            path = os.path.join(folder.path, name)
            if os.path.exists(path):
                record.write(folder.disk_info, path, format)
        if not os.path.exists(folder.swap):
            record.forget(folder.disk_info, folder.swap)
        self.complete_disks(spec, spec.storage.image_id, images, progress)
        progress.step('disks')
        self._disks.fit(folder, spec.storage)
        self._fetch_kernel(spec.boot, folder, images, progress)

    def complete_disks(
            self, instance: instance_spec.Instance, image_id: str,
            images: ports.ImageSource, progress: ports.Progress) -> None:
        """See that the disks are there, and the images they are based on.

        An image that is gone from the cache is fetched again.

        :param image_id: image that the instance was made from
        :raises StorageFailure: a disk is missing, or what it is based on
        """
        folder = self._folders.of(instance)
        formats = record.read_all(folder.disk_info)
        # Nova's own driver ends a rescue without a word in the record.
        formats.pop(folder.rescue_disk, None)
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
