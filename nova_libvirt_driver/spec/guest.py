# SPDX-License-Identifier: Apache-2.0

"""Everything that is needed to make one guest."""

import dataclasses
import enum

from nova_libvirt_driver.spec import boot as boot_spec
from nova_libvirt_driver.spec import configdrive as configdrive_spec
from nova_libvirt_driver.spec import console as console_spec
from nova_libvirt_driver.spec import cpu as cpu_spec
from nova_libvirt_driver.spec import device as device_spec
from nova_libvirt_driver.spec import disk as disk_spec
from nova_libvirt_driver.spec import flavor as flavor_spec
from nova_libvirt_driver.spec import memory as memory_spec
from nova_libvirt_driver.spec import nic as nic_spec


class RebootType(enum.StrEnum):
    """How to reboot; the words are the contract's."""

    SOFT = 'SOFT'
    """Ask the guest; fall back on the other way when it does not obey."""
    HARD = 'HARD'
    """Cut its power and make the domain anew."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Owner:
    """Whom an instance belongs to."""

    user_id: str = ''
    user_name: str = ''
    project_id: str = ''
    project_name: str = ''


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
