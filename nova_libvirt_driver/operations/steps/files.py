# SPDX-License-Identifier: Apache-2.0

"""The files of an instance: made, looked at and removed."""

from collections.abc import Callable
import contextlib
import dataclasses
import functools
import os
import secrets

from nova_libvirt_driver import exception
from nova_libvirt_driver.operations.steps import undo as undo_module
from nova_libvirt_driver import ports
from nova_libvirt_driver.spec import boot as boot_spec
from nova_libvirt_driver.spec import configdrive as configdrive_spec
from nova_libvirt_driver.spec import disk as disk_spec
from nova_libvirt_driver.spec import guest as guest_spec
from nova_libvirt_driver.spec import image as image_spec
from nova_libvirt_driver.spec import instance as instance_spec
from nova_libvirt_driver.spec import policy as policy_spec
from nova_libvirt_driver.storage import atomic
from nova_libvirt_driver.storage.configdrive import content
from nova_libvirt_driver.storage.configdrive import drive
from nova_libvirt_driver.storage import disks as disks_module
from nova_libvirt_driver.storage import folder as folder_module
from nova_libvirt_driver.storage import image_cache
from nova_libvirt_driver.storage import image_fetch
from nova_libvirt_driver.storage import layout
from nova_libvirt_driver.storage import qemu_img as qemu_img_module
from nova_libvirt_driver.storage import record
from nova_libvirt_driver.storage import spec_record
from nova_libvirt_driver.storage import tool as tool_module

_GIB = 1 << 30


@dataclasses.dataclass(frozen=True, slots=True)
class Policies:
    """What this host gives every guest."""

    guest: policy_spec.GuestPolicy
    storage: policy_spec.StoragePolicy


class Files:
    """Makes and removes the files of instances.

    :param group_id: returns QEMU's group, which has to get at the files
    """

    def __init__(
            self, policies: Policies, tool: tool_module.Tool,
            qemu_img: qemu_img_module.QemuImg,
            group_id: Callable[[], int | None], host: str) -> None:
        self._policies = policies
        self._tool = tool
        self._qemu_img = qemu_img
        self._group_id = group_id
        self._host = host
        self._disks = disks_module.Disks(policies.storage, qemu_img, tool)

    def folder(
            self, instance: instance_spec.Instance
    ) -> folder_module.InstanceFolder:
        """Return the folder of an instance; it need not exist."""
        return folder_module.InstanceFolder(
            self._policies.storage.instances_path, instance.uuid)

    def cache(self) -> image_cache.ImageCache:
        """Return the image cache."""
        return image_cache.ImageCache(
            self._policies.storage, self._qemu_img, self._group_id())

    # Making.

    def prepare_root(self) -> None:
        """Make the folder of all instances, if need be.

        :raises StorageFailure: it cannot be made
        """
        path = self._policies.storage.instances_path
        if os.path.isdir(path):
            return
        try:
            os.makedirs(path, mode=0o750, exist_ok=True)
        except OSError as error:
            raise exception.StorageFailure(
                reason=f'cannot make the folder {path}: {error.strerror}',
                path=path) from error
        folder_module.let_group_in(path, self._group_id())

    def settle(self, spec: guest_spec.GuestSpec) -> guest_spec.GuestSpec:
        """Return the spec with the paths and the drive it will have."""
        folder, boot = self.folder(spec), spec.boot
        if boot.kernel_image_id:
            boot = dataclasses.replace(boot, kernel=boot_spec.KernelBoot(
                kernel=folder.kernel, cmdline=boot.kernel_cmdline,
                initrd=folder.ramdisk if boot.ramdisk_image_id else ''))
        config_drive = spec.config_drive
        if config_drive is None and (
                self._policies.storage.force_config_drive):
            config_drive = configdrive_spec.ConfigDriveSpec()
        return dataclasses.replace(
            spec, boot=boot, config_drive=config_drive)

    def make(
            self, spec: guest_spec.GuestSpec, images: ports.ImageSource,
            progress: ports.Progress, undo: undo_module.Undo) -> None:
        """Make the folder, and in it what is no description of the guest.

        :param spec: a settled one
        :param undo: gets what removes the folder
        """
        progress.step('folder')
        folder = self.folder(spec)
        folder.create(self._group_id())
        undo.add('remove the folder', folder.remove)
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
        folder = self.folder(spec)
        if spec.config_drive is not None:
            progress.step('config drive')
            self._make_drive(spec, folder.config_drive)
        progress.step('record')
        spec_record.write(folder.spec, spec)

    def complete(self, spec: guest_spec.GuestSpec) -> None:
        """Make again what can be made again, and see that the rest is there.

        :raises StorageFailure: a disk is missing
        """
        folder = self.folder(spec)
        if spec.config_drive is not None and not os.path.exists(
                folder.config_drive):
            self._make_drive(spec, folder.config_drive)
        for path in self.formats(spec):
            if not os.path.exists(path):
                raise exception.StorageFailure(
                    reason=f'the disk {path} of instance {spec.uuid} is gone',
                    path=path)

    # Rescue.

    def make_rescue(
            self, spec: guest_spec.GuestSpec, image_id: str,
            images: ports.ImageSource, progress: ports.Progress) -> None:
        """Make the disk and the config drive of a rescue."""
        folder = self.folder(spec)
        progress.step('image')
        with self.cache().using(image_id, images, progress) as cached:
            progress.step('disks')
            self._disks.make_rescue(
                folder, cached, image_id=image_id, progress=progress)
        if spec.config_drive is not None:
            progress.step('config drive')
            self._make_drive(spec, folder.rescue_config_drive)

    def remove_rescue(self, instance: instance_spec.Instance) -> None:
        """Remove the files of a rescue; idempotent."""
        folder = self.folder(instance)
        if not folder.exists():
            return
        for path in (folder.rescue_disk, folder.rescue_config_drive):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)
        record.forget(folder.disk_info, folder.rescue_disk)
        # Last: as long as it is there, the rescue can be ended again.
        with contextlib.suppress(FileNotFoundError):
            os.unlink(folder.unrescue_xml)

    def keep_xml(self, instance: instance_spec.Instance, xml: str) -> None:
        """Keep the XML of a domain as it was before a rescue."""
        atomic.write(self.folder(instance).unrescue_xml, xml.encode())

    def kept_xml(self, instance: instance_spec.Instance) -> str | None:
        """Return the XML from before a rescue, None without a rescue."""
        try:
            with open(self.folder(instance).unrescue_xml,
                      encoding='utf-8') as file:
                return file.read()
        except FileNotFoundError:
            return None

    # Looking.

    def plan(
            self, spec: guest_spec.GuestSpec,
            formats: dict[str, str] | None = None,
    ) -> tuple[disk_spec.DiskSpec, ...]:
        """Return the disks of a guest whose files exist.

        :param formats: by path; default is what is recorded
        """
        return layout.plan(
            spec, self.folder(spec),
            self.formats(spec) if formats is None else formats,
            self._policies.guest)

    def plan_new(
            self, spec: guest_spec.GuestSpec
    ) -> tuple[disk_spec.DiskSpec, ...]:
        """Return the disks that a guest is going to have."""
        return self.plan(spec, layout.planned_formats(
            spec, self.folder(spec), self._policies.storage.backend))

    def plan_rescue(
            self, spec: guest_spec.GuestSpec, *,
            stable_device: bool) -> tuple[disk_spec.DiskSpec, ...]:
        """Return the disks that a rescued guest is going to have."""
        folder = self.folder(spec)
        return layout.plan_rescue(
            spec, folder,
            {**self.formats(spec),
             folder.rescue_disk: str(self._policies.storage.backend)},
            self._policies.guest, stable_device)

    def formats(self, instance: instance_spec.Instance) -> dict[str, str]:
        """Return the recorded formats of an instance's disks, by path."""
        return record.read_all(self.folder(instance).disk_info)

    def format_of(self, instance: instance_spec.Instance, path: str) -> str:
        """Return the recorded format of one disk.

        :raises StorageFailure: there is no record; it is never guessed
        """
        return record.read(self.folder(instance).disk_info, path)

    def has_disk(self, instance: instance_spec.Instance) -> bool:
        """Say whether the root disk of an instance is here."""
        return os.path.exists(self.folder(instance).disk)

    # The record of what an instance was made from.

    def read_spec(
            self, instance: instance_spec.Instance) -> guest_spec.GuestSpec:
        """Return what an instance was made from.

        :raises InstanceNotFound: there is no record
        """
        try:
            return spec_record.read(self.folder(instance).spec)
        except FileNotFoundError:
            raise exception.InstanceNotFound(
                instance=instance.uuid, host=self._host) from None

    def note_root_size(
            self, instance: instance_spec.Instance, size_gib: int) -> int:
        """Record another size of the root disk; return the former one."""
        former_gib = 0

        def change(spec: guest_spec.GuestSpec) -> guest_spec.GuestSpec:
            nonlocal former_gib
            former_gib = spec.storage.root_gib
            return dataclasses.replace(spec, storage=dataclasses.replace(
                spec.storage, root_gib=size_gib))

        self._note(instance, change)
        return former_gib

    def note_display_name(
            self, instance: instance_spec.Instance, name: str) -> None:
        """Record another name of the instance."""
        self._note(instance, lambda spec: dataclasses.replace(
            spec, metadata=dataclasses.replace(
                spec.metadata, display_name=name)))

    # Removing and changing.

    def resize(self, path: str, format: str, size_bytes: int) -> None:
        """Make a disk larger that nobody has open."""
        self._disks.resize(path, format, size_bytes)

    def remove(self, instance: instance_spec.Instance) -> None:
        """Remove the folder and all in it; idempotent."""
        self.folder(instance).remove()

    def sweep_temporaries(self) -> None:
        """Remove what killed processes have left of images.

        Asks libvirt nothing: QEMU's group gets nothing from it.
        """
        image_cache.ImageCache(
            self._policies.storage, self._qemu_img).sweep_temporaries()

    def cache_image(
            self, image_id: str, images: ports.ImageSource,
            progress: ports.Progress) -> bool:
        """Bring an image into the cache; False when it was there."""
        self.prepare_root()
        with self.cache().using(image_id, images, progress) as cached:
            return cached.fetched

    def _make_root(
            self, spec: guest_spec.GuestSpec,
            folder: folder_module.InstanceFolder, images: ports.ImageSource,
            progress: ports.Progress) -> None:
        storage = spec.storage
        size_bytes = storage.root_gib * _GIB
        if storage.image_id:
            progress.step('image')
            with self.cache().using(
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
            if image_id:
                progress.step('kernel')
                atomic.make(path, functools.partial(
                    self._download, images.show(image_id), images, progress))

    def _download(
            self, image: image_spec.Image, images: ports.ImageSource,
            progress: ports.Progress, path: str) -> None:
        with open(path, 'wb') as file:
            image_fetch.download(
                image, images, file, progress,
                at_most_gib=self._policies.storage.image_max_gib)

    def _make_drive(self, spec: guest_spec.GuestSpec, path: str) -> None:
        assert spec.config_drive is not None
        files = content.files(
            spec, random_seed=secrets.token_bytes(content.SEED_BYTES))
        drive.build(
            path, files, spec.config_drive.format
            or self._policies.storage.config_drive_format, self._tool)

    def _note(
            self, instance: instance_spec.Instance,
            change: Callable[[guest_spec.GuestSpec], guest_spec.GuestSpec],
    ) -> None:
        path = self.folder(instance).spec
        # Nova keeps the record of its own guests.
        with contextlib.suppress(FileNotFoundError):
            spec_record.write(path, change(spec_record.read(path)))
