# SPDX-License-Identifier: Apache-2.0

"""A volume server that hangs, answers slowly or dies: NBD, read by QEMU."""

from collections.abc import Callable
from collections.abc import Iterator
import contextlib
import pathlib
import re
import signal
import subprocess
import threading
import time

import fixtures

from nova_libvirt_driver import exception
from nova_libvirt_driver import ports
from nova_libvirt_driver.spec import device as device_spec
from nova_libvirt_driver.spec import disk as disk_spec
from nova_libvirt_driver.spec import guest as guest_spec
from nova_libvirt_driver.spec import instance as instance_spec
from nova_libvirt_driver.spec import volume as volume_spec
from nova_libvirt_driver.testing import fake_ports
from nova_libvirt_driver.testing import fake_volumes
from tests.faults import base
from tests import listening

VOLUME = '0d6a2f3e-5b0c-4c39-9d55-6a9ed1a0f3c1'
KEY = disk_spec.DiskKey(id=VOLUME, serial=VOLUME)
SIZE_BYTES = 4 << 20
LOOK_S, CALL_S, DETACH_S = 2.0, 4.0, 5
OWN_WAIT_S = 5.0
"""How long libvirt itself waits for a device to go."""
MARGIN_S = 30.0
"""What a loaded machine may add to a deadline."""


class VolumeServerTest(base.GuestFaultTestCase):

    own_options = {'look_timeout': LOOK_S, 'call_timeout': CALL_S}

    def setUp(self) -> None:
        super().setUp()
        self.config.config(
            group='libvirt', device_detach_attempts=1,
            device_detach_timeout=DETACH_S)
        self.driver.cleanup_host('here')
        self.driver = self.make_guest_driver()
        folder = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        self.connector = fake_volumes.FakeConnector(str(folder))
        self.bytes = folder / 'volume'
        self.bytes.write_bytes(bytes(SIZE_BYTES))
        self.file = folder / 'file'
        self.file.write_bytes(bytes(SIZE_BYTES))
        self.socket = folder / 'socket'
        self.server = self.serve()
        self.addCleanup(self.end_server)
        self.other = self.boot_guest('other', devices=device_spec.DeviceSpec(
            video=None, usb_model='qemu-xhci'))
        self.driver.spawn(self.other)
        self.wait_console(self.other, 'other is up')

    def serve(self) -> 'subprocess.Popen[bytes]':
        server = subprocess.Popen(
            ['qemu-nbd', '--format', 'raw', '--persistent', '--shared', '0',
             '--socket', str(self.socket), '--export-name', 'volume',
             str(self.bytes)])
        fake_ports.wait_until(
            lambda: listening.at(self.socket), 'the socket of qemu-nbd')
        return server

    def end_server(self) -> None:
        self.server.kill()
        self.server.wait()

    @contextlib.contextmanager
    def hung(self) -> Iterator[None]:
        """Let the server stand still."""
        self.server.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.server.send_signal(signal.SIGCONT)

    @contextlib.contextmanager
    def slow(self) -> Iterator[None]:
        """Let the server stand still most of the time."""
        over = threading.Event()

        def crawl() -> None:
            while not over.is_set():
                self.server.send_signal(signal.SIGSTOP)
                time.sleep(0.5)
                self.server.send_signal(signal.SIGCONT)
                time.sleep(0.3)

        crawling = threading.Thread(target=crawl)
        crawling.start()
        try:
            yield
        finally:
            over.set()
            crawling.join()

    def attachment_of(
            self, instance: instance_spec.Instance, name: str,
            memo: ports.Memo | None) -> ports.Attachment:
        return self.attachment(instance)

    def attachment(
            self, instance: instance_spec.Instance,
    ) -> ports.VolumeAttachment:
        return self.driver.volume_attachment(instance, [volume_spec.Volume(
            info={'driver_volume_type': 'nbd', 'serial': VOLUME, 'data': {
                'volume_id': VOLUME, 'name': 'volume',
                'socket': str(self.socket)}},
            place=volume_spec.Placement(
                target_dev='', bus=disk_spec.DiskBus.VIRTIO))],
            self.connector)

    def linux(self) -> guest_spec.GuestSpec:
        """Return a guest that uses what it is given."""
        spec = self.linux_guest('linux', self.linux_image('base').id)
        self.driver.spawn(spec)
        self.wait_console(spec, 'guest: ready')
        return spec

    def attach(self, spec: guest_spec.GuestSpec) -> None:
        self.driver.attach_disk(spec, disk_spec.DiskSpec(
            target_dev='vdb', id=VOLUME, serial=VOLUME, format='raw',
            bus=disk_spec.DiskBus.VIRTIO, source=disk_spec.DiskSource()),
            attachments=[self.attachment(spec)])

    def detach(self, spec: guest_spec.GuestSpec) -> None:
        self.driver.detach_disk(
            spec, KEY, attachments=[self.attachment(spec)])

    def assert_others_go_on(self) -> None:
        """Fail unless the audit and the other guest notice nothing."""
        with base.within(3 * LOOK_S + MARGIN_S):
            resources = self.driver.get_available_resource('here')
        self.assertEqual(2, resources.running_instances)
        disk = disk_spec.DiskSpec(
            target_dev='', id='other', serial='other', format='raw',
            bus=disk_spec.DiskBus.USB, cache='writeback',
            source=disk_spec.DiskSource(path=str(self.file)))
        with base.within(2 * CALL_S + OWN_WAIT_S + MARGIN_S):
            self.driver.attach_disk(self.other, disk)
            self.driver.detach_disk(self.other, disk.key)

    def within_deadline(
            self, limit_s: float, function: Callable[[], object],
    ) -> exception.DriverError:
        """Return the error of a call that keeps its deadline."""
        with base.within(limit_s + MARGIN_S):
            return self.assertRaises(exception.DriverError, function)

    def assert_without(self, spec: guest_spec.GuestSpec) -> None:
        """Fail unless the guest ends without the volume."""
        self.driver._parts.operations.recovery.wake()
        fake_ports.wait_until(
            lambda: not self.driver.connection_status().unresponsive
            and not list(self.instances_path.glob('.operations/*.json'))
            and VOLUME not in self.xml(spec), 'the end of it',
            timeout_s=2 * MARGIN_S + 30.0)
        self.assertNotIn(VOLUME, self.xml(spec, inactive=True))

    def xml(
            self, spec: guest_spec.GuestSpec, *,
            inactive: bool = False) -> str:
        return self.driver.get_domain_xml(spec, inactive=inactive)

    def test_nothing_is_attached_of_a_server_that_hangs(self) -> None:
        spec = self.linux()
        with self.hung():
            error = self.within_deadline(
                2 * CALL_S + OWN_WAIT_S + DETACH_S,
                lambda: self.attach(spec))

            self.assertIsInstance(error, exception.GuestUnresponsive)
            self.assert_others_go_on()
        self.assert_without(spec)
        # And then it works.
        self.attach(spec)
        self.detach(spec)

    def test_a_guest_whose_volume_hangs_loses_it_when_that_goes_on(
            self) -> None:
        spec = self.linux()
        self.attach(spec)
        self.wait_seen(spec)
        with self.hung():
            self.write(spec)
            error = self.within_deadline(
                2 * CALL_S + OWN_WAIT_S + DETACH_S,
                lambda: self.detach(spec))
            self.assertIsInstance(error, exception.DeviceDetachFailed)
            self.assert_others_go_on()
        self.assert_without(spec)

    def test_a_guest_whose_volume_hangs_can_be_removed(self) -> None:
        spec = self.linux()
        self.attach(spec)
        self.wait_seen(spec)
        with self.hung():
            self.write(spec)
            with base.within(CALL_S + MARGIN_S):
                self.driver.destroy(
                    spec, attachments=[self.attachment(spec)])
        self.assertEqual([self.other.name], self.driver.list_instances())

    def test_a_slow_server_is_slow_and_one_that_is_down_is_refused(
            self) -> None:
        spec = self.linux()
        with self.slow():
            self.attach(spec)
            self.wait_seen(spec)
            self.type_line(spec, 'put vdb from within', 'put vdb from within')
            self.assert_others_go_on()
            self.detach(spec)
        self.assertNotIn(VOLUME, self.xml(spec))
        # Not the bytes in a message of many MiB.
        self.assertTrue(b'from within' in self.bytes.read_bytes())

        self.end_server()
        error = self.within_deadline(CALL_S, lambda: self.attach(spec))
        self.assertNotIsInstance(error, exception.GuestUnresponsive)
        self.assert_without(spec)

    def write(self, spec: guest_spec.GuestSpec) -> None:
        """Let the guest write to the volume, without waiting for its end."""
        later = self.last_tick(spec) + 4
        self.type_line(
            spec, 'put vdb from within', rf'guest: tick {later}\b')

    def wait_seen(self, spec: guest_spec.GuestSpec) -> None:
        """Wait until the guest sees the volume."""
        for number in range(30):
            self.type_line(
                spec, f'disks {number}', rf'disks told {number}\b')
            if re.search(f'disk vdb sectors={SIZE_BYTES // 512} ',
                         self.console(spec)):
                return
        self.fail('the guest does not see the volume')
