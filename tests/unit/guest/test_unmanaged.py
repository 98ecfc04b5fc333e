# SPDX-License-Identifier: Apache-2.0

import dataclasses

from nova_libvirt_driver import exception
from nova_libvirt_driver.guest import unmanaged
from nova_libvirt_driver.spec import guest as guest_spec
from nova_libvirt_driver.spec import nic as nic_spec
from nova_libvirt_driver.testing import specs
from nova_libvirt_driver.xmlmodel import domain as domain_module
from tests import base
from tests.unit.configurators import values

FOLDER = '/srv/instances/1'
SPEC = specs.guest_spec('web')
CINDER = '6ca404f3-d844-4169-bb96-bc792f37de98'

ROOT = f"""
<disk type="file" device="disk"><source file="{FOLDER}/disk"/>
  <target dev="vda" bus="virtio"/></disk>"""
ADDED = """
<disk type="block" device="disk"><source dev="/dev/vg/data"/>
  <target dev="vdz" bus="virtio"/></disk>"""
NIC = '<interface type="network"><mac address="52:54:00:00:00:01"/>'
NIC += '</interface>'
PCI = """
<hostdev mode="subsystem" type="pci" managed="yes"><source>
  <address domain="0x0000" bus="0x06" slot="0x00" function="0x1"/></source>
  <address type="pci" domain="0x0000" bus="0x00" slot="0x09" function="0x0"/>
</hostdev>"""
MDEV = """
<hostdev mode="subsystem" type="mdev" model="vfio-pci"><source>
  <address uuid="c2177883-f1bb-47f0-914d-32a22e3a8804"/></source></hostdev>"""
SHARE = """
<filesystem type="mount" accessmode="passthrough"><driver type="virtiofs"/>
  <source dir="/mnt/share"/><target dir="tag"/></filesystem>"""
PMEM = """
<memory model="nvdimm"><source><path>/dev/pmem0</path></source></memory>"""
SHARED = """
<memoryBacking><source type="memfd"/><access mode="shared"/></memoryBacking>"""


def domain(*devices: str, top: str = '') -> domain_module.Domain:
    return domain_module.Domain.parse(
        f'<domain>{top}<devices>{"".join(devices)}</devices></domain>')


class UnmanagedTest(base.TestCase):

    def keep(self, old: domain_module.Domain, new: domain_module.Domain,
             spec: guest_spec.GuestSpec = SPEC) -> list[str]:
        """Return the kinds of devices that the new domain has then."""
        unmanaged.keep(old, new, spec, folder=FOLDER)
        return [str(node.tag) for node in new.devices.element]

    def refusal(self, old: domain_module.Domain,
                new: domain_module.Domain) -> str:
        return str(self.assertRaises(
            exception.WrongState, self.keep, old, new))

    def test_devices_of_the_host_stay_as_they_are(self) -> None:
        new = domain(ROOT)

        self.assertEqual(
            ['disk', 'hostdev', 'hostdev'],
            self.keep(domain(ROOT, PCI, MDEV), new))

        kept, other = new.devices.hostdevs
        self.assertEqual(('pci', 'yes', '0x06', '0x09'), (
            kept.type, kept.element.get('managed'),
            kept.source_address.bus, kept.address.slot))
        self.assertEqual('mdev', other.type)

    def test_a_share_keeps_the_memory_that_it_needs(self) -> None:
        for top, access in (('', 'shared'), (
                '<memoryBacking><access mode="private"/></memoryBacking>',
                'private')):
            new = domain(ROOT, top=top)

            self.assertEqual(['disk', 'filesystem'], self.keep(
                domain(ROOT, SHARE, top=SHARED), new))
            self.assertEqual(access, new.memory_backing.access_mode)

    def test_a_disk_that_a_person_has_added_stays(self) -> None:
        self.assertEqual(['disk', 'disk'], self.keep(
            domain(ROOT, ADDED), domain(ROOT)))

    def test_a_disk_of_the_instance_is_the_drivers(self) -> None:
        swap = ROOT.replace('/disk"', '/disk.swap"').replace('vda', 'vdb')

        self.assertEqual(['disk'], self.keep(
            domain(ROOT, swap), domain(ROOT)))

    def test_so_is_one_in_a_folder_that_was_moved(self) -> None:
        old = ROOT.replace(FOLDER, f'/gone/{FOLDER.rpartition("/")[2]}')

        self.assertEqual(['disk'], self.keep(domain(old), domain(ROOT)))

    def test_the_controller_of_such_a_disk_stays_too(self) -> None:
        controller = '<controller type="scsi" model="virtio-scsi"/>'

        self.assertEqual(['disk', 'disk', 'controller'], self.keep(
            domain(ROOT, controller, ADDED), domain(ROOT)))

    def test_two_disks_of_one_name_are_refused(self) -> None:
        said = self.refusal(
            domain(ROOT, ADDED), domain(ROOT.replace('vda', 'vdz')))

        self.assertIn('disk block vdz /dev/vg/data', said)

    def test_a_device_to_boot_from_needs_its_order(self) -> None:
        booting = ADDED.replace('</disk>', '<boot order="1"/></disk>')

        self.assertIn('an order of booting', self.refusal(
            domain(ROOT, booting),
            domain(ROOT, top='<os><boot dev="hd"/></os>')))

    def test_modules_of_memory_are_refused_by_name(self) -> None:
        self.assertIn('memory nvdimm /dev/pmem0', self.refusal(
            domain(ROOT, PMEM), domain(ROOT)))

    def test_a_disk_stays_whatever_its_serial_is(self) -> None:
        for serial, kept in (('WD-0815', 2), (CINDER, 1)):
            named = ADDED.replace(
                '</disk>', f'<serial>{serial}</serial></disk>')

            self.assertEqual(['disk'] * kept, self.keep(
                domain(ROOT, named), domain(ROOT)))

    def test_a_volume_whose_device_is_another_by_now_is_known(self) -> None:
        for mark, fields in (
                ('<serial>data</serial>', {'serial': 'data'}),
                ('<alias name="ua-data"/>', {'id': 'data'}), ('', {})):
            volume = values.file_disk('vdz', 'virtio', **fields)
            spec = dataclasses.replace(SPEC, storage=dataclasses.replace(
                SPEC.storage, volumes=(volume,)))

            self.assertEqual(['disk'], self.keep(domain(
                ROOT, ADDED.replace('</disk>', f'{mark}</disk>')),
                domain(ROOT), spec))

    def test_a_disk_is_not_a_volume_because_of_its_name(self) -> None:
        volume = values.file_disk('vdz', 'virtio', id=CINDER)
        spec = dataclasses.replace(SPEC, storage=dataclasses.replace(
            SPEC.storage, volumes=(volume,)))

        self.assertEqual(['disk', 'disk'], self.keep(
            domain(ROOT, ADDED), domain(ROOT), spec))

    def test_an_empty_drive_is_the_one_of_its_name(self) -> None:
        drive = '<disk device="cdrom"><target dev="sda" bus="sata"/></disk>'

        self.assertEqual(['disk'], self.keep(
            domain(drive), domain(ROOT.replace('vda', 'sda'))))
        self.assertEqual(['disk', 'disk'], self.keep(
            domain(drive), domain(ROOT)))

    def test_exports_of_one_name_are_two_disks(self) -> None:
        export = """<disk type="network"><source protocol="nbd" name="x">
            <host name="192.0.2.{}"/></source><target dev="{}"/></disk>"""

        self.assertEqual(['disk', 'disk'], self.keep(
            domain(export.format(1, 'vdb')), domain(export.format(2, 'vdc'))))

    def test_two_disks_are_not_in_one_place(self) -> None:
        def at(name: str, unit: int) -> str:
            return f"""<disk><source dev="/dev/{name}"/>
                <target dev="{name}" bus="scsi"/>
                <address type="drive" controller="0" unit="{unit}"/></disk>"""

        new = domain(at('sda', 0), at('sdb', 1))

        self.keep(domain(at('sdy', 1), at('sdz', 5)), new)

        self.assertEqual([0, 1, 2, 5], [
            disk.address.unit for disk in new.devices.disks])

    def test_a_rescue_is_without_such_disks(self) -> None:
        new = domain(ROOT.replace('vda', 'vdz'))

        unmanaged.keep(domain(ROOT, ADDED, PCI), new, SPEC, folder=FOLDER,
                       with_disks=False)

        self.assertEqual(['disk', 'hostdev'], [
            node.tag for node in new.devices.element])

    def test_a_place_in_the_order_of_booting_is_for_one(self) -> None:
        booting = '<boot order="1"/></disk>'

        self.assertIn('place 1 in the order', self.refusal(
            domain(ROOT, ADDED.replace('</disk>', booting)),
            domain(ROOT.replace('</disk>', booting))))

    def test_an_interface_without_a_port_stays(self) -> None:
        for mark, kept in (
                ('', True), ('<target dev="tap1"/>', True),
                ('<target dev="vnic0"/>', True),
                ('<alias name="ua-mine"/>', True),
                ('<target dev="tap6ca404f3-d8"/>', False),
                (f'<alias name="ua-{CINDER}"/>', False),
                (f'<virtualport><parameters interfaceid="{CINDER}"/>'
                 '</virtualport>', False)):
            for kind in ('network', 'bridge', 'direct', 'hostdev'):
                nic = NIC.replace('</', f'{mark}</').replace('network', kind)
                with self.subTest(mark=mark, kind=kind):
                    self.assertEqual(['interface'] * kept, self.keep(
                        domain(nic), domain()))
        self.assertEqual(['interface'], self.keep(
            domain(NIC.replace(':01"', ':0A"')),
            domain(NIC.replace(':01"', ':0a"'))))

    def test_what_there_is_can_be_listed(self) -> None:
        volume = ADDED.replace(
            '</disk>', f'<serial>{CINDER}</serial></disk>').replace(
                'vdz', 'vdb')
        port = NIC.replace('network', 'hostdev')
        tap = NIC.replace('</', '<target dev="tap6ca404f3-d8"/></')
        mine = NIC.replace(':01"', ':02"')
        xml = domain(
            ROOT, PCI, MDEV, SHARE, ADDED, volume, PMEM, port, NIC, tap,
            mine).to_xml()
        spec = dataclasses.replace(SPEC, nics=(nic_spec.NicSpec(
            mac='52:54:00:00:00:02'),))

        found = unmanaged.findings(xml, spec, folder=FOLDER)

        self.assertEqual([
            ('hostdev pci 0000:06:00.1', True),
            ('hostdev mdev vfio-pci '
             'c2177883-f1bb-47f0-914d-32a22e3a8804', True),
            ('filesystem mount /mnt/share', True),
            ('memory nvdimm /dev/pmem0', False),
            ('disk block vdz /dev/vg/data', True),
            ('interface hostdev 52:54:00:00:00:01', False),
            ('interface network 52:54:00:00:00:01', True),
        ], [(one.name, one.is_kept) for one in found])
        self.assertEqual(
            len(found) + 1, len(unmanaged.findings(xml, None, folder=FOLDER)))
