# SPDX-License-Identifier: Apache-2.0

"""What is said about one compute host."""

import dataclasses


@dataclasses.dataclass(frozen=True, slots=True)
class HostFacts:
    """What a connection says of its host; constant while it lives."""

    hostname: str
    hypervisor_type: str
    """Driver name of libvirt, for example ``QEMU`` or ``TEST``."""
    hypervisor_version: int
    """Version as libvirt counts: major * 1,000,000 + minor * 1,000 + n."""
    libvirt_version: int
    """Version of the libvirt that answers, counted the same way."""
    uri: str
    """The canonical URI of the connection."""
    arch: str
    cpu_model: str
    """Model name from the capabilities, empty when there is none."""
    cpu_sockets: int
    """Sockets per NUMA cell."""
    cpu_cores: int
    """Cores per socket."""
    cpu_threads: int
    """Threads per core."""


@dataclasses.dataclass(frozen=True, slots=True)
class HostResources:
    """What a host has, and what of it is in use.

    Field names and units are those of the compute service's contract.
    """

    hypervisor_hostname: str
    hypervisor_type: str
    hypervisor_version: int
    vcpus: int
    vcpus_used: int
    memory_mb: int
    """Memory of the host in MiB."""
    memory_mb_used: int
    """Memory in use in MiB: by guests, by the host, by anything."""
    local_gb: int
    """Room of the file system of the instances in GiB."""
    local_gb_used: int
    """Used room of that file system in GiB."""
    running_instances: int
