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
    """An address in the network data for the guest."""

    address: str
    prefix_length: int
    gateway: str = ''
    dns_servers: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class FoundAddress:
    """An address that a guest was found to have."""

    address: str
    source: str
    """Who says so: ``lease``, ``agent`` or ``arp``."""
    mac: str = ''
    """Of its interface, empty when that is not known."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class NicKey:
    """Which interface of a guest is meant."""

    id: str = ''
    """Identifier of the port."""
    mac: str
    """Several interfaces may have it."""
    target_dev: str = ''
    """Name of the tap on the host, as far as it is known."""

    @property
    def alias(self) -> str:
        """Name of the device in libvirt, empty for libvirt's choice."""
        return f'ua-{self.id}' if self.id else ''

    def __str__(self) -> str:
        return f'port {self.id}' if self.id else f'interface {self.mac}'


class PortProtocol(enum.StrEnum):
    """What a forwarded port is one of."""

    TCP = 'tcp'
    UDP = 'udp'


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class PortForward:
    """A port of the host that leads into a guest on QEMU's own network."""

    host_port: int
    guest_port: int
    protocol: PortProtocol = PortProtocol.TCP
    address: str = '127.0.0.1'
    """IPv4 address of the host that it is a port of; 0.0.0.0 for all."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class NicSpec:
    """One network interface."""

    mac: str
    kind: NicKind = NicKind.NETWORK
    source: str = ''
    """Name of the bridge or network, or path of the vhost-user socket."""
    id: str = ''
    """Identifier of the port."""
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
    forwards: tuple[PortForward, ...] = ()
    """Of QEMU's own network; its user mode has no other way in."""

    @property
    def key(self) -> NicKey:
        """What finds the interface in its guest."""
        return NicKey(
            id=self.id, mac=self.mac.lower(), target_dev=self.target_dev)
