# SPDX-License-Identifier: Apache-2.0

import pathlib
import re
import shutil

import libvirt
import psutil

from nova_libvirt_driver import exception
from nova_libvirt_driver.testing import fake_libvirt
from tests.unit.guest import base

wait_until = base.wait_until

_GIB = 1024 ** 3
_MIB = 1024 ** 2


class AuditTest(base.FakeHostTestCase):

    def test_size_is_what_libvirt_says(self) -> None:
        found = self.make_driver().get_available_resource('fake-host')

        self.assertEqual(
            ('fake-host', 'QEMU', 7_002_000, 4, 8192),
            (found.hypervisor_hostname, found.hypervisor_type,
             found.hypervisor_version, found.vcpus, found.memory_mb))

    def test_what_is_plugged_counts_at_once(self) -> None:
        driver = self.make_driver()
        driver.get_available_resource('fake-host')

        self.hypervisor.node_info = [32768, 3, 2400, 1, 1, 4, 1]
        self.hypervisor.online_cpus = [True, False, True, True]
        found = driver.get_available_resource('fake-host')

        self.assertEqual(
            (32768, 3, {0, 2, 3}),
            (found.memory_mb, found.vcpus, found.online_cpus))

    def test_empty_host_runs_nothing(self) -> None:
        found = self.make_driver().get_available_resource('fake-host')

        self.assertEqual((0, 0),
                         (found.vcpus_used, found.running_instances))

    def test_guests_count_while_they_hold_resources(self) -> None:
        for index, (state, counts) in enumerate((
                (libvirt.VIR_DOMAIN_RUNNING, 1),
                (libvirt.VIR_DOMAIN_BLOCKED, 1),
                (libvirt.VIR_DOMAIN_PAUSED, 1),
                (libvirt.VIR_DOMAIN_PMSUSPENDED, 1),
                (libvirt.VIR_DOMAIN_SHUTOFF, 0),
                (libvirt.VIR_DOMAIN_CRASHED, 0))):
            self.hypervisor.guests.clear()
            self.hypervisor.add_guest(f'guest{index}', state=state)

            found = self.make_driver().get_available_resource('fake-host')

            self.assertEqual(
                (counts, counts),
                (found.vcpus_used, found.running_instances), f'{state}')

    def test_used_memory_is_that_of_the_machine(self) -> None:
        before = psutil.virtual_memory()

        found = self.make_driver().get_available_resource('fake-host')

        used_mib = (before.total - before.available) // _MIB
        # The machine goes on working meanwhile.
        self.assertTrue(
            abs(used_mib - found.memory_mb_used) < 1024,
            f'{used_mib} before, {found.memory_mb_used} said')

    def test_disk_is_the_file_system_of_the_instances(self) -> None:
        usage = shutil.disk_usage(self.instances_path)

        found = self.make_driver().get_available_resource('fake-host')

        self.assertEqual(usage.total // _GIB, found.local_gb)
        self.assertTrue(0 <= found.local_gb_used <= found.local_gb)

    def test_folder_may_be_made_later(self) -> None:
        usage = shutil.disk_usage(self.instances_path)
        self.instances_path = str(
            pathlib.Path(self.instances_path, 'not', 'yet'))

        found = self.make_driver().get_available_resource('fake-host')

        self.assertEqual(usage.total // _GIB, found.local_gb)
        self.assertFalse(pathlib.Path(self.instances_path).exists())

    def test_number_of_calls_is_the_same_for_any_number_of_guests(
            self) -> None:
        driver = self.make_driver()
        counts = []
        for number in (3, 297):
            self.add_guests(number)
            self.reconnect(driver)
            self.wait_told(driver)
            driver.get_host_facts()
            # What may enter guests has a connection of its own.
            driver.list_instance_summaries()
            for _ in range(2):
                calls = self.calls_of(
                    lambda: driver.get_available_resource('fake-host'))
                # The old connection may be closed only now.
                counts.append(sum(
                    number for name, number in calls.items()
                    if not re.search('(?i)deregister|unregister|close',
                                     name)))
            found = driver.get_available_resource('fake-host')
        # Guests are measured once for each start.
        self.assertEqual([3, 1, 3, 1], counts)
        self.assertEqual((300, 300),
                         (found.vcpus_used, found.running_instances))

    def test_guest_that_is_started_again_may_have_another_size(self) -> None:
        guest, = self.add_guests(1)
        self.config.config(group='libvirt', file_backed_memory=65536)
        driver = self.make_driver()
        self.wait_told(driver)
        domain = self.hypervisor.open_auth(
            'other:///', [[], lambda asked, opaque: -1, None]
        ).lookupByUUIDString(guest.uuid)

        def used_mib() -> int:
            return driver.get_available_resource('fake-host').memory_mb_used

        self.assertEqual(32, used_mib())
        guest.memory_kib *= 2
        self.assertEqual(32, used_mib())
        domain.destroy()
        domain.create()

        wait_until(lambda: used_mib() == 64, 'the new size')

    def test_without_events_guests_are_listed(self) -> None:
        self.hypervisor.events = False
        self.add_guests(2)

        self.hypervisor.add_guest('off', state=libvirt.VIR_DOMAIN_SHUTOFF)
        driver = self.make_driver()
        found = driver.get_available_resource('fake-host')

        self.assertEqual((2, 2), (found.vcpus_used, found.running_instances))
        self.assertEqual(
            {'getAllDomainStats': 1, 'getInfo': 1},
            self.calls_of(lambda: driver.get_available_resource(
                'fake-host')))

    def test_error_of_libvirt_is_translated(self) -> None:
        driver = self.make_driver()
        driver.get_host_facts()
        self.hypervisor.fail_next('getInfo', fake_libvirt.libvirt_error(
            libvirt.VIR_ERR_NO_MEMORY, libvirt.VIR_FROM_QEMU, 'no memory'))

        error = self.assertRaises(
            exception.LibvirtFailure, driver.get_available_resource,
            'fake-host')

        self.assertIn('ask how much memory the host has', str(error))

    def test_lost_host_cannot_be_audited(self) -> None:
        driver = self.make_driver()

        self.hypervisor.refuse_connections()
        self.hypervisor.break_connections()

        self.assertRaises(exception.HypervisorUnavailable,
                          driver.get_available_resource, 'fake-host')


class EmbeddedHypervisor(fake_libvirt.FakeHypervisor):
    """Says that it is libvirt's in-process hypervisor for tests."""

    def open_auth(
            self, uri: str, auth: object, flags: int = 0
    ) -> fake_libvirt.FakeConnection:
        class Connection(fake_libvirt.FakeConnection):
            def getType(self) -> str:
                return 'TEST'

        connection = Connection(self, uri)
        self.connections.append(connection)
        return connection


class EmbeddedTest(base.FakeHostTestCase):
    """Guests that take none of this machine's memory."""

    hypervisor_class = EmbeddedHypervisor

    def test_used_memory_is_that_of_the_guests(self) -> None:
        self.add_guests(3)
        self.hypervisor.add_guest('down', state=libvirt.VIR_DOMAIN_SHUTOFF)

        found = self.make_driver().get_available_resource('fake-host')

        self.assertEqual(('TEST', 96),
                         (found.hypervisor_type, found.memory_mb_used))
