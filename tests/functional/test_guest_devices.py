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

    def disks(self) -> list[str | None]:
        """Return the names of the disks that the guest has now."""
        return [disk.target_dev for disk in domain_module.Domain.parse(
            self.driver.get_domain_xml(self.spec)).devices.disks]

    def add_disk(self) -> None:
        path = self.host.directory / 'added.img'
        path.write_bytes(bytes(1 << 20))
        path.chmod(0o666)
        self.host.virsh('attach-disk', 'extended', str(path), 'vdz',
                        '--persistent')

    def test_an_added_disk_stays_when_the_domain_is_made_anew(self) -> None:
        self.add_disk()

        self.driver.reboot(self.spec, HARD)
        self.assertEqual(['vda', 'vdz'], self.disks())

        self.driver.power_off(self.spec)
        self.driver.power_on(self.spec)
        self.assertEqual(['vda', 'vdz'], self.disks())
