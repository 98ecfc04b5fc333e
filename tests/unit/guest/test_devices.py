# SPDX-License-Identifier: Apache-2.0

from nova_libvirt_driver.guest import devices
from tests import base
from tests.unit.guest import handles


class DevicesTest(base.TestCase):

    def test_disks_are_listed(self) -> None:
        xml = handles.xml_of(
            *handles.DEVICES,
            "<disk type='block'><source dev='/dev/sdx'/>"
            "<target dev='vdb'/></disk>",
            "<disk type='network'><source protocol='rbd' name='pool/v'/>"
            "<target dev='vdc' bus='virtio'/></disk>",
            "<disk type='file' device='cdrom'><target dev='hdb'/></disk>")

        self.assertEqual((
            devices.Disk('vda', 'disk', 'virtio', 'qcow2', '/i/disk'),
            devices.Disk('hda', 'cdrom', 'ide', 'raw', '/i/disk.config'),
            devices.Disk('vdb', 'disk', '', '', '/dev/sdx'),
            devices.Disk('vdc', 'disk', 'virtio', '', 'pool/v'),
            devices.Disk('hdb', 'cdrom', '', '', '')),
            devices.disks(xml))

    def test_interfaces_are_listed(self) -> None:
        self.assertEqual(
            (devices.Interface(
                '52:54:00:00:00:01', 'tap0', 'bridge', 'virtio'),),
            devices.interfaces(handles.xml_of(*handles.DEVICES)))

    def test_guest_without_devices_has_none(self) -> None:
        xml = '<domain><name>one</name></domain>'

        self.assertEqual((), devices.disks(xml))
        self.assertEqual((), devices.interfaces(xml))
        self.assertIsNone(devices.graphics(xml, 'vnc'))
        self.assertIsNone(devices.serial_server(xml))
