# SPDX-License-Identifier: Apache-2.0

"""Everything that is needed to make one guest."""

from collections.abc import Mapping
import dataclasses
import enum

from nova_libvirt_driver.spec import boot as boot_spec
from nova_libvirt_driver.spec import configdrive as configdrive_spec
from nova_libvirt_driver.spec import console as console_spec
from nova_libvirt_driver.spec import cpu as cpu_spec
from nova_libvirt_driver.spec import device as device_spec
from nova_libvirt_driver.spec import disk as disk_spec
from nova_libvirt_driver.spec import flavor as flavor_spec
from nova_libvirt_driver.spec import instance as instance_spec
from nova_libvirt_driver.spec import memory as memory_spec
from nova_libvirt_driver.spec import nic as nic_spec


Device = disk_spec.DiskSpec | nic_spec.NicSpec
"""What can be attached to a guest that is there."""

Key = disk_spec.DiskKey | nic_spec.NicKey
"""Which one of a guest is meant."""


class RebootType(enum.StrEnum):
    """How to reboot; the words are the contract's."""

    SOFT = 'SOFT'
    """Ask the guest; fall back on the other way when it does not obey."""
    HARD = 'HARD'
    """Cut its power and define the domain again."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Owner:
    """Whom an instance belongs to."""

    user_id: str = ''
    user_name: str = ''
    project_id: str = ''
    project_name: str = ''


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ImageNote:
    """What a domain notes of the image of its root disk."""

    fields: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """Names are those of the XML, for example ``diskFormat``."""
    properties: Mapping[str, str] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class GuestMetadata:
    """What the domain remembers of its instance."""

    display_name: str
    flavor: flavor_spec.Flavor
    created_at: str
    """Time of creation, ISO 8601 in UTC: ``2026-11-25T12:00:00``."""
    owner: Owner | None = None
    image_id: str = ''
    """Image of the root disk, empty for none."""
    image: ImageNote | None = None
    package_version: str = ''


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class GuestSpec:
    """One guest: the input of spawn and of every verb that rebuilds it."""

    uuid: str
    name: str
    """Name of the domain."""
    metadata: GuestMetadata
    cpu: cpu_spec.CpuSpec
    memory: memory_spec.MemorySpec
    boot: boot_spec.BootSpec = boot_spec.BootSpec()
    storage: disk_spec.StorageSpec = disk_spec.StorageSpec()
    nics: tuple[nic_spec.NicSpec, ...] = ()
    consoles: console_spec.ConsoleSpec = console_spec.ConsoleSpec()
    devices: device_spec.DeviceSpec = device_spec.DeviceSpec()
    features: device_spec.FeatureSpec = device_spec.FeatureSpec()
    config_drive: configdrive_spec.ConfigDriveSpec | None = None

    def with_machine(self, machine: str) -> 'GuestSpec':
        """Return the guest with a machine type, unless it has one."""
        return dataclasses.replace(self, boot=dataclasses.replace(
            self.boot, machine=self.boot.machine or machine))

    def device(self, key: Key) -> Device | None:
        """Return a volume or an interface, None when it is not there."""
        devices: tuple[Device, ...] = (*self.storage.volumes, *self.nics)
        return next((one for one in devices if is_meant(key, one)), None)

    def with_device(self, device: Device) -> 'GuestSpec':
        """Return the guest with a volume or interface, once."""
        rest = self.without_device(device.key)
        if isinstance(device, disk_spec.DiskSpec):
            return dataclasses.replace(rest, storage=dataclasses.replace(
                rest.storage, volumes=(*rest.storage.volumes, device)))
        return dataclasses.replace(rest, nics=(*rest.nics, device))

    def without_device(self, key: Key) -> 'GuestSpec':
        """Return the guest without a volume or an interface."""
        volumes = tuple(one for one in self.storage.volumes
                        if not is_meant(key, one))
        return dataclasses.replace(
            self, nics=tuple(one for one in self.nics
                             if not is_meant(key, one)),
            storage=dataclasses.replace(self.storage, volumes=volumes))


Described = GuestSpec | instance_spec.Instance
"""What a guest is built from; or which one it is, and its record says the
rest."""


def is_meant(key: Key, device: Device) -> bool:
    """Say whether a key is that of a volume or an interface."""
    if isinstance(key, nic_spec.NicKey):
        return isinstance(device, nic_spec.NicSpec) and (
            key.id == device.id and key.mac == device.mac.lower())
    if not isinstance(device, disk_spec.DiskSpec):
        return False
    if key.id and device.id or key.serial and device.serial:
        return bool(key.id and key.id == device.id
                    or key.serial and key.serial == device.serial)
    return key.target_dev == device.target_dev
