# SPDX-License-Identifier: Apache-2.0


from lxml import etree

from nova_libvirt_driver.spec import disk as disk_spec
from tests.unit.configurators import base
from tests.unit.configurators import values


disk = values.file_disk


class ScsiTest(base.DiskTestCase):

    def places(self, root: etree._Element) -> list[tuple[str, str]]:
        return [(one['controller'], one['unit']) for one in self.attributes(
            root, 'devices/disk/address')]

    def controllers(self, root: etree._Element) -> list[tuple[str, str]]:
        return [(one['index'], one['model']) for one in self.attributes(
            root, "devices/controller[@type='scsi']")]

    def test_disks_share_a_controller_of_their_model(self) -> None:
        root = self.build_disks(
            disk('sda', 'scsi', scsi_model='virtio-scsi'),
            disk('sdb', 'scsi', scsi_model='lsilogic'),
            disk('sdc', 'scsi', scsi_model='virtio-scsi'))

        self.assertEqual([('0', 'virtio-scsi'), ('1', 'lsilogic')],
                         self.controllers(root))
        self.assertEqual([('0', '0'), ('0', '1')], self.places(root))

    def test_disks_without_a_model_are_left_to_libvirt(self) -> None:
        root = self.build_disks(disk('sda', 'scsi'))

        self.assertEqual(([], []),
                         (self.controllers(root), self.places(root)))

    def test_a_controller_for_later_disks(self) -> None:
        root = self.build_disks(storage=disk_spec.StorageSpec(
            scsi_model='virtio-scsi'))

        self.assertEqual([('0', 'virtio-scsi')], self.controllers(root))

    def test_units_asked_for_are_kept_free(self) -> None:
        root = self.build_disks(
            *(disk(name, 'scsi', scsi_model='virtio-scsi', unit=unit)
              for name, unit in (('sda', None), ('sdb', 0), ('sdc', None))))

        self.assertEqual([('0', '1'), ('0', '0'), ('0', '2')],
                         self.places(root))

    def test_unit_for_two_disks_is_refused(self) -> None:
        self.assertIn('unit 1', self.why(
            disk('sda', 'scsi', unit=1), disk('sdb', 'scsi', unit=1)))
        self.assertIn('unit 256', self.why(disk('sda', 'scsi', unit=256)))

    def test_no_controller_without_a_disk(self) -> None:
        root = self.build_disks(disk('vda', 'virtio'), disk('sda', 'sata'))

        self.assertEqual([], self.controllers(root))

    def test_controller_that_qemu_does_not_have_is_refused(self) -> None:
        self.assertIn('buslogic', self.why(
            disk('sda', 'scsi', scsi_model='buslogic')))
