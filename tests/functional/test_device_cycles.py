# SPDX-License-Identifier: Apache-2.0

"""A guest that gets volumes and ports, and loses them, again and again."""

import os
import pathlib
from typing import ClassVar

import fixtures

from nova_libvirt_driver import ports
from nova_libvirt_driver.spec import disk as disk_spec
from nova_libvirt_driver.spec import nic as nic_spec
from nova_libvirt_driver.spec import volume as volume_spec
from nova_libvirt_driver.testing import fake_volumes
from nova_libvirt_driver.testing import footprint
from tests.faults import base
from tests.faults import course
from tests.functional import guest_base

VOLUME = '0d6a2f3e-5b0c-4c39-9d55-6a9ed1a0f3c1'
NIC = nic_spec.NicSpec(
    id='f2a0f6e1-7a0b-4f4c-9a51-1d5bb4d4b1aa', mac='52:54:00:12:34:56',
    kind=nic_spec.NicKind.BRIDGE, source='cycles')
BUSES = (disk_spec.DiskBus.VIRTIO, disk_spec.DiskBus.SCSI)


class DeviceCyclesTest(base.GuestFaultTestCase):
    """The volumes are encrypted, so each has a secret in libvirt."""

    cycles: ClassVar[int] = 20
    nic: ClassVar[nic_spec.NicSpec] = NIC

    def setUp(self) -> None:
        super().setUp()
        self.folder = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        image = self.folder / 'luks'
        passphrase = guest_base.write_luks(image)
        (self.folder / 'devices').mkdir()
        # QEMU does no direct I/O on a file system in memory.
        self.connector = fake_volumes.FakeConnector(
            str(self.folder / 'devices'),
            settings=volume_spec.VolumeSettings(
                default_aio=True, cache_modes={'file': 'writeback'}))
        self.connector.passphrase = passphrase
        self.info = {'driver_volume_type': 'nfs', 'serial': VOLUME, 'data': {
            'volume_id': VOLUME, 'export': f'server:/{VOLUME}',
            'name': VOLUME, 'fake_path': str(image), 'encrypted': True}}
        self.make_bridge()
        self.spec = self.linux_guest('linux', self.linux_image('base').id)
        self.driver.spawn(self.spec)
        self.wait_console(self.spec, 'guest: ready')

    def make_bridge(self) -> None:
        """Make what the port is plugged into."""
        self.host.run(['ip', 'link', 'add', NIC.source, 'type', 'bridge'])
        self.addCleanup(self.host.run, ['ip', 'link', 'del', NIC.source])

    def cycle(self, number: int) -> None:
        """Give the guest a volume and a port, and take both."""
        bus = BUSES[number % len(BUSES)]
        volume = self.attachment(bus)
        self.driver.attach_disk(self.spec, disk_spec.DiskSpec(
            target_dev='', id=VOLUME, serial=VOLUME, format='raw', bus=bus,
            source=disk_spec.DiskSource()), attachments=[volume])
        self.driver.attach_nic(self.spec, self.nic)
        self.assertIn(VOLUME, self.host.virsh('secret-list'))
        self.assertEqual(1, len(self.plugged()))
        self.driver.detach_nic(self.spec, self.nic.key)
        self.driver.detach_disk(
            self.spec, disk_spec.DiskKey(id=VOLUME, serial=VOLUME),
            attachments=[volume])

    def attachment(self, bus: disk_spec.DiskBus) -> ports.VolumeAttachment:
        return self.driver.volume_attachment(self.spec, [volume_spec.Volume(
            info=self.info,
            place=volume_spec.Placement(target_dev='', bus=bus))],
            self.connector)

    def plugged(self) -> list[str]:
        """Return what is plugged into the bridge."""
        return self.host.run(
            ['ip', '-oneline', 'link', 'show', 'master', self.nic.source],
        ).stdout.splitlines()

    def definitions(self) -> list[str]:
        """Return the XML of the guest, of now and of its next start."""
        return [self.driver.get_domain_xml(self.spec, inactive=inactive)
                for inactive in (False, True)]

    def descriptors(self) -> dict[str, int]:
        """Return how many files the daemon and the guest have open."""
        pids = {'libvirtd': self.host.daemon_pid,
                'QEMU': self.host.guest_pid(self.spec.name)}
        return {name: len(os.listdir(f'/proc/{pid}/fd'))
                for name, pid in pids.items()}

    def look(self) -> footprint.Footprint:
        """Look at files, secrets, processes and interfaces of the host."""
        return footprint.Footprint.take(
            self.host, self.instances_path, self.folder)

    def test_nothing_grows(self) -> None:
        for number in range(len(BUSES)):
            # Controllers stay.
            self.cycle(number)
        definitions, descriptors, before = (
            self.definitions(), self.descriptors(), self.look())

        course.Course(
            'devices', self.cycles,
            lambda: self.leaks.cut_handshakes).run(self.cycle)

        self.assertEqual(definitions, self.definitions())
        self.assertEqual([], self.connector.connected())
        self.assertEqual([], before.difference(self.look()))
        self.assertEqual([], self.plugged())
        # A client of the look before may not have been gone yet.
        base.wait_until(
            lambda: all(number <= descriptors[name]
                        for name, number in self.descriptors().items()),
            f'{descriptors}, not {self.descriptors()}')
