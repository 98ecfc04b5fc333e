# SPDX-License-Identifier: Apache-2.0

"""Disks and interfaces of real guests, while these run."""

import dataclasses
import os
import pathlib
import re
import signal
import threading
import time
from typing import ClassVar

import psutil

from nova_libvirt_driver import exception
from nova_libvirt_driver import ports
from nova_libvirt_driver.spec import device as device_spec
from nova_libvirt_driver.spec import disk as disk_spec
from nova_libvirt_driver.spec import guest as guest_spec
from nova_libvirt_driver.spec import instance as instance_spec
from nova_libvirt_driver.spec import nic as nic_spec
from nova_libvirt_driver.spec import volume as volume_spec
from nova_libvirt_driver.testing import fake_attachment
from nova_libvirt_driver.testing import fake_ports
from nova_libvirt_driver.testing import fake_volumes
from nova_libvirt_driver.testing import linux_init
from nova_libvirt_driver.xmlmodel import domain as domain_model
from tests.functional import guest_base

Bus = disk_spec.DiskBus

VOLUME = '0d6a2f3e-5b0c-4c39-9d55-6a9ed1a0f3c1'
OTHER = 'c5a801c0-39ec-407d-ba71-5980e0c3fba1'
SHORT = VOLUME[:20]
"""As much of it as fits a virtio disk."""
SIZE = 2 << 20
NIC = nic_spec.NicSpec(
    id='f2a0f6e1-7a0b-4f4c-9a51-1d5bb4d4b1aa', mac='52:54:00:12:34:56',
    kind=nic_spec.NicKind.USER)
NOTE_AT = (linux_init.STATE_SECTOR + 1) * 512


class HotPlugTestCase(guest_base.GuestTestCase):
    """Has a volume, which is a file, and what it needs of the host."""

    def setUp(self) -> None:
        super().setUp()
        self.volume = pathlib.Path(self.host.directory, 'volume.img')
        self.volume.write_bytes(bytes(SIZE))
        self.volume.chmod(0o666)
        self.note('from the host')

    def note(self, text: str) -> None:
        """Write what the guest reads on the volume."""
        with self.volume.open('r+b') as file:
            file.seek(NOTE_AT)
            file.write(f'{text}\n'.encode())

    def disk(
            self, bus: disk_spec.DiskBus = Bus.VIRTIO) -> disk_spec.DiskSpec:
        return disk_spec.DiskSpec(
            target_dev='', id=VOLUME, serial=VOLUME, bus=bus, format='raw',
            source=disk_spec.DiskSource(path=str(self.volume)))

    @property
    def key(self) -> disk_spec.DiskKey:
        return self.disk().key

    def attachment(
            self, name: str = 'volume') -> fake_attachment.FakeAttachment:
        return fake_attachment.FakeAttachment(
            str(self.host.directory / f'connected-{name}'))

    def attachment_of(
            self, instance: instance_spec.Instance,
            name: str,
            memo: ports.Memo | None) -> ports.Attachment:
        return self.attachment(name.removeprefix('connected-'))

    def attach(
            self, spec: guest_spec.GuestSpec,
            bus: disk_spec.DiskBus = Bus.VIRTIO) -> None:
        self.driver.attach_disk(
            spec, self.disk(bus), attachments=[self.attachment()])

    def take(self, spec: guest_spec.GuestSpec) -> None:
        self.driver.detach_disk(
            spec, self.key, attachments=[self.attachment()])

    def devices(
            self, spec: guest_spec.GuestSpec, *,
            inactive: bool = False) -> list[str]:
        """Return the aliases of ours that a guest has."""
        devices = domain_model.Domain.parse(self.driver.get_domain_xml(
            spec, inactive=inactive)).devices
        return [alias for alias in (
            *(one.alias for one in devices.disks),
            *(one.alias for one in devices.interfaces))
            if alias is not None and alias.startswith('ua-')]

    def signal(
            self, spec: guest_spec.GuestSpec, number: signal.Signals) -> None:
        pid = self.host.guest_pid(spec.name)
        assert pid is not None
        os.kill(pid, number)


class LinuxTestCase(HotPlugTestCase):
    """A guest that has a driver for it, and says what it sees.

    :cvar usb: whether its kernel knows USB
    """

    usb: ClassVar[bool] = False

    def setUp(self) -> None:
        super().setUp()
        self.spec = self.linux_guest(
            'linux', self.linux_image('base', usb=self.usb).id,
            devices=device_spec.DeviceSpec(
                video=None, rng=None, usb_controller=self.usb,
                usb_model='qemu-xhci' if self.usb else ''))
        self.driver.spawn(self.spec)
        self.wait_console(self.spec, 'guest: ready')
        self.looks = 0

    def look(self, what: str = 'disks') -> str:
        """Return what the guest sees."""
        self.looks += 1
        self.type_line(self.spec, f'{what} {self.looks}',
                       f'{what} told {self.looks}')
        text = self.console(self.spec)
        begin = text.rfind(f'{what} told {self.looks - 1}')
        return text[max(0, begin):]

    def wait_disk(self, name: str) -> re.Match[str]:
        """Wait until the guest sees the volume, and return what it says."""
        pattern = (f'disk ({name}) sectors={SIZE // 512} '
                   r'serial=(\S*) note=from the host')
        found: re.Match[str] = fake_ports.wait_until(
            lambda: re.search(pattern, self.look()), pattern)
        return found


class UsbTest(LinuxTestCase):

    usb = True

    def test_the_guest_reads_and_writes_a_usb_disk(self) -> None:
        self.attach(self.spec, Bus.USB)

        found = self.wait_disk('sd[a-z]')
        self.type_line(self.spec, f'put {found[1]} from within',
                       f'put {found[1]} from within')
        self.take(self.spec)

        self.assertNotIn(f'disk {found[1]} ', self.look())
        self.assertIn(b'from within', self.volume.read_bytes())
        self.assertEqual([], self.devices(self.spec))
        self.assertFalse(self.attachment().is_connected)


class ObedientTest(LinuxTestCase):

    def test_the_guest_reads_and_writes_a_disk_until_it_is_detached(
            self) -> None:
        for bus, name, serial in ((Bus.VIRTIO, 'vd[b-z]', SHORT),
                                  (Bus.SCSI, 'sd[a-z]', '')):
            with self.subTest(bus=bus):
                self.note('from the host')

                self.attach(self.spec, bus)

                found = self.wait_disk(name)
                self.assertEqual(serial, found[2])
                self.type_line(self.spec, f'put {found[1]} from within',
                               f'put {found[1]} from within')
                self.take(self.spec)

                self.assertNotIn(f'disk {found[1]} ', self.look())
                self.assertIn(b'from within', self.volume.read_bytes())
                self.assertEqual([], self.devices(self.spec))
                self.assertFalse(self.attachment().is_connected)

    def test_the_guest_reads_a_cd_until_it_is_detached(self) -> None:
        self.driver.attach_disk(self.spec, dataclasses.replace(
            self.disk(Bus.SCSI), device=disk_spec.DiskDevice.CDROM),
            attachments=[self.attachment()])

        found = self.wait_disk('sr[0-9]')
        self.take(self.spec)

        self.assertNotIn(f'disk {found[1]} ', self.look())
        self.assertEqual([], self.devices(self.spec))
        self.assertFalse(self.attachment().is_connected)

    def test_the_guest_sees_an_interface_until_it_is_detached(self) -> None:
        before = self.look_at_host()
        for _ in range(2):
            self.driver.attach_nic(self.spec, NIC)
            fake_ports.wait_until(
                lambda: f'mac={NIC.mac}' in self.look('nics'), 'the card')
            self.driver.detach_nic(self.spec, NIC.key)
            self.assertNotIn(NIC.mac, self.look('nics'))
        self.assertEqual([], self.devices(self.spec, inactive=True))
        self.assert_host_is(before)

    def cpu_s(self) -> float:
        """Return how long the guest's QEMU has run on a processor."""
        times = psutil.Process(
            self.host.guest_pid(self.spec.name)).cpu_times()
        return times.user + times.system

    def test_a_disk_grows_under_the_guest(self) -> None:
        self.attach(self.spec)
        self.volume.open('r+b').truncate(2 * SIZE)

        self.driver.extend_disk(self.spec, self.key, 2 * SIZE)

        fake_ports.wait_until(
            lambda: f'sectors={2 * SIZE // 512} ' in self.look(),
            'the larger disk')

    def test_the_guest_does_not_notice_that_it_moves(self) -> None:
        other = pathlib.Path(self.host.directory, 'other.img')
        other.write_bytes(bytes(SIZE))
        other.chmod(0o666)
        connector = self.connector()
        old, new = (self.volume_attachment(connector, volume_id, path)
                    for volume_id, path in (
                        (VOLUME, self.volume), (OTHER, other)))
        self.driver.attach_disk(
            self.spec, self.disk(), attachments=[old])
        found = self.wait_disk('vd[b-z]')

        self.driver.swap_disk(
            self.spec, self.key, dataclasses.replace(self.disk(), id=OTHER),
            old=old, new=new)

        self.assertEqual([OTHER], connector.connected())
        self.assertEqual(found[0], self.wait_disk('vd[b-z]')[0])
        self.type_line(self.spec, f'put {found[1]} from within',
                       f'put {found[1]} from within')
        self.driver.detach_disk(
            self.spec, disk_spec.DiskKey(id=OTHER, serial=VOLUME),
            attachments=[new])
        self.assertNotIn(f'disk {found[1]} ', self.look())
        self.assertEqual([], connector.connected())
        self.assertEqual((False, True), tuple(
            b'from within' in path.read_bytes()
            for path in (self.volume, other)))

    def connector(self) -> fake_volumes.FakeConnector:
        """Return what connects the host to files."""
        folder = pathlib.Path(self.host.directory, 'volumes')
        folder.mkdir()
        # QEMU does no direct I/O on a file system in memory.
        return fake_volumes.FakeConnector(
            str(folder), settings=volume_spec.VolumeSettings(
                default_aio=True, cache_modes={'file': 'writeback'}))

    def volume_attachment(
            self, connector: ports.VolumeConnector, volume_id: str,
            path: pathlib.Path) -> ports.VolumeAttachment:
        return self.driver.volume_attachment(self.spec, [volume_spec.Volume(
            info={'driver_volume_type': 'nfs', 'serial': VOLUME, 'data': {
                'volume_id': volume_id, 'export': f'server:/{volume_id}',
                'name': volume_id, 'fake_path': str(path)}},
            place=volume_spec.Placement(target_dev='', bus=Bus.VIRTIO))],
            connector)

    def test_a_disk_is_the_same_after_a_hard_reboot(self) -> None:
        self.attach(self.spec, Bus.SCSI)
        before = self.devices(self.spec, inactive=True)

        self.driver.reboot(
            self.driver.get_spec(self.spec), guest_spec.RebootType.HARD)
        self.wait_console(
            self.spec, r'boot 2.*guest: ready')

        self.assertEqual(before, self.devices(self.spec))
        self.assertIn('note=from the host', self.look())

    def test_many_who_detach_at_once_ask_a_slow_guest_once(self) -> None:
        self.attach(self.spec)
        over = threading.Event()

        def crawl() -> None:
            while not over.is_set():
                self.signal(self.spec, signal.SIGSTOP)
                time.sleep(1.0)
                before_s, begun = self.cpu_s(), time.monotonic()
                self.signal(self.spec, signal.SIGCONT)
                # So far it comes on any machine, if it has something to do.
                while (self.cpu_s() < before_s + 0.1
                       and time.monotonic() < begun + 0.5):
                    time.sleep(0.02)

        crawling = threading.Thread(target=crawl)
        crawling.start()
        try:
            results = fake_ports.run_threads(
                [lambda: self.take(self.spec)] * 3, timeout_s=120)
        finally:
            over.set()
            crawling.join()

        self.assertEqual([None] * 3, results)
        self.assertEqual([], self.devices(self.spec))
        self.assertFalse(self.attachment().is_connected)


class DeafTest(HotPlugTestCase):
    """A guest that has no driver for it, or whose QEMU stands still."""

    own_options = {'call_timeout': 8}

    def setUp(self) -> None:
        super().setUp()
        self.spec = self.boot_guest('deaf', devices=device_spec.DeviceSpec(
            video=None, usb_model='qemu-xhci'))
        self.config.config(
            group='libvirt', device_detach_attempts=2,
            device_detach_timeout=1)
        self.driver.cleanup_host('here')
        self.driver = self.make_guest_driver()
        self.driver.spawn(self.spec)
        self.wait_console(self.spec, 'deaf is up')

    def failure(self) -> exception.DeviceDetachFailed:
        return self.assertRaises(
            exception.DeviceDetachFailed, self.take, self.spec)

    def wait_released(self) -> None:
        self.driver._parts.operations.recovery.wake()
        fake_ports.wait_until(
            lambda: not self.attachment().is_connected, 'disconnected')

    def test_a_disk_stays_until_the_guest_stops(self) -> None:
        self.attach(self.spec)

        causes = [self.failure().fields['cause'] for _ in range(2)]

        self.assertEqual(['ignored'] * 2, causes)
        self.assertEqual([f'ua-{VOLUME}'], self.devices(self.spec))
        self.assertEqual([], self.devices(self.spec, inactive=True))
        self.assertTrue(self.attachment().is_connected)
        self.driver.power_off(self.spec)
        self.wait_released()
        self.driver.destroy(self.spec)

    def test_a_usb_disk_needs_no_word_of_the_guest(self) -> None:
        self.attach(self.spec, Bus.USB)
        self.take(self.spec)

        self.assertEqual([], self.devices(self.spec))
        self.assertFalse(self.attachment().is_connected)

    def test_a_stop_does_not_wait_for_a_detach(self) -> None:
        self.driver.cleanup_host('here')
        self.config.config(group='libvirt', device_detach_timeout=600)
        self.driver = self.make_guest_driver()
        self.attach(self.spec)

        error, none = fake_ports.run_threads([
            lambda: self.take(self.spec), self.stop_when_asked])

        self.assertIsNone(none)
        self.assertIn('about to be stopped', str(error))
        self.wait_released()

    def stop_when_asked(self) -> None:
        """Stop the guest once it was asked for its disk."""
        fake_ports.wait_until(
            lambda: not self.devices(self.spec, inactive=True), 'asked')
        self.driver.power_off(self.spec)

    def test_disks_of_the_next_start_have_places_of_their_own(self) -> None:
        self.attach(self.spec, Bus.SCSI)
        for name in ('added', 'other'):
            path = self.host.directory / f'{name}.img'
            path.write_bytes(bytes(SIZE))
            path.chmod(0o666)
        self.host.virsh(
            'attach-disk', self.spec.name, str(path.with_stem('added')),
            'sdb', '--targetbus', 'scsi', '--config')

        self.driver.attach_disk(self.spec, dataclasses.replace(
            self.disk(Bus.SCSI), id='other', serial='other',
            source=disk_spec.DiskSource(path=str(path))))

        self.assertEqual(['sda', 'sdb', 'sdc'], self.places())
        self.driver.reboot(
            instance_spec.InstanceRef(self.spec.uuid, self.spec.name),
            guest_spec.RebootType.HARD)
        self.assertEqual(['sda', 'sdb', 'sdc'], self.places())

    def places(self) -> list[str]:
        """Return the names of SCSI disks, one for each place."""
        found = domain_model.Domain.parse(self.driver.get_domain_xml(
            self.spec, inactive=True)).devices.disks
        return sorted({
            (disk.address.controller, disk.address.unit): disk.target_dev
            or '' for disk in found if disk.target_bus == 'scsi'}.values())

    def test_a_paused_guest_is_said_to_be_paused(self) -> None:
        self.attach(self.spec)
        self.driver.pause(self.spec)

        self.assertEqual('paused', self.failure().fields['cause'])

    def test_a_guest_that_stands_still_gets_nothing(self) -> None:
        self.signal(self.spec, signal.SIGSTOP)
        try:
            self.assertRaises(
                exception.GuestUnresponsive, self.attach, self.spec)
        finally:
            self.signal(self.spec, signal.SIGCONT)

        self.driver.destroy(self.spec)
        fake_ports.wait_until(
            lambda: not self.attachment().is_connected, 'disconnected')

    def test_a_guest_that_stands_still_is_waited_for_later(self) -> None:
        self.attach(self.spec, Bus.USB)
        self.signal(self.spec, signal.SIGSTOP)
        try:
            error = self.failure()
        finally:
            self.signal(self.spec, signal.SIGCONT)

        self.assertEqual('unresponsive', error.fields['cause'])
        self.wait_released()
        self.assertEqual([], self.devices(self.spec))
