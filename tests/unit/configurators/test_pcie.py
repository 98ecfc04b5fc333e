# SPDX-License-Identifier: Apache-2.0


from nova_libvirt_driver.spec import boot as boot_spec
from nova_libvirt_driver.spec import policy as policy_spec
from tests.unit.configurators import base
from tests.unit.configurators import values

Q35 = boot_spec.BootSpec(machine='q35')


class PcieTest(base.FacetTestCase):

    def test_ports_are_for_machines_that_have_them(self) -> None:
        policy = policy_spec.GuestPolicy(pcie_ports=2)

        q35 = self.build(host=values.Q35, boot=Q35, policy=policy)

        self.assertEqual(
            ['pcie-root', 'pcie-root-port', 'pcie-root-port', 'none'],
            [one['model'] for one in self.attributes(
                q35, 'devices/controller')])
        self.assertEqual(['none'], [one['model'] for one in self.attributes(
            self.build(policy=policy), 'devices/controller')])
