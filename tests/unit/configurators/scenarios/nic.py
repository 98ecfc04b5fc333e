# SPDX-License-Identifier: Apache-2.0

"""Guests that differ in their interfaces."""

from nova_libvirt_driver.spec import memory as memory_spec
from nova_libvirt_driver.spec import nic as nic_spec
from nova_libvirt_driver.spec import policy as policy_spec
from tests.unit.configurators import values

Kind = nic_spec.NicKind

MAC = '52:54:00:00:00:01'
PORT = 'a0000000-0000-4000-8000-000000000001'
OTHER_PORT = 'a0000000-0000-4000-8000-000000000002'

PLAIN = nic_spec.NicSpec(mac=MAC, source='default')

BRIDGE = nic_spec.NicSpec(
    mac=MAC, kind=Kind.BRIDGE, source='br0', id=PORT,
    target_dev='tapa0000000-00', mtu=1450, queues=2, packed_ring=True,
    rx_queue_size=512, tx_queue_size=256, boot_order=2,
    filter_name='clean-traffic',
    inbound=nic_spec.NicBandwidth(
        average_kib_s=1024, peak_kib_s=2048, burst_kib=4096),
    outbound=nic_spec.NicBandwidth(average_kib_s=512),
    addresses=(
        nic_spec.NicAddress(address='192.0.2.10', prefix_length=24),
        nic_spec.NicAddress(address='2001:db8::10', prefix_length=64)))

OVS = nic_spec.NicSpec(
    mac='52:54:00:00:00:02', kind=Kind.BRIDGE, source='br-int',
    id=OTHER_PORT,
    target_dev='tapa0000000-01', virtualport_type='openvswitch',
    interface_id=PORT)

USER = nic_spec.NicSpec(
    mac='52:54:00:00:00:06', kind=Kind.USER, model='e1000')

TAP = nic_spec.NicSpec(
    mac='52:54:00:00:00:03', kind=Kind.ETHERNET, target_dev='tap3')

OWN_TAP = nic_spec.NicSpec(
    mac='52:54:00:00:00:04', kind=Kind.ETHERNET, target_dev='tap4',
    managed_tap=False)

VHOSTUSER = nic_spec.NicSpec(
    mac=MAC, kind=Kind.VHOSTUSER, source='/run/vhost/one',
    vhostuser_mode='server', queues=2, rx_queue_size=1024,
    tx_queue_size=256)

CLIENT = nic_spec.NicSpec(
    mac='52:54:00:00:00:05', kind=Kind.VHOSTUSER, source='/run/vhost/two')

SCENARIOS = {
    'nic-network': values.inputs(nics=(PLAIN,)),
    'nic-bridge': values.inputs(nics=(BRIDGE, OVS)),
    'nic-user': values.inputs(nics=(USER,)),
    'nic-ethernet': values.inputs(nics=(TAP, OWN_TAP)),
    'nic-vhostuser': values.inputs(
        nics=(VHOSTUSER, CLIENT), memory=memory_spec.MemorySpec(
            size_mib=64, source=memory_spec.MemorySource.MEMFD,
            shared=True)),
    'nic-policy': values.inputs(
        nics=(PLAIN, USER, CLIENT),
        policy=policy_spec.GuestPolicy(rx_queue_size=256, tx_queue_size=512)),
    'nic-policy-model': values.inputs(
        nics=(PLAIN,), policy=policy_spec.GuestPolicy(nic_model='e1000e')),
    'nic-kvm': values.inputs(
        host=values.KVM, policy=values.KVM_POLICY, nics=(BRIDGE, USER)),
}
