# SPDX-License-Identifier: Apache-2.0

"""Interfaces on Open vSwitch with the kernel's datapath."""

from nova_libvirt_driver.spec import nic as nic_spec
from tests.lab import base

PORT_ID = '3e8d64f5-6c8b-4b1c-8d47-0b5a3c1f6f11'


class SwitchTest(base.LabTestCase):

    def setUp(self) -> None:
        super().setUp()
        base.run('systemctl', 'start', 'openvswitch-switch')
        base.run('ovs-vsctl', '--may-exist', 'add-br', 'br-int')
        self.addCleanup(base.run, 'ovs-vsctl', 'del-br', 'br-int')

    def test_a_port_comes_and_goes_with_its_guest(self) -> None:
        spec = self.spawn(self.boot_guest('guest', nics=(nic_spec.NicSpec(
            mac='52:54:00:12:34:56', kind=nic_spec.NicKind.BRIDGE,
            source='br-int', target_dev='tap-lab', model='virtio',
            virtualport_type='openvswitch', interface_id=PORT_ID),)))

        self.assertEqual('tap-lab\n', base.run(
            'ovs-vsctl', 'list-ports', 'br-int'))
        self.assertIn(PORT_ID, base.run(
            'ovs-vsctl', 'get', 'interface', 'tap-lab', 'external_ids'))
        self.assertIn('tap-lab', base.run('ovs-appctl', 'dpctl/show'))

        self.driver.destroy(spec)
        self.assertEqual('', base.run('ovs-vsctl', 'list-ports', 'br-int'))
