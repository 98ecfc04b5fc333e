# SPDX-License-Identifier: Apache-2.0

"""What a server is told of its devices that have tags."""

from typing import Any
import unittest
from unittest import mock

from nova import context as nova_context
from nova.network import model as network_model
from nova import objects

from nova_libvirt_driver.nova_plugin import config_drive

objects.register_all()

INSTANCE = 'e57df1d5-e2b7-4d6b-a1c8-3a9a6a5a2f10'
VOLUME = '6ca404f3-d844-4169-bb96-bc792f37de98'
MACS = [f'52:54:00:00:00:0{number}' for number in range(4)]
XML = f'''
<domain type='kvm'><name>one</name><devices>
  <disk type='file' device='disk'><target dev='vda' bus='virtio'/>
    <address type='pci' domain='0x0000' bus='0x04' slot='0x00'
             function='0x0'/></disk>
  <disk type='block' device='disk'><target dev='sdb' bus='scsi'/>
    <serial>{VOLUME}</serial>
    <address type='drive' controller='0' bus='0' target='0' unit='1'/></disk>
  <interface type='bridge'><mac address='{MACS[0]}'/>
    <address type='pci' domain='0x0000' bus='0x01' slot='0x00'
             function='0x0'/></interface>
  <interface type='bridge'><mac address='{MACS[1]}'/></interface>
  <interface type='bridge'><mac address='{MACS[2]}'/>
    <address type='pci' domain='0x0000' bus='0x03' slot='0x0a'
             function='0x1'/></interface>
</devices></domain>'''


class DeviceMetadataTest(unittest.TestCase):

    def built(
            self, *, nics: dict[str, str | None] | None = None,
            disks: dict[str, str | None] | None = None,
            network_info: Any = ()) -> Any:
        """Return what is built for tags by MAC address, and by disk."""
        context = nova_context.get_admin_context()
        with (mock.patch.object(
                objects.VirtualInterfaceList, 'get_by_instance_uuid',
                autospec=True, return_value=[
                    objects.VirtualInterface(address=mac, tag=tag)
                    for mac, tag in (nics or {}).items()]),
              mock.patch.object(
                objects.BlockDeviceMappingList, 'get_by_instance_uuid',
                autospec=True, return_value=[
                    objects.BlockDeviceMapping(
                        device_name=f'/dev/{name}', tag=tag,
                        volume_id=VOLUME)
                    for name, tag in (disks or {}).items()])):
            return config_drive.tagged_devices(
                context, objects.Instance(uuid=INSTANCE), network_info,
                lambda: XML)

    def test_nothing_has_a_tag(self) -> None:
        self.assertIsNone(self.built(
            nics={MACS[0]: None}, disks={'vda': None}))

    def test_interfaces(self) -> None:
        found = self.built(
            nics={MACS[0]: 'public', MACS[1]: None, MACS[3]: 'gone'},
            network_info=[network_model.VIF(
                address=MACS[2], details={'vlan': '42'},
                profile={'trusted': 'true'})]).devices

        self.assertEqual([MACS[0], MACS[2]], [one.mac for one in found])
        self.assertEqual(['public'], found[0].tags)
        self.assertFalse(found[0].vf_trusted)
        self.assertNotIn('vlan', found[0])
        self.assertNotIn('tags', found[1])
        self.assertEqual((42, True), (found[1].vlan, found[1].vf_trusted))
        self.assertEqual(['0000:01:00.0', '0000:03:0a.1'],
                         [one.bus.address for one in found])

    def test_disks(self) -> None:
        root, data = self.built(disks={
            'vda': 'root', 'sdb': 'data', 'vdz': 'gone'}).devices

        self.assertEqual((['root'], '0000:04:00.0'),
                         (root.tags, root.bus.address))
        self.assertEqual((['data'], VOLUME), (data.tags, data.serial))
        self.assertIsInstance(data.bus, objects.SCSIDeviceBus)
        self.assertNotIn('address', data.bus)
