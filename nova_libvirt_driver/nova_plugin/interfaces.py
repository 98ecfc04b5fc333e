# SPDX-License-Identifier: Apache-2.0

"""Interfaces: from Nova's network model to os-vif and to libvirt."""

from collections.abc import Iterable
import os
from typing import Any

import os_vif
from os_vif.objects import fields as os_vif_fields
from os_vif.objects import vif as os_vif_objects
from oslo_log import log as logging

from nova import exception as nova_exception
from nova.network import model as network_model
from nova.network import os_vif_util
from nova.privsep import linux_net
from nova.virt import hardware
from nova.virt import osinfo

import nova.conf
from nova_libvirt_driver.conf import policy as policy_conf
from nova_libvirt_driver import exception
from nova_libvirt_driver.spec import nic as nic_spec
from nova_libvirt_driver.spec import policy as policy_spec

CONF = nova.conf.CONF
LOG = logging.getLogger(__name__)

_NAME_MAX = network_model.NIC_NAME_LEN
# What the kernel takes for a tap.
_MAX_QUEUES = 256


def plug(instance: Any, network_info: Iterable[Any]) -> None:
    """Connect the host's ends; idempotent.

    :raises VirtualInterfacePlugException: one cannot be connected
    """
    for vif in network_info:
        try:
            if vif['type'] == network_model.VIF_TYPE_TAP:
                _make_tap(instance, vif)
                continue
            converted = _converted(vif)
            if converted is not None:
                _say_queues(converted, instance)
                os_vif.plug(
                    converted, os_vif_util.nova_to_osvif_instance(instance))
        except Exception as error:
            # Any other error of one server's port would keep the compute
            # service from starting (LP 1981813).
            raise nova_exception.VirtualInterfacePlugException(
                f'port {vif["id"]} cannot be plugged') from error


def unplug(instance: Any, network_info: Iterable[Any]) -> None:
    """Disconnect the host's ends; idempotent.

    Each one is tried, whatever becomes of the others.

    :raises NovaException: one or more could not be disconnected
    """
    failed = []
    for vif in network_info:
        try:
            if vif['type'] == network_model.VIF_TYPE_TAP:
                linux_net.delete_net_dev(_device(vif))
                continue
            converted = _converted(vif)
            if converted is not None:
                os_vif.unplug(
                    converted, os_vif_util.nova_to_osvif_instance(instance))
        except Exception as error:
            LOG.error('Port %s cannot be unplugged: %s', vif['id'], error,
                      instance=instance)
            failed.append(vif['id'])
    if failed:
        raise nova_exception.NovaException(
            f'ports cannot be unplugged: {", ".join(failed)}')


def is_plugged(vif: Any) -> bool:
    """Say whether the host's end is there.

    What has no end in the kernel before its guest runs counts as plugged:
    nothing but the removal of the guest unplugs it.
    """
    end = _end(vif)
    return not end or _exists(end)


def stays(vif: Any) -> bool:
    """Say whether the host's end outlives its guest, and is there."""
    end = _end(vif)
    if end:
        return _exists(end)
    return vif['type'] not in (
        network_model.VIF_TYPE_BRIDGE, network_model.VIF_TYPE_OVS)


def _end(vif: Any) -> str:
    """Return the device that is there without the guest, empty for none."""
    if vif['type'] == network_model.VIF_TYPE_TAP:
        return _device(vif)
    converted = _converted(vif)
    if isinstance(converted, os_vif_objects.VIFBridge):
        return str(converted.bridge_name)
    if isinstance(converted, os_vif_objects.VIFOpenVSwitch) and _is_set(
            converted.port_profile, 'create_tap'):
        return str(converted.vif_name)
    return ''


def nics(network_info: Iterable[Any]) -> tuple[nic_spec.NicSpec, ...]:
    """Return the interfaces of a guest.

    :raises InvalidRequest: a port is of a type that is not supported
    """
    return tuple(_nic(vif) for vif in network_info)


def key(vif: Any) -> nic_spec.NicKey:
    """Return what finds the interface of a port in its guest."""
    return nic_spec.NicKey(
        id=vif['id'], mac=vif['address'].lower(), target_dev=_device(vif))


def queues(flavor: Any, image_meta: Any) -> int | None:
    """Return how many queues a virtio card has, None for the usual one."""
    if not hardware.get_vif_multiqueue_constraint(flavor, image_meta):
        return None
    most: int = CONF.libvirt.max_queues or _MAX_QUEUES
    return min(int(flavor.vcpus), most)


def _converted(vif: Any) -> Any:
    """Return an object of os-vif, None for a port that needs no plugging."""
    if vif['type'] in _BY_LIBVIRT:
        return None
    return os_vif_util.nova_to_osvif_vif(vif)


def _nic(vif: Any) -> nic_spec.NicSpec:
    common = {
        'mac': vif['address'], 'id': vif['id'],
        'mtu': vif['network'].get_meta('mtu') if vif['network'] else None,
        'addresses': tuple(_addresses(vif))}
    by_libvirt = _BY_LIBVIRT.get(vif['type'])
    if by_libvirt is not None:
        return by_libvirt(vif, common)
    try:
        converted = os_vif_util.nova_to_osvif_vif(vif)
    except nova_exception.NovaException as error:
        raise _unsupported(vif, str(error)) from error
    for kind, make in _BY_OS_VIF:
        if isinstance(converted, kind):
            return make(converted, common)
    raise _unsupported(vif, 'no such interface can be made')


def _addresses(vif: Any) -> Iterable[nic_spec.NicAddress]:
    for subnet in vif['network']['subnets'] if vif['network'] else ():
        length = int(str(subnet['cidr'] or '/0').partition('/')[2])
        for ip in subnet['ips']:
            yield nic_spec.NicAddress(
                address=str(ip['address']), prefix_length=length)


def _unsupported(vif: Any, reason: str) -> exception.InvalidRequest:
    return exception.InvalidRequest(
        reason=f'port {vif["id"]} is of type {vif["type"]}: {reason}')


def _bridge(vif: Any, common: dict[str, Any]) -> nic_spec.NicSpec:
    return nic_spec.NicSpec(
        **common, kind=nic_spec.NicKind.BRIDGE,
        source=vif['network']['bridge'], target_dev=_device(vif))


def _tap(vif: Any, common: dict[str, Any]) -> nic_spec.NicSpec:
    # Libvirt would give the host's end an address of its own.
    return nic_spec.NicSpec(
        **common, kind=nic_spec.NicKind.ETHERNET, target_dev=_device(vif),
        managed_tap=False)


def _make_tap(instance: Any, vif: Any) -> None:
    """Make the tap of a port, with the MAC address that Neutron wants."""
    linux_net.create_tap_dev(
        _device(vif),
        vif['details'].get(network_model.VIF_DETAILS_TAP_MAC_ADDRESS),
        multiqueue=_has_queues(instance))


def _say_queues(converted: Any, instance: Any) -> None:
    """Tell os-vif what kind of tap it is to make, if it does (LP 2069718)."""
    if not isinstance(converted, os_vif_objects.VIFOpenVSwitch):
        return
    profile = converted.port_profile
    if _is_set(profile, 'create_tap') and 'multiqueue' in profile.fields:
        profile.multiqueue = _has_queues(instance)


def _has_queues(instance: Any) -> bool:
    """Say whether libvirt opens taps of a server with several queues.

    The kernel refuses to open a tap in another way than it was made in.
    """
    image_meta = instance.image_meta
    policy = policy_conf.guest(CONF)
    model = osinfo.HardwareProperties(image_meta).network_model
    if (model or policy.nic_model) != network_model.VIF_MODEL_VIRTIO or (
            policy.virt_type != 'kvm'
            and policy_spec.LikeNova.MULTIQUEUE in policy.like_nova):
        return False
    return (queues(instance.flavor, image_meta) or 1) > 1


def _exists(device: str) -> bool:
    return os.path.exists(f'/sys/class/net/{device}')


def _device(vif: Any) -> str:
    return str(vif.get('devname') or f'tap{vif["id"]}')[:_NAME_MAX]


def _hybrid(converted: Any, common: dict[str, Any]) -> nic_spec.NicSpec:
    return nic_spec.NicSpec(
        **common, kind=nic_spec.NicKind.BRIDGE,
        source=converted.bridge_name, target_dev=converted.vif_name)


def _ovs(converted: Any, common: dict[str, Any]) -> nic_spec.NicSpec:
    profile = converted.port_profile
    if _is_set(profile, 'create_tap') or _is_set(profile, 'create_port'):
        # The tap is os-vif's, or its port in the bridge is.
        return nic_spec.NicSpec(
            **common, kind=nic_spec.NicKind.ETHERNET,
            target_dev=converted.vif_name,
            managed_tap=not _is_set(profile, 'create_tap'))
    return nic_spec.NicSpec(
        **common, kind=nic_spec.NicKind.BRIDGE,
        source=converted.bridge_name, target_dev=converted.vif_name,
        virtualport_type='openvswitch', interface_id=profile.interface_id)


def _vhostuser(converted: Any, common: dict[str, Any]) -> nic_spec.NicSpec:
    # Libvirt speaks of QEMU's end, and so does os-vif.
    return nic_spec.NicSpec(
        **common, kind=nic_spec.NicKind.VHOSTUSER, source=converted.path,
        target_dev=converted.vif_name,
        vhostuser_mode=('server' if converted.mode == (
            os_vif_fields.VIFVHostUserMode.SERVER) else 'client'))


def _generic(converted: Any, common: dict[str, Any]) -> nic_spec.NicSpec:
    return nic_spec.NicSpec(
        **common, kind=nic_spec.NicKind.ETHERNET,
        target_dev=converted.vif_name)


def _is_set(profile: Any, name: str) -> bool:
    # An older os-vif has no such field; a newer one may leave it unset.
    return name in profile.fields and name in profile and bool(
        getattr(profile, name))


_BY_LIBVIRT = {
    network_model.VIF_TYPE_BRIDGE: _bridge,
    network_model.VIF_TYPE_TAP: _tap,
}
"""Types that os-vif has nothing to do with."""

_BY_OS_VIF = (
    (os_vif_objects.VIFVHostUser, _vhostuser),
    (os_vif_objects.VIFOpenVSwitch, _ovs),
    (os_vif_objects.VIFBridge, _hybrid),
    (os_vif_objects.VIFGeneric, _generic),
)
