# SPDX-License-Identifier: Apache-2.0

"""The facet of network interfaces."""

import ipaddress
import re

from nova_libvirt_driver.configurators import checks
from nova_libvirt_driver.configurators import inputs as inputs_module
from nova_libvirt_driver import exception
from nova_libvirt_driver.spec import nic as nic_spec
from nova_libvirt_driver.spec import policy as policy_spec
from nova_libvirt_driver.xmlmodel.devices import interface
from nova_libvirt_driver.xmlmodel import domain as domain_module

Kind = nic_spec.NicKind

LikeNova = policy_spec.LikeNova

_MAC = re.compile(r'[0-9a-f]{2}(:[0-9a-f]{2}){5}')

# What the kernel takes, without the zero at its end.
_TAP_NAME_MAX = 15

_PORT_MAX = 65535

_VIRTIO = 'virtio'
_MODELS = (_VIRTIO, 'e1000', 'e1000e', 'igb', 'lan9118', 'ne2k_pci', 'pcnet',
           'rtl8139', 'spapr-vlan', 'vmxnet3')
_BY_EMULATION = ('lan9118',)
_IGB = 'igb'


def apply(domain: domain_module.Domain, inputs: inputs_module.Inputs) -> None:
    """Add the interfaces.

    :raises InvalidRequest: one contradicts itself or another one
    """
    nics = inputs.spec.nics
    # Networks may have ports of one address each.
    checks.distinct('the MAC address', (
        f'{nic.mac.lower()} {nic.id}'.strip() for nic in nics))
    checks.distinct('the tap device', (
        nic.target_dev for nic in nics if nic.target_dev))
    checks.distinct('the forwarded port', (
        f'{one.host_port}/{one.protocol} of {one.address}'
        for nic in nics for one in nic.forwards))
    for nic in nics:
        fill(domain.devices.interfaces.add(), nic, inputs)


def fill(
        element: interface.Interface, nic: nic_spec.NicSpec,
        inputs: inputs_module.Inputs) -> None:
    """Write one interface into its element.

    :raises InvalidRequest: it contradicts itself
    """
    _check(nic)
    element.type = nic.kind.value
    element.mac = nic.mac.lower()
    _source(element, nic)
    element.target_dev = nic.target_dev or None
    if nic.kind is Kind.ETHERNET and not nic.managed_tap:
        element.target_managed = False
    _model(element, nic, inputs)
    if nic.kind is not Kind.USER and not (
            nic.kind is Kind.VHOSTUSER
            and LikeNova.VHOSTUSER in inputs.policy.like_nova):
        element.mtu = nic.mtu
    _bandwidth(element.bandwidth, nic)
    element.filter_name = nic.filter_name or None
    if nic.virtualport_type:
        element.virtualport_type = nic.virtualport_type
        element.virtualport_interface_id = nic.interface_id or None
    element.boot_order = nic.boot_order
    element.alias = nic.key.alias or None


def _source(element: interface.Interface, nic: nic_spec.NicSpec) -> None:
    match nic.kind:
        case Kind.BRIDGE:
            element.source_bridge = nic.source
        case Kind.NETWORK:
            element.source_network = nic.source
        case Kind.VHOSTUSER:
            element.source_type = 'unix'
            element.source_path = nic.source
            element.source_mode = nic.vhostuser_mode


def _model(
        element: interface.Interface, nic: nic_spec.NicSpec,
        inputs: inputs_module.Inputs) -> None:
    model = nic.model or inputs.policy.nic_model
    if model and model not in _MODELS or (
            inputs.kvm and model in _BY_EMULATION):
        with_kvm = ' with KVM' if inputs.kvm else ''
        raise exception.InvalidRequest(
            reason=f'QEMU has no interface of the model {model}{with_kvm}: '
            f'take one of {", ".join(_MODELS)}')
    if model == _IGB and not inputs.host.has_igb:
        raise exception.UnsupportedOperation(
            tried=f'give a guest an interface of the model {model}',
            reason='it needs libvirt 9.3 and QEMU 8.0, and this host has '
            'an older one')
    element.model = model or None
    asked = (nic.queues, nic.rx_queue_size, nic.tx_queue_size,
             nic.packed_ring)
    if model != _VIRTIO or nic.kind is Kind.USER:
        if any(asked):
            raise exception.InvalidRequest(
                reason=f'the interface {nic.mac} of kind {nic.kind} and '
                f'model {model or "of libvirt"} cannot have queues')
        return
    policy = inputs.policy
    queues = nic.queues if inputs.kvm or (
        LikeNova.MULTIQUEUE not in policy.like_nova) else None
    rx_queue_size = nic.rx_queue_size or policy.rx_queue_size
    if nic.kind is Kind.VHOSTUSER:
        # Of other kinds QEMU cannot set it.
        element.driver_tx_queue_size = (
            nic.tx_queue_size or policy.tx_queue_size)
    elif not inputs.kvm:
        # Else libvirt would try vhost, which emulation cannot use.
        element.driver_name = 'qemu'
    elif queues or rx_queue_size:
        element.driver_name = 'vhost'
    element.driver_queues = queues
    element.driver_packed = True if nic.packed_ring else None
    element.driver_rx_queue_size = rx_queue_size


def _bandwidth(
        element: interface.Bandwidth, nic: nic_spec.NicSpec) -> None:
    inbound, outbound = nic.inbound, nic.outbound
    if inbound is not None:
        element.inbound_average = inbound.average_kib_s
        element.inbound_peak = inbound.peak_kib_s
        element.inbound_burst = inbound.burst_kib
    if outbound is not None:
        element.outbound_average = outbound.average_kib_s
        element.outbound_peak = outbound.peak_kib_s
        element.outbound_burst = outbound.burst_kib


def _check(nic: nic_spec.NicSpec) -> None:
    mac = nic.mac.lower()
    if not _MAC.fullmatch(mac) or int(mac[:2], 16) & 1:
        raise exception.InvalidRequest(
            reason=f'{nic.mac!r} is no MAC address of one interface')
    for wrong, reason in _contradictions(nic):
        if wrong:
            raise exception.InvalidRequest(
                reason=f'the interface {nic.mac} {reason}')
    if nic.kind is Kind.VHOSTUSER:
        checks.path(f'the interface {nic.mac}', nic.source)


def _is_forward(one: nic_spec.PortForward) -> bool:
    ports = 0 < one.host_port <= _PORT_MAX, 0 < one.guest_port <= _PORT_MAX
    try:
        ipaddress.IPv4Address(one.address)
    except ValueError:
        return False
    return all(ports)


def _contradictions(
        nic: nic_spec.NicSpec) -> tuple[tuple[bool, str], ...]:
    kind = nic.kind
    limits = [one for one in (nic.inbound, nic.outbound) if one is not None]
    return (
        (kind in (Kind.BRIDGE, Kind.NETWORK) and not nic.source,
         f'does not name its {kind}'),
        (len(nic.target_dev) > _TAP_NAME_MAX
         or not re.fullmatch(r'[\w.-]*', nic.target_dev, re.ASCII),
         f'has a tap named {nic.target_dev!r}, which Linux does not take'),
        (kind is Kind.ETHERNET and not (nic.managed_tap or nic.target_dev),
         'has no name for the tap, which another service creates'),
        (nic.vhostuser_mode not in ('client', 'server'),
         f'has the mode {nic.vhostuser_mode!r}: take client or server'),
        (bool(limits) and kind in (Kind.USER, Kind.VHOSTUSER),
         f'is of kind {kind}, whose bandwidth cannot be limited'),
        (any(one.average_kib_s is None for one in limits),
         'has a limit without an average'),
        (bool(nic.forwards) and kind is not Kind.USER,
         f'is of kind {kind}, whose ports are not forwarded'),
        (any(not _is_forward(one) for one in nic.forwards),
         'forwards a port outside 1 to 65535, or not of an IPv4 address'),
    )
