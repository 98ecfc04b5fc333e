# SPDX-License-Identifier: Apache-2.0

import pathlib
import time

import libvirt

from nova_libvirt_driver import exception
from nova_libvirt_driver.spec import diagnostics as diagnostics_spec
from nova_libvirt_driver.spec import instance
from nova_libvirt_driver.spec import nic as nic_spec
from nova_libvirt_driver.storage import spec_record
from nova_libvirt_driver.testing import fake_libvirt
from nova_libvirt_driver.testing import specs
from tests.unit.guest import base
from tests.unit.guest import test_inventory

wait_until = base.wait_until

STATS = {
    'vcpu.maximum': 3, 'vcpu.0.time': 11, 'vcpu.2.time': 13,
    'balloon.rss': 50 * 1024,
    'block.count': 1, 'block.0.name': 'vda', 'block.0.rd.bytes': 1,
    'block.0.rd.reqs': 2, 'block.0.wr.bytes': 3, 'block.0.wr.reqs': 4,
    'net.count': 1, 'net.0.name': 'tap0', 'net.0.rx.bytes': 5,
    'net.0.rx.pkts': 6, 'net.0.rx.errs': 7, 'net.0.rx.drop': 8,
    'net.0.tx.bytes': 9,
}
DISK = diagnostics_spec.DiskDiagnostics(
    target_dev='vda', read_bytes=1, read_requests=2, write_bytes=3,
    write_requests=4)


class DiagnosticsTest(test_inventory.InventoryTestCase):

    def setUp(self) -> None:
        super().setUp()
        self.guest = self.hypervisor.add_guest('web1')
        self.guest.stats = STATS

    def record(self, *nics: nic_spec.NicSpec) -> None:
        """Write down what the guest was made from, and its config drive."""
        folder = pathlib.Path(self.instances_path, self.guest.uuid)
        folder.mkdir()
        (folder / 'disk.config').write_text('')
        spec_record.write(str(folder / 'guest.json'), specs.guest_spec(
            'web1', uuid=self.guest.uuid, nics=nics))

    def get(self, guest: fake_libvirt.Guest | None = None
            ) -> diagnostics_spec.Diagnostics:
        return self.make_driver().get_diagnostics(
            test_inventory.reference(guest or self.guest))

    def test_figures_are_libvirts(self) -> None:
        self.record(nic_spec.NicSpec(mac='52:54:00:00:00:01'))

        self.assertEqual(diagnostics_spec.Diagnostics(
            name='web1',
            state='running', vcpu_times_ns=(11, 13), memory_mib=32,
            memory_used_mib=50, config_drive=True, disks=(DISK,),
            nics=(diagnostics_spec.NicDiagnostics(
                target_dev='tap0', mac='52:54:00:00:00:01', rx_bytes=5,
                rx_packets=6, rx_errors=7, rx_drop=8, tx_bytes=9),)),
            self.get())

    def test_an_interface_is_known_by_its_name(self) -> None:
        self.record(
            nic_spec.NicSpec(mac='52:54:00:00:00:01', target_dev='tap1'),
            nic_spec.NicSpec(mac='52:54:00:00:00:02', target_dev='tap0'))

        self.assertEqual(['52:54:00:00:00:02'],
                         [nic.mac for nic in self.get().nics])

    def test_guest_without_a_record_has_figures(self) -> None:
        found = self.get()

        self.assertEqual(([''], False, (DISK,)), (
            [nic.mac for nic in found.nics], found.config_drive,
            found.disks))

    def test_busy_guest_has_few(self) -> None:
        self.guest.busy, self.guest.stats = True, {}

        self.assertEqual(
            diagnostics_spec.Diagnostics(state='running', name='web1'),
            self.get())

    def test_stopped_guest_is_described_too(self) -> None:
        self.guest.state = libvirt.VIR_DOMAIN_SHUTOFF

        self.assertEqual('shutdown', self.get().state)

    def test_last_error_of_a_disk_is_told(self) -> None:
        driver = self.make_driver()
        reference = test_inventory.reference(self.guest)
        self.assertIsNone(driver.get_diagnostics(reference).last_disk_error)

        self.hypervisor.emit(
            libvirt.VIR_DOMAIN_EVENT_ID_IO_ERROR_REASON, self.guest,
            '/i/disk', 'virtio-disk0',
            libvirt.VIR_DOMAIN_EVENT_IO_ERROR_PAUSE, 'enospc')

        error = wait_until(
            lambda: driver.get_diagnostics(reference).last_disk_error,
            'the event')
        self.assertEqual(('/i/disk', 'pause', 'enospc'),
                         (error.path, error.action, error.reason))
        self.assertLess(abs(time.time() - error.timestamp), 60)
        self.assertEqual((error,), driver.connection_status().disk_errors)

    def test_missing_guest_is_named(self) -> None:
        driver = self.make_driver()
        missing = instance.InstanceRef(
            '5d1f7f5c-6b1e-4d8a-9c41-2f6f5e0a7b11', 'web2')

        error = self.assertRaises(
            exception.InstanceNotFound, driver.get_diagnostics, missing)

        self.assertIn(missing.uuid, str(error))


class ManyTest(test_inventory.InventoryTestCase):

    def setUp(self) -> None:
        super().setUp()
        self.added = self.add_guests(50)
        self.driver = self.make_driver(stats_max_age=60)
        self.wait_told(self.driver)
        # What may enter guests has a connection of its own, made by now.
        self.driver.list_instance_summaries()

    def test_all_guests_are_one_call(self) -> None:
        def ask() -> None:
            for guest in self.added:
                self.driver.get_diagnostics(test_inventory.reference(guest))
            self.driver.get_disk_counters()

        self.assertEqual({'getAllDomainStats': 1}, self.calls_of(ask))

    def test_figures_tell_their_age(self) -> None:
        reference = test_inventory.reference(self.added[0])
        self.driver.get_diagnostics(reference)
        time.sleep(0.2)

        self.assertGreaterEqual(
            self.driver.get_diagnostics(reference).age_s, 0.2)

    def test_counters_are_those_of_each_guest(self) -> None:
        self.added[3].stats = STATS

        found = self.driver.get_disk_counters()

        self.assertEqual(50, len(found))
        self.assertEqual(((DISK,), ()), (
            found[self.added[3].uuid], found[self.added[4].uuid]))

    def test_what_was_done_to_a_guest_shows_at_once(self) -> None:
        guest = self.hypervisor.add_guest('ours', owned=True)
        reference = test_inventory.reference(guest)
        self.driver.get_diagnostics(reference)

        self.driver.pause(reference)

        self.assertEqual(
            'paused', self.driver.get_diagnostics(reference).state)

    def test_a_new_guest_is_found(self) -> None:
        self.driver.get_disk_counters()
        new = self.hypervisor.add_guest('new')

        self.assertEqual('running', self.driver.get_diagnostics(
            test_inventory.reference(new)).state)
