# SPDX-License-Identifier: Apache-2.0

import dataclasses
from typing import Any

from nova_libvirt_driver import exception
from nova_libvirt_driver.spec import nic as nic_spec
from nova_libvirt_driver.spec import policy as policy_spec
from tests.unit.configurators import base
from tests.unit.configurators import values

Kind = nic_spec.NicKind
FORWARD = nic_spec.PortForward(host_port=2222, guest_port=22)
LIMIT = nic_spec.NicBandwidth(average_kib_s=1)


def nic(**fields: Any) -> nic_spec.NicSpec:
    return nic_spec.NicSpec(
        **{'mac': '52:54:00:00:00:01', 'source': 'default', **fields})


class InterfacesTest(base.FacetTestCase):

    def test_model_is_the_requests_then_the_policys(self) -> None:
        policy = policy_spec.GuestPolicy(nic_model='e1000')
        for one, chosen, model in (
                (nic(), values.QEMU_POLICY, 'virtio'),
                (nic(), policy, 'e1000'),
                (nic(), policy_spec.GuestPolicy(nic_model=''), None),
                (nic(model='rtl8139'), policy, 'rtl8139')):
            root = self.build(nics=(one,), policy=chosen)
            self.assertEqual([model] if model else [], [
                found.get('type') for found in self.attributes(
                    root, 'devices/interface/model')])

    def test_only_kvm_has_vhost(self) -> None:
        def driver(one: nic_spec.NicSpec, **host: Any) -> list[str | None]:
            return [found.get('name') for found in self.attributes(
                self.build(nics=(one,), **host), 'devices/interface/driver')]

        kvm = {'host': values.KVM, 'policy': values.KVM_POLICY}
        self.assertEqual(['qemu'], driver(nic()))
        # Libvirt takes vhost by itself where nothing is to be set.
        self.assertEqual([], driver(nic(), **kvm))
        self.assertEqual(['vhost'], driver(nic(queues=2), **kvm))

    def test_models_that_qemu_does_not_have_are_refused(self) -> None:
        self.assertIn('netfront', self.refusal(
            exception.InvalidRequest, nics=(nic(model='netfront'),)))
        self.assertIn('KVM', self.refusal(
            exception.InvalidRequest, nics=(nic(model='lan9118'),),
            host=values.KVM, policy=values.KVM_POLICY))

    def test_address_is_written_in_lower_case(self) -> None:
        root = self.build(nics=(nic(mac='FA:16:3E:00:00:0A'),))

        self.assertEqual([{'address': 'fa:16:3e:00:00:0a'}],
                         self.attributes(root, 'devices/interface/mac'))

    def test_interface_is_of_its_kind(self) -> None:
        for one, source in (
                (nic(), {'network': 'default'}),
                (nic(kind=Kind.BRIDGE, source='br0'), {'bridge': 'br0'}),
                (nic(kind=Kind.VHOSTUSER, source='/run/v'),
                 {'type': 'unix', 'path': '/run/v', 'mode': 'client'})):
            root = self.build(nics=(one,))
            self.assertEqual(one.kind.value, self.attribute(
                root, 'devices/interface', 'type'))
            self.assertEqual([source], self.attributes(
                root, 'devices/interface/source'))

    def test_user_network_needs_no_source(self) -> None:
        root = self.build(nics=(nic(kind=Kind.USER, mtu=1400),))

        self.assertEqual([], self.attributes(
            root, 'devices/interface/source'))
        self.assertEqual([], self.attributes(root, 'devices/interface/mtu'))

    def test_a_model_that_this_qemu_does_not_have_yet(self) -> None:
        new = dataclasses.replace(
            values.PC, libvirt_version=9_003_000,
            hypervisor_version=8_000_000)

        root = self.build(host=new, nics=(nic(model='igb'),))

        self.assertEqual('igb', self.attribute(
            root, 'devices/interface/model', 'type'))
        for old in (
                dataclasses.replace(new, libvirt_version=7_002_000),
                dataclasses.replace(new, hypervisor_version=7_002_000)):
            self.assertIn('igb', self.refusal(
                exception.UnsupportedOperation, nics=(nic(model='igb'),),
                host=old))

    def test_same_address_twice_is_refused(self) -> None:
        self.assertIn('there twice', self.refusal(
            exception.InvalidRequest, nics=(
                nic(mac='52:54:00:00:00:0a'), nic(mac='52:54:00:00:00:0A'))))

    def test_wrong_addresses_are_refused(self) -> None:
        for mac in ('', '52:54', '53:54:00:00:00:01', '52:54:00:00:00:0g',
                    '52-54-00-00-00-01'):
            self.assertIn('MAC', self.refusal(
                exception.InvalidRequest, nics=(nic(mac=mac),)))

    def test_contradictions_are_refused(self) -> None:
        for wrong in (
                nic(source=''), nic(target_dev='tap/../0'),
                nic(target_dev='a' * 16),
                nic(kind=Kind.ETHERNET, managed_tap=False),
                nic(kind=Kind.VHOSTUSER, source='relative'),
                nic(vhostuser_mode='both'),
                nic(kind=Kind.USER, inbound=LIMIT),
                nic(outbound=nic_spec.NicBandwidth(peak_kib_s=1)),
                nic(kind=Kind.USER, queues=2),
                nic(forwards=(FORWARD,)),
                nic(kind=Kind.USER, forwards=(dataclasses.replace(
                    FORWARD, guest_port=0),)),
                nic(kind=Kind.USER, forwards=(dataclasses.replace(
                    FORWARD, address='::1'),)),
                nic(model='e1000', rx_queue_size=256)):
            self.assertIn(wrong.mac, self.refusal(
                exception.InvalidRequest, nics=(wrong,)))

    def test_same_port_twice_is_refused(self) -> None:
        two = (FORWARD, dataclasses.replace(FORWARD, guest_port=80))

        self.assertIn('2222/tcp of 127.0.0.1', self.refusal(
            exception.InvalidRequest, nics=(
                nic(kind=Kind.USER, forwards=two),)))

    def test_same_tap_twice_is_refused(self) -> None:
        self.assertIn('tap0', self.refusal(
            exception.InvalidRequest, nics=(
                nic(target_dev='tap0'),
                nic(mac='52:54:00:00:00:02', target_dev='tap0'))))
