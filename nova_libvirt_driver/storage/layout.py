# SPDX-License-Identifier: Apache-2.0

"""Which disks a guest has, in which order, and under which names.

Formats come from the record of the disks. Before there are disks they come
from :func:`planned_formats`, which is for no other moment.
"""

from collections.abc import Collection
from collections.abc import Iterator
from collections.abc import Mapping
import dataclasses
import itertools
import string

from nova_libvirt_driver import exception
from nova_libvirt_driver.spec import disk as disk_spec
from nova_libvirt_driver.spec import guest as guest_spec
from nova_libvirt_driver.spec import policy as policy_spec
from nova_libvirt_driver.storage import folder as folder_module

_BUS = disk_spec.DiskBus
_DEVICE = disk_spec.DiskDevice
_PREFIXES = {
    _BUS.VIRTIO: 'vd', _BUS.SCSI: 'sd', _BUS.SATA: 'sd', _BUS.USB: 'sd',
    _BUS.IDE: 'hd', _BUS.FDC: 'fd'}
_X86 = ('', 'x86_64', 'i686')
_RAW = 'raw'
_IDE_MAX = 4


def planned_formats(
        spec: guest_spec.GuestSpec, folder: folder_module.InstanceFolder,
        backend: policy_spec.ImageBackend) -> dict[str, str]:
    """Return the formats that the disks of a new guest will have."""
    return {
        folder.disk: str(backend), folder.rescue_disk: str(backend),
        folder.swap: str(backend),
        **{folder.ephemeral(number): str(backend)
           for number in range(len(spec.storage.ephemerals))}}


def plan(
        spec: guest_spec.GuestSpec, folder: folder_module.InstanceFolder,
        formats: Mapping[str, str], guest_policy: policy_spec.GuestPolicy,
        cache: str = '') -> tuple[disk_spec.DiskSpec, ...]:
    """Return the disks of a guest.

    :param formats: format of each disk, by path
    :param cache: cache mode where no option names one
    :raises StorageFailure: a disk has no format there
    :raises InvalidRequest: there are more disks than there may be
    """
    planner = _Planner(spec, formats, guest_policy, cache)
    return planner.named([
        *planner.root(folder, boot_order=1), *planner.locals(folder),
        *planner.config_drive(folder.config_drive), *spec.storage.volumes])


def plan_rescue(
        spec: guest_spec.GuestSpec, folder: folder_module.InstanceFolder,
        formats: Mapping[str, str], guest_policy: policy_spec.GuestPolicy,
        stable_device: disk_spec.RescueDevice | None,
        cache: str = '') -> tuple[disk_spec.DiskSpec, ...]:
    """Return the disks of a rescued guest.

    :param stable_device: all disks keep their names, and that which the
        guest starts from comes last, as this device; None puts it first,
        and only the root disk after it
    :param cache: cache mode where no option names one
    :raises StorageFailure: a disk has no format there
    :raises InvalidRequest: there are more disks than there may be
    """
    planner = _Planner(spec, formats, guest_policy, cache)
    place = stable_device or disk_spec.RescueDevice()
    rescue = planner.disk(folder.rescue_disk, boot_order=1, bus=place.bus,
                          device=place.device)
    root = planner.root(folder, boot_order=None)
    config_drive = planner.config_drive(folder.rescue_config_drive)
    if stable_device is None:
        return planner.named([rescue, *root, *config_drive])
    volumes = [dataclasses.replace(volume, boot_order=None)
               for volume in spec.storage.volumes]
    return planner.named([
        *root, *planner.locals(folder), *config_drive, *volumes, rescue])


def free_name(
        disk: disk_spec.DiskSpec, taken: Collection[str],
        spec: guest_spec.GuestSpec,
        guest_policy: policy_spec.GuestPolicy) -> str:
    """Return a name for one more disk of a guest.

    :param taken: names of its disks, of any bus
    :raises InvalidRequest: it has as many disks as it may have
    """
    return _Planner(spec, {}, guest_policy, '').free(disk, taken)


class _Planner:
    """Makes disks without names, and names for them."""

    def __init__(
            self, spec: guest_spec.GuestSpec, formats: Mapping[str, str],
            guest_policy: policy_spec.GuestPolicy, cache: str) -> None:
        self._spec = spec
        self._formats = formats
        self._cache = guest_policy.disk_cachemodes.get('file', cache)
        self._io = disk_spec.fitting_io(guest_policy.disk_io, self._cache)
        self._prefix = guest_policy.disk_prefix
        self._most = guest_policy.disks_max
        self._bus = (spec.storage.bus or guest_policy.disk_bus
                     or _BUS.VIRTIO)

    def disk(
            self, path: str, *, boot_order: int | None = None,
            bus: disk_spec.DiskBus | None = None,
            device: disk_spec.DiskDevice = _DEVICE.DISK, format: str = '',
            ) -> disk_spec.DiskSpec:
        """Return a disk that the driver made.

        :param format: default is what the record says
        """
        storage = self._spec.storage
        bus = self._fitting(bus, device)
        return disk_spec.DiskSpec(
            target_dev='', bus=bus, device=device, boot_order=boot_order,
            format=format or self._format(path),
            source=disk_spec.DiskSource(path=path),
            readonly=device is _DEVICE.CDROM, discard=storage.discard,
            cache=self._cache, io=self._io,
            scsi_model=storage.scsi_model if bus is _BUS.SCSI else '',
            iotune=storage.iotune)

    def root(
            self, folder: folder_module.InstanceFolder, *,
            boot_order: int | None) -> Iterator[disk_spec.DiskSpec]:
        """Yield the root disk, if it is one that the driver made."""
        storage = self._spec.storage
        if storage.image_id or storage.root_gib:
            is_cdrom = storage.root_device is _DEVICE.CDROM
            yield self.disk(folder.disk, boot_order=boot_order,
                            device=storage.root_device,
                            bus=None if is_cdrom else storage.root_bus)

    def locals(
            self, folder: folder_module.InstanceFolder,
            ) -> Iterator[disk_spec.DiskSpec]:
        """Yield the ephemeral disks and the swap disk."""
        storage = self._spec.storage
        for number, wanted in enumerate(storage.ephemerals):
            yield self.disk(folder.ephemeral(number), bus=wanted.bus)
        if storage.swap is not None:
            yield self.disk(folder.swap, bus=storage.swap.bus)

    def config_drive(self, path: str) -> Iterator[disk_spec.DiskSpec]:
        """Yield the config drive; its format is known without a record."""
        drive = self._spec.config_drive
        if drive is not None:
            yield self.disk(path, device=_DEVICE(drive.device), format=_RAW)

    def named(
            self, disks: list[disk_spec.DiskSpec],
            ) -> tuple[disk_spec.DiskSpec, ...]:
        """Give a name to each disk that has none, in their order."""
        taken = {disk.target_dev for disk in disks}
        named = []
        for disk in disks:
            if not disk.target_dev:
                disk = dataclasses.replace(
                    disk, target_dev=self.free(disk, taken))
                taken.add(disk.target_dev)
            named.append(disk)
        return tuple(named)

    def free(
            self, disk: disk_spec.DiskSpec, taken: Collection[str]) -> str:
        """Return the first name for a disk that no other one has.

        :raises InvalidRequest: as many as there may be have one
        """
        # Those of IDE are places on its one controller.
        most = _IDE_MAX if disk.bus is _BUS.IDE else self._most
        names = itertools.islice(
            _names(self._prefix or _PREFIXES[disk.bus]), most)
        found = next((name for name in names if name not in taken), None)
        if found is None:
            raise exception.InvalidRequest(
                reason=f'the guest may have at most {most} disks like those '
                f'of the bus {disk.bus}')
        return found

    def _format(self, path: str) -> str:
        found = self._formats.get(path)
        if found is None:
            raise exception.StorageFailure(
                reason=f'there is no record of the format of {path}, and it '
                'is not found out by looking at the disk', path=path)
        return found

    def _fitting(
            self, asked: disk_spec.DiskBus | None,
            device: disk_spec.DiskDevice) -> disk_spec.DiskBus:
        if device is _DEVICE.CDROM:
            return asked or self._cdrom_bus()
        if device is _DEVICE.FLOPPY:
            return _BUS.FDC
        bus = asked or self._bus
        # That machine has no IDE.
        no_ide = bus is _BUS.IDE and 'q35' in self._spec.boot.machine
        return _BUS.SATA if no_ide else bus

    def _cdrom_bus(self) -> disk_spec.DiskBus:
        if self._spec.storage.cdrom_bus is not None:
            return self._spec.storage.cdrom_bus
        machine, arch = self._spec.boot.machine, self._spec.boot.arch
        if 'q35' in machine:
            return _BUS.SATA
        if machine.startswith('pc') or not machine and arch in _X86:
            return _BUS.IDE
        return _BUS.SCSI


def _names(prefix: str) -> Iterator[str]:
    """Return vda to vdz, vdaa and so on."""
    for length in itertools.count(1):
        for letters in itertools.product(
                string.ascii_lowercase, repeat=length):
            yield prefix + ''.join(letters)
