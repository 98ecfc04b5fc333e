# SPDX-License-Identifier: Apache-2.0

"""What the hypervisor can give a guest."""

import dataclasses


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class DomainCapabilities:
    """Libvirt's domain capabilities for one architecture and machine.

    An empty set means that libvirt did not say, as its test driver does.
    """

    arch: str = ''
    machine: str = ''
    """Canonical name, for example ``pc-i440fx-7.2``."""
    uefi: bool = False
    secure_boot: bool = False
    stateless_firmware: bool = False
    loaders: tuple[str, ...] = ()
    """Files of the UEFI firmware, the preferred one first."""
    cpu_modes: frozenset[str] = frozenset()
    cpu_models: frozenset[str] = frozenset()
    """Models usable for the mode custom."""
    disk_buses: frozenset[str] = frozenset()
    graphics: frozenset[str] = frozenset()
    video_models: frozenset[str] = frozenset()
    rng_backends: frozenset[str] = frozenset()
    tpm_models: frozenset[str] = frozenset()
    tpm_versions: frozenset[str] = frozenset()
    memory_sources: frozenset[str] = frozenset()
    memory_encryption: bool = False
    """AMD's SEV can be used."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class GuestHost:
    """What the configurators know of the host."""

    hypervisor_type: str
    """Driver name of libvirt, for example ``QEMU`` or ``TEST``."""
    libvirt_version: int
    hypervisor_version: int
    arch: str
    capabilities: DomainCapabilities
    host_uuid: str = ''
    machine_id: str = ''
    """Identifier of the host's operating system, as a uuid."""
    qemu_uid: int | None = None
    """User that QEMU runs as, None when libvirt does not say."""
    qemu_gid: int | None = None

    @property
    def has_igb(self) -> bool:
        """Whether interfaces can be of the model igb.

        Libvirt's test driver starts nothing, and has them all.
        """
        return self.hypervisor_type != 'QEMU' or (
            self.libvirt_version >= 9_003_000
            and self.hypervisor_version >= 8_000_000)
