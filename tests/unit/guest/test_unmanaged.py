# SPDX-License-Identifier: Apache-2.0

from nova_libvirt_driver import exception
from nova_libvirt_driver.guest import unmanaged
from nova_libvirt_driver.spec import instance as instance_spec
from nova_libvirt_driver.xmlmodel import domain as domain_module
from tests import base

FOLDER = '/srv/instances/1'
INSTANCE = instance_spec.InstanceRef('1', 'web')

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

    def keep(self, old: domain_module.Domain,
             new: domain_module.Domain) -> list[str]:
        """Return the kinds of devices that the new domain has then."""
        unmanaged.keep(old, new, INSTANCE, folder=FOLDER)
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
        self.assertEqual(('pci', True, '0x06', '0x09'), (
            kept.type, kept.managed, kept.source_address.bus,
            kept.address.slot))
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

    def test_an_interface_without_a_port_stays(self) -> None:
        tap = NIC.replace('</', '<target dev="tap1"/></')
        for old, kept in ((NIC, ['interface']), (tap, []), (
                NIC.replace('network', 'hostdev'), [])):
            self.assertEqual(kept, self.keep(domain(old), domain()))
        self.assertEqual(
            ['interface'], self.keep(domain(NIC), domain(NIC)))

    def test_what_there_is_can_be_listed(self) -> None:
        volume = ADDED.replace(
            '</disk>', '<serial>6ca404f3-d844-4169-bb96-bc792f37de98'
            '</serial></disk>').replace('vdz', 'vdb')
        port = NIC.replace('network', 'hostdev')

        found = unmanaged.findings(domain(
            ROOT, PCI, MDEV, SHARE, ADDED, volume, PMEM, port, NIC).to_xml(),
            folder=FOLDER)

        self.assertEqual([
            ('hostdev pci 0000:06:00.1', True),
            ('hostdev mdev vfio-pci '
             'c2177883-f1bb-47f0-914d-32a22e3a8804', True),
            ('filesystem mount /mnt/share', True),
            ('memory nvdimm /dev/pmem0', False),
            ('disk block vdz /dev/vg/data', True),
            ('disk block vdb /dev/vg/data', False),
            ('interface hostdev 52:54:00:00:00:01', False),
        ], [(one.name, one.is_kept) for one in found])
