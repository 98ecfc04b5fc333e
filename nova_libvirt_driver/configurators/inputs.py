# SPDX-License-Identifier: Apache-2.0

"""All that the XML of a guest is built from."""

from collections.abc import Mapping
import dataclasses

from nova_libvirt_driver.spec import capabilities as capabilities_spec
from nova_libvirt_driver.spec import disk as disk_spec
from nova_libvirt_driver.spec import guest as guest_spec
from nova_libvirt_driver.spec import policy as policy_spec


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    """One guest, its disks as they are attached, and its host."""

    spec: guest_spec.GuestSpec
    host: capabilities_spec.GuestHost
    policy: policy_spec.GuestPolicy
    disks: tuple[disk_spec.DiskSpec, ...] = ()
    model_flags: Mapping[str, frozenset[str]] = dataclasses.field(
        default_factory=dict)
    """Flags of CPU models, of a guest that needs some."""
    console_log: str = ''
    """Path of the file for what the first serial port prints."""

    @property
    def arch(self) -> str:
        """Architecture of the guest."""
        return self.spec.boot.arch or self.host.arch

    @property
    def x86(self) -> bool:
        """Say whether the guest is a PC."""
        return self.arch in ('x86_64', 'i686')

    @property
    def kvm(self) -> bool:
        """Say whether the guest runs with hardware virtualization."""
        return self.policy.virt_type == 'kvm'

    @property
    def in_test_driver(self) -> bool:
        """Say whether the guest is for libvirt's in-process test driver."""
        return self.host.hypervisor_type == 'TEST'
