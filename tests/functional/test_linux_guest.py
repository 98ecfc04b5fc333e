# SPDX-License-Identifier: Apache-2.0

"""The Linux guest for real, on a private host and by virsh alone."""

import pathlib
import re

from lxml import etree

from nova_libvirt_driver.testing import fake_ports
from nova_libvirt_driver.testing import footprint
from nova_libvirt_driver.testing import guests
from nova_libvirt_driver.testing import linux_disk
from nova_libvirt_driver.testing import linux_guest
from tests.functional import base

BOOT_TIMEOUT_S = 240.0


class LinuxGuestTest(base.PrivateHostTestCase):
    """A guest that boots from a disk."""

    def setUp(self) -> None:
        super().setUp()
        self.disk = self.host.directory / 'linux.img'
        self.serial = self.host.directory / 'linux.log'
        linux_disk.write_disk(
            self.disk, linux_guest.build(), name='base', note='a note')

    def start(
            self, firmware: str = 'bios',
            memory_mib: int = linux_guest.MEMORY_MIB) -> None:
        domain = etree.fromstring(guests.boot_guest_xml(
            'linux', self.disk, self.serial, memory_mib=memory_mib))
        system = domain.find('os')
        assert system is not None
        if firmware == 'efi':
            system.set('firmware', firmware)
            # Firmware for secure boot has no shell.
            etree.SubElement(
                etree.SubElement(system, 'firmware'), 'feature',
                enabled='no', name='secure-boot')
        xml = pathlib.Path(self.host.directory, 'linux.xml')
        xml.write_bytes(etree.tostring(domain))
        self.host.virsh('create', str(xml))

    def wait_for(self, pattern: str) -> None:
        fake_ports.wait_until(
            lambda: re.search(
                pattern, self.serial.read_text(errors='replace'), re.S),
            f'{pattern} on the console', timeout_s=BOOT_TIMEOUT_S)

    def test_guest_reboots_and_stops_when_it_is_asked_to(self) -> None:
        before = footprint.Footprint.take(self.host)
        self.start()
        self.wait_for('image=base.*disk sda .*note=a note.*boot 1.*ready')
        running = footprint.Footprint.take(self.host)
        self.assertIn('process qemu-system-x86_64 guest=linux', running.lines)

        self.host.virsh('reboot', 'linux')
        self.wait_for('power button.*boot 2.*ready')
        self.host.virsh('shutdown', 'linux')
        self.wait_for('ready.*power button.*ready.*power button')

        fake_ports.wait_until(
            lambda: not self.host.virsh('list', '--name').split(),
            'the end of the guest')
        fake_ports.wait_until(
            lambda: not before.difference(
                footprint.Footprint.take(self.host)), 'the host as it was')

    def test_guest_starts_by_uefi_too(self) -> None:
        self.start('efi', linux_guest.UEFI_MEMORY_MIB)

        self.wait_for('firmware=uefi.*boot 1.*ready')
