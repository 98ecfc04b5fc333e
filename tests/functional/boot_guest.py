# SPDX-License-Identifier: Apache-2.0

"""A private host with the boot-sector guest as one of ours."""

import subprocess

from lxml import etree

from nova_libvirt_driver.guest import guests as guests_module
from nova_libvirt_driver.guest import handle
from nova_libvirt_driver.spec import instance as instance_spec
from nova_libvirt_driver.testing import fake_ports
from nova_libvirt_driver.testing import fake_xml
from nova_libvirt_driver.testing import guests as guests_rig
from tests.functional import base
from tests import guests

UUID = '8b0c0b9e-1d1c-4b4f-8a53-0f1a2c6f7e01'
INSTANCE = instance_spec.InstanceRef(UUID, 'one')

DISK_BYTES = 2 << 20

VNC = "<graphics type='vnc' autoport='yes' listen='127.0.0.1'/>"
SERIAL = ("<serial type='tcp'><source mode='bind' host='127.0.0.1' "
          "service='10017'/><target port='1'/></serial>")


class BootGuestTestCase(base.PrivateHostTestCase):
    """Has guests with fast connections, and a disk that boots."""

    def setUp(self) -> None:
        super().setUp()
        self.folder = self.host.directory / 'instances'
        self.folder.mkdir(exist_ok=True)
        self.disk = self.folder / 'disk'
        self.console = self.folder / 'console.log'
        self.disk.write_bytes(
            guests_rig.boot_sector('one is up').ljust(DISK_BYTES, b'\0'))
        self.reached = self.useFixture(guests.GuestsFixture(
            self.host.uri, keepalive_interval_s=1, keepalive_count=5))
        self.addCleanup(self._remove_domains)

    @property
    def guests(self) -> guests_module.Guests:
        return self.reached.guests

    def xml(self, *devices: str, disk_format: str = 'raw') -> str:
        """Return the definition of the guest."""
        domain = etree.fromstring(guests_rig.boot_guest_xml(
            'one', self.disk, self.console, uuid=UUID))
        driver = domain.find('devices/disk/driver')
        holder = domain.find('devices')
        assert driver is not None and holder is not None
        driver.set('type', disk_format)
        holder.extend(etree.fromstring(device) for device in devices)
        return fake_xml.with_metadata(
            etree.tostring(domain, encoding='unicode'),
            '<instance><name>web</name><owner><user uuid="7">me</user>'
            '</owner></instance>', 'nova', fake_xml.NOVA)

    def define(
            self, *devices: str, disk_format: str = 'raw') -> handle.Guest:
        """Define the guest; it is not started."""
        return self.guests.define(
            self.xml(*devices, disk_format=disk_format), INSTANCE)

    def wait_booted(self) -> None:
        """Wait until the guest has printed its line."""
        fake_ports.wait_until(
            lambda: self.console.exists()
            and b'one is up' in self.console.read_bytes(), 'the boot')

    def _remove_domains(self) -> None:
        for name in self.host.virsh('list', '--name').split():
            self.host.virsh('destroy', name)
        for name in self.host.virsh('list', '--all', '--name').split():
            self.host.virsh('undefine', name, '--managed-save', '--nvram')


def qemu_img(*arguments: object) -> None:
    """Run qemu-img."""
    subprocess.run(['qemu-img', *map(str, arguments)], check=True,
                   stdout=subprocess.DEVNULL)
