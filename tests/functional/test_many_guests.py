# SPDX-License-Identifier: Apache-2.0

"""Many guests on a real daemon cost as many calls as a few."""

from collections.abc import Callable
from collections.abc import Mapping
import os
import signal
import time
import uuid

import libvirt

from benchmarks import counting
from nova_libvirt_driver.spec import instance as instance_spec
from nova_libvirt_driver.storage import record
from nova_libvirt_driver.testing import fake_ports
from nova_libvirt_driver.testing import guests
from tests.functional import guest_base

State = instance_spec.PowerState

GUESTS, RUNNING = 40, 3
SIZE_BYTES = 1 << 20
HOST = 'here'

counting.listen()


class ManyGuestsTest(guest_base.GuestTestCase):

    # Long enough for the slowest machine, so that the counts are certain.
    own_options = {'stats_max_age': 60}

    def setUp(self) -> None:
        super().setUp()
        connection = libvirt.open(self.host.uri)
        self.addCleanup(connection.close)
        self.instances = [
            self.define(connection, f'many-{number:02}', number < RUNNING)
            for number in range(GUESTS)]
        fake_ports.wait_until(self.is_settled, 'the events of all of them')
        # Facts of the host, and the connection for what may take long.
        self.driver.get_available_resource(HOST)

    def is_settled(self) -> bool:
        """Say whether nothing new is told of any guest."""
        self.driver.get_num_instances()
        return not self.counts(
            lambda: [self.power(number) for number in range(GUESTS)])

    def define(
            self, connection: libvirt.virConnect, name: str,
            is_up: bool) -> instance_spec.InstanceRef:
        """Make a guest that the driver is not told of."""
        one = instance_spec.InstanceRef(str(uuid.uuid4()), name)
        folder = self.instances_path / one.uuid
        folder.mkdir()
        disk = folder / 'disk'
        disk.write_bytes(guests.boot_sector('up'))
        os.truncate(disk, SIZE_BYTES)
        record.write(str(folder / 'disk.info'), str(disk), 'raw')
        domain = connection.defineXML(guests.boot_guest_xml(
            name, disk, folder / 'console.log', uuid=one.uuid))
        if is_up:
            domain.create()
        return one

    def power(self, number: int) -> State:
        return self.driver.get_info(self.instances[number]).state

    def counts(
            self, function: Callable[[], object]) -> Mapping[str, int]:
        """Return which calls of libvirt a function makes, and how often."""
        with counting.counted() as tally:
            function()
        self.assertEqual(0, tally.programs)
        return tally.by_name

    def test_the_audit_is_one_call(self) -> None:
        found = self.driver.get_available_resource(HOST)

        self.assertEqual(
            {'virNodeGetInfo': 1},
            self.counts(lambda: self.driver.get_available_resource(HOST)))
        self.assertEqual((RUNNING, RUNNING),
                         (found.running_instances, found.vcpus_used))

    def test_a_guest_that_starts_is_two_calls_more_once(self) -> None:
        self.host.virsh('start', self.instances[RUNNING].name)
        fake_ports.wait_until(
            lambda: self.power(RUNNING) is State.RUNNING, 'the event')

        self.assertEqual(
            {'virNodeGetInfo': 1, 'virConnectListAllDomains': 1,
             'virDomainListGetStats': 1},
            self.counts(lambda: self.driver.get_available_resource(HOST)))
        self.assertEqual(
            {'virNodeGetInfo': 1},
            self.counts(lambda: self.driver.get_available_resource(HOST)))

    def test_power_states_are_one_call(self) -> None:
        states: list[State] = []

        def synchronize() -> None:
            self.assertEqual(GUESTS, self.driver.get_num_instances())
            states.extend(map(self.power, range(GUESTS)))

        self.assertEqual({'virConnectGetAllDomainStats': 1},
                         self.counts(synchronize))
        self.assertEqual(
            [State.RUNNING] * RUNNING + [State.SHUTDOWN] * (GUESTS - RUNNING),
            states)

    def test_figures_of_all_are_one_call(self) -> None:
        found: list[str] = []

        def ask() -> None:
            found.extend(self.driver.get_diagnostics(one).state
                         for one in self.instances)
            self.assertEqual(GUESTS, len(self.driver.get_disk_counters()))

        self.assertEqual({'virConnectGetAllDomainStats': 1},
                         self.counts(ask))
        self.assertEqual(RUNNING, found.count('running'))

    def test_a_guest_that_hangs_holds_up_nobody(self) -> None:
        pid = self.host.guest_pid(self.instances[0].name)
        assert pid is not None
        os.kill(pid, signal.SIGSTOP)
        self.addCleanup(os.kill, pid, signal.SIGCONT)
        begun_s = time.monotonic()

        for _ in range(50):
            found = self.driver.get_available_resource(HOST)
            self.assertEqual(GUESTS, self.driver.get_num_instances())

        # One that waited for the guest would take five seconds.
        self.assertLess(time.monotonic() - begun_s, 100)
        self.assertEqual(RUNNING, found.running_instances)
        self.assertEqual((), self.driver.connection_status().unresponsive)
