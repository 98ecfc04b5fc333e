# SPDX-License-Identifier: Apache-2.0

"""Network interfaces of a guest."""

import dataclasses
import enum


class NicKind(enum.StrEnum):
    """What the host's end of an interface is."""

    BRIDGE = 'bridge'
    NETWORK = 'network'
    """A network that libvirt itself manages."""
    USER = 'user'
    """QEMU's own user-mode network; needs no rights and no device."""
    ETHERNET = 'ethernet'
    """A tap of its own, connected to nothing."""
    VHOSTUSER = 'vhostuser'


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class NicBandwidth:
    """Limits of one direction; None is no limit."""

    average_kib_s: int | None = None
    peak_kib_s: int | None = None
    burst_kib: int | None = None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class NicAddress:
    """An address that the guest is told in its network data."""

    address: str
    prefix_length: int
    gateway: str = ''
    dns_servers: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class NicSpec:
    """One network interface."""

    mac: str
    kind: NicKind = NicKind.NETWORK
    source: str = ''
    """Name of the bridge or network, or path of the vhost-user socket."""
    id: str = ''
    """Identifier of the port, for the metadata."""
    target_dev: str = ''
    """Name of the tap on the host, empty for one that libvirt chooses."""
    managed_tap: bool = True
    """For a tap of its own: libvirt makes it and takes it away."""
    vhostuser_mode: str = 'client'
    model: str = ''
    """Model of the card, empty for the host's policy."""
    mtu: int | None = None
    queues: int | None = None
    rx_queue_size: int | None = None
    tx_queue_size: int | None = None
    packed_ring: bool = False
    """Queues in the packed layout of virtio 1.1."""
    inbound: NicBandwidth | None = None
    outbound: NicBandwidth | None = None
    filter_name: str = ''
    """Filter of libvirt's that applies to the interface."""
    virtualport_type: str = ''
    """``openvswitch``, ``802.1Qbh`` or empty."""
    interface_id: str = ''
    boot_order: int | None = None
    addresses: tuple[NicAddress, ...] = ()
    """Static addresses; none means DHCP."""
