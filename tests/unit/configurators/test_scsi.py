# SPDX-License-Identifier: Apache-2.0


from lxml import etree

from tests.unit.configurators import base
from tests.unit.configurators import values


disk = values.file_disk


class ScsiTest(base.DiskTestCase):

    def places(self, root: etree._Element) -> list[tuple[str, str]]:
        return [(one['controller'], one['unit']) for one in self.attributes(
            root, 'devices/disk/address')]

    def test_disks_share_a_controller_of_their_model(self) -> None:
        root = self.build_disks(
            disk('sda', 'scsi'), disk('sdb', 'scsi', scsi_model='lsilogic'),
            disk('sdc', 'scsi', scsi_model='virtio-scsi'))

        self.assertEqual(
            [('scsi', '0', 'virtio-scsi'), ('scsi', '1', 'lsilogic')],
            [(one['type'], one['index'], one['model'])
             for one in self.attributes(root, 'devices/controller')])
        self.assertEqual([('0', '0'), ('1', '0'), ('0', '1')],
                         self.places(root))

    def test_units_asked_for_are_kept_free(self) -> None:
        root = self.build_disks(
            disk('sda', 'scsi'), disk('sdb', 'scsi', unit=0),
            disk('sdc', 'scsi'))

        self.assertEqual([('0', '1'), ('0', '0'), ('0', '2')],
                         self.places(root))

    def test_unit_for_two_disks_is_refused(self) -> None:
        self.assertIn('unit 1', self.why(
            disk('sda', 'scsi', unit=1), disk('sdb', 'scsi', unit=1)))
        self.assertIn('unit 256', self.why(disk('sda', 'scsi', unit=256)))

    def test_no_controller_without_a_disk(self) -> None:
        root = self.build_disks(disk('vda', 'virtio'), disk('sda', 'sata'))

        self.assertEqual([], self.attributes(root, 'devices/controller'))
