# SPDX-License-Identifier: Apache-2.0

import pathlib

from lxml import etree

from nova_libvirt_driver.guest import devices
from nova_libvirt_driver.xmlmodel import fields
from tests import base
from tests.unit.guest import handles

RUNNING = (pathlib.Path(__file__).parents[1] / 'xmlmodel' / 'data'
           / 'running.xml')


class DevicesTest(base.TestCase):

    def test_each_is_given_back_as_it_was_read(self) -> None:
        xml = RUNNING.read_text()
        found = devices.read(xml)

        given = [
            one.to_xml(pretty=False)
            for name, field in fields.declared(type(found)).items()
            if isinstance(field, fields.Children)
            for one in getattr(found, name)]

        holder = etree.fromstring(xml).find('devices')
        assert holder is not None
        self.assertEqual(
            {etree.tostring(one, encoding='unicode', with_tail=False)
             for one in holder if one.tag not in ('emulator', 'audio')},
            set(given))

    def test_source_of_a_disk_is_what_it_names(self) -> None:
        xml = handles.xml_of(
            *handles.DEVICES,
            "<disk type='block'><source dev='/dev/sdx'/>"
            "<target dev='vdb'/></disk>",
            "<disk type='network'><source protocol='rbd' name='pool/v'/>"
            "<target dev='vdc' bus='virtio'/></disk>",
            "<disk type='file' device='cdrom'><target dev='hdb'/></disk>")

        self.assertEqual({
            'vda': '/i/disk', 'hda': '/i/disk.config', 'vdb': '/dev/sdx',
            'vdc': 'pool/v', 'hdb': ''},
            {disk.target_dev: devices.source_of(disk)
             for disk in devices.read(xml).disks})

    def test_ports_are_those_that_the_guest_is_served_on(self) -> None:
        xml = handles.xml_of(
            *handles.DEVICES,
            "<console type='tcp'><source mode='bind' service='10002'/>"
            '</console>',
            "<channel type='tcp'><source mode='bind' service='10003'/>"
            '</channel>',
            "<serial type='tcp'><source mode='bind' service='telnet'/>"
            '</serial>',
            "<serial type='tcp'><source mode='connect' service='10004'/>"
            '</serial>')

        self.assertEqual({10001, 10002, 10003}, devices.serial_ports(xml))

    def test_address_of_a_graphical_console_may_be_in_an_element(
            self) -> None:
        xml = handles.xml_of(
            "<graphics type='spice' tlsPort='5901'>"
            "<listen type='address' address='192.0.2.1'/></graphics>")

        self.assertEqual(devices.Server('192.0.2.1', None, 5901),
                         devices.graphics(xml, 'spice'))

    def test_guest_without_devices_has_none(self) -> None:
        xml = '<domain><name>one</name></domain>'

        self.assertEqual(0, len(devices.read(xml).disks))
        self.assertEqual(set(), devices.serial_ports(xml))
        self.assertIsNone(devices.graphics(xml, 'vnc'))
        self.assertIsNone(devices.serial_server(xml))
