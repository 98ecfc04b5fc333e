# SPDX-License-Identifier: Apache-2.0

import dataclasses

from nova_libvirt_driver.spec import policy as policy_spec
from tests.unit.configurators import base
from tests.unit.configurators import values


class SysinfoTest(base.FacetTestCase):

    def serial(self, kind: str, machine_id: str) -> str | None:
        root = self.build(
            host=dataclasses.replace(values.PC, machine_id=machine_id),
            policy=policy_spec.GuestPolicy(sysinfo_serial=kind))
        return root.findtext("sysinfo/system/entry[@name='serial']")

    def test_serial_tells_what_the_operator_allows(self) -> None:
        for kind, wanted in (
                ('unique', values.UUID), ('none', None),
                ('hardware', values.PC.host_uuid), ('os', 'machine'),
                ('auto', 'machine')):
            self.assertEqual(wanted, self.serial(kind, 'machine'), kind)

    def test_serial_that_is_not_known_is_left_out(self) -> None:
        self.assertIsNone(self.serial('os', ''))
        self.assertEqual(values.PC.host_uuid, self.serial('auto', ''))

    def test_guest_can_see_that_it_is_in_an_openstack(self) -> None:
        root = self.build()

        self.assertEqual('sysinfo', self.attribute(root, 'os/smbios', 'mode'))
        self.assertEqual(
            'OpenStack Nova',
            root.findtext("sysinfo/system/entry[@name='product']"))
