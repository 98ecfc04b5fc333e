# SPDX-License-Identifier: Apache-2.0

"""Devices that a person has given a real guest, with virsh."""

from nova_libvirt_driver.spec import guest as guest_spec
from nova_libvirt_driver.xmlmodel import domain as domain_module
from tests.functional import guest_base

HARD = guest_spec.RebootType.HARD


class GuestDevicesTest(guest_base.GuestTestCase):

    def setUp(self) -> None:
        super().setUp()
        self.spec = self.boot_guest('extended')
        self.driver.spawn(self.spec)
        self.wait_console(self.spec, 'extended is up')

    def disks(self) -> list[str]:
        """Return the names of the disks that the guest has now."""
        return [disk.target_dev or '' for disk in domain_module.Domain.parse(
            self.driver.get_domain_xml(self.spec)).devices.disks]

    def taps(self) -> list[str | None]:
        """Return the names of the host's ends of interfaces."""
        return [nic.target_dev for nic in domain_module.Domain.parse(
            self.driver.get_domain_xml(self.spec)).devices.interfaces]

    def add_disk(self, name: str, *options: str) -> None:
        path = self.host.directory / f'{name}.img'
        path.write_bytes(bytes(1 << 20))
        path.chmod(0o666)
        self.host.virsh('attach-disk', 'extended', str(path), name,
                        '--persistent', *options)

    def test_an_added_disk_stays_when_the_domain_is_defined_again(
            self) -> None:
        self.add_disk('vdz')
        self.add_disk('vdb', '--serial', 'WD-0815')

        self.driver.reboot(self.spec, HARD)
        self.assertEqual(['vda', 'vdb', 'vdz'], sorted(self.disks()))

        self.driver.power_off(self.spec)
        self.driver.power_on(self.spec)
        self.assertEqual(['vda', 'vdb', 'vdz'], sorted(self.disks()))

    def test_a_rescue_is_without_it(self) -> None:
        self.add_disk('vdb', '--serial', 'WD-0815')

        self.driver.rescue(self.spec, self.spec.storage.image_id)
        self.assertEqual(['vda', 'vdb'], self.disks())
        self.assertNotIn('WD-0815', self.driver.get_domain_xml(self.spec))

        self.driver.unrescue(self.spec)
        self.assertIn('WD-0815', self.driver.get_domain_xml(self.spec))

    def test_an_added_interface_keeps_its_name(self) -> None:
        self.host.run(['ip', 'link', 'add', 'added', 'type', 'bridge'])
        self.addCleanup(self.host.run, ['ip', 'link', 'delete', 'added'])
        self.host.virsh(
            'attach-interface', 'extended', 'bridge', 'added', '--target',
            'mine', '--persistent')

        self.driver.reboot(self.spec, HARD)

        self.assertEqual(['mine'], self.taps())
