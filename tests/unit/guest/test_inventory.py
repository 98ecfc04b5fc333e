# SPDX-License-Identifier: Apache-2.0

import re

import libvirt

from nova_libvirt_driver import driver as driver_module
from nova_libvirt_driver import exception
from nova_libvirt_driver.spec import instance
from nova_libvirt_driver.testing import fake_libvirt
from nova_libvirt_driver.testing import fake_ports
from tests.unit.guest import base
from tests.unit.guest import handles

wait_until = fake_ports.wait_until

State = instance.PowerState

STATES = (
    (libvirt.VIR_DOMAIN_RUNNING, State.RUNNING),
    (libvirt.VIR_DOMAIN_BLOCKED, State.RUNNING),
    (libvirt.VIR_DOMAIN_PAUSED, State.PAUSED),
    (libvirt.VIR_DOMAIN_SHUTDOWN, State.SHUTDOWN),
    (libvirt.VIR_DOMAIN_SHUTOFF, State.SHUTDOWN),
    (libvirt.VIR_DOMAIN_CRASHED, State.CRASHED),
    (libvirt.VIR_DOMAIN_PMSUSPENDED, State.SUSPENDED),
    (libvirt.VIR_DOMAIN_NOSTATE, State.NOSTATE),
)


def reference(guest: fake_libvirt.Guest) -> instance.InstanceRef:
    """Return what a compute service knows of a guest."""
    return instance.InstanceRef(guest.uuid, guest.name)


class InventoryTestCase(base.FakeHostTestCase):

    def domain(self, guest: fake_libvirt.Guest) -> fake_libvirt.FakeDomain:
        """Return a handle of somebody else's on a guest."""
        other = self.hypervisor.open_auth(
            'other:///', [[], lambda asked, opaque: -1, None])
        return other.lookupByUUIDString(guest.uuid)

    def state(self, driver: driver_module.LibvirtDriver,
              guest: fake_libvirt.Guest, use_cache: bool = True) -> State:
        return driver.get_info(reference(guest), use_cache).state


class CacheTest(InventoryTestCase):

    def test_state_costs_no_call_while_events_arrive(self) -> None:
        for number, wanted in STATES:
            if wanted in (State.RUNNING, State.PAUSED, State.SUSPENDED):
                self.hypervisor.add_guest(f'guest{number}', state=number)
        driver = self.make_driver()
        self.wait_told(driver)

        def ask() -> None:
            for guest in self.hypervisor.guests:
                self.state(driver, guest)

        self.assertEqual({}, self.calls_of(ask))
        self.assertEqual(4, len(self.hypervisor.guests))

    def test_state_follows_the_events(self) -> None:
        guest, = self.add_guests(1)
        driver = self.make_driver()
        domain = self.domain(guest)

        for change, wanted in ((domain.suspend, State.PAUSED),
                               (domain.resume, State.RUNNING),
                               (domain.destroy, State.SHUTDOWN),
                               (domain.create, State.RUNNING)):
            change()
            wait_until(lambda: self.state(driver, guest) == wanted,
                       f'{wanted}')

    def test_asking_without_the_cache_asks(self) -> None:
        guest, = self.add_guests(1)
        driver = self.make_driver()
        self.wait_told(driver)
        # Changed behind everybody's back.
        guest.state = libvirt.VIR_DOMAIN_PAUSED

        self.assertEqual(State.RUNNING, self.state(driver, guest))
        self.assertEqual(State.PAUSED, self.state(driver, guest, False))

    def test_each_state_is_told_when_asked(self) -> None:
        guest, = self.add_guests(1)
        driver = self.make_driver()
        for number, wanted in STATES:
            guest.state = number

            self.assertEqual(wanted, self.state(driver, guest, False))

    def test_nothing_is_cached_without_events(self) -> None:
        guest, = self.add_guests(1)
        self.hypervisor.events = False
        driver = self.make_driver()
        guest.state = libvirt.VIR_DOMAIN_PAUSED

        self.assertEqual(State.PAUSED, self.state(driver, guest))

    def test_nothing_is_cached_while_nobody_watches_the_link(self) -> None:
        guest, = self.add_guests(1)
        self.hypervisor.keepalive = False
        driver = self.make_driver()
        guest.state = libvirt.VIR_DOMAIN_PAUSED

        self.assertEqual(State.PAUSED, self.state(driver, guest))

    def test_nobody_knows_a_state_while_there_is_no_connection(self) -> None:
        guest, = self.add_guests(1)
        driver = self.make_driver()

        self.hypervisor.refuse_connections()
        self.hypervisor.break_connections()

        self.assertRaises(exception.HypervisorUnavailable,
                          self.state, driver, guest)

    def test_state_is_right_after_an_outage(self) -> None:
        guest, = self.add_guests(1)
        driver = self.make_driver()
        self.hypervisor.refuse_connections()
        self.hypervisor.break_connections()
        guest.state = libvirt.VIR_DOMAIN_PAUSED

        self.hypervisor.accept_connections()
        wait_until(lambda: self.listener.transitions(guest.name),
                   'the missed event')
        wait_until(lambda: driver.connection_status().state == 'connected',
                   'the connection that brought it')

        self.assertEqual({}, self.calls_of(
            lambda: self.assertEqual(
                State.PAUSED, self.state(driver, guest))))


class SnapshotTest(InventoryTestCase):
    """Guests that are down: events do not tell whether they still exist."""

    def setUp(self) -> None:
        super().setUp()
        self.down = self.add_guests(300, state=libvirt.VIR_DOMAIN_SHUTOFF)
        self.down[5].state = libvirt.VIR_DOMAIN_CRASHED
        self.driver = self.make_driver(stats_max_age=60)
        self.wait_told(self.driver)

    def test_the_states_of_all_are_one_call(self) -> None:
        found: list[State] = []

        def synchronize() -> None:
            self.driver.get_num_instances()
            found.extend(self.state(self.driver, guest)
                         for guest in self.down)

        self.assertEqual({'getAllDomainStats': 1},
                         self.calls_of(synchronize))
        self.assertEqual({State.SHUTDOWN, State.CRASHED}, set(found))
        self.assertEqual(State.CRASHED, found[5])

    def test_what_was_done_to_one_shows_at_once(self) -> None:
        guest = self.hypervisor.add_guest(
            'ours', state=libvirt.VIR_DOMAIN_SHUTOFF, owned=True)
        self.reconnect(self.driver)
        self.wait_told(self.driver)
        self.assertEqual(State.SHUTDOWN, self.state(self.driver, guest))

        self.driver.destroy(reference(guest))

        self.assertRaises(
            exception.InstanceNotFound, self.state, self.driver, guest)

    def test_what_an_event_tells_shows_at_once(self) -> None:
        guest = self.down[7]
        self.state(self.driver, guest)
        domain = self.domain(guest)

        domain.create()
        wait_until(lambda: self.state(self.driver, guest) is State.RUNNING,
                   'the start')
        domain.destroy()
        wait_until(lambda: self.state(self.driver, guest) is State.SHUTDOWN,
                   'the stop')

    def test_asking_without_the_cache_asks(self) -> None:
        guest = self.down[7]
        self.state(self.driver, guest)
        # Changed behind everybody's back.
        guest.state = libvirt.VIR_DOMAIN_CRASHED

        self.assertEqual(State.SHUTDOWN, self.state(self.driver, guest))
        self.assertEqual(
            State.CRASHED, self.state(self.driver, guest, False))

    def test_without_a_bound_each_is_asked(self) -> None:
        up = self.hypervisor.add_guest('up')
        self.hypervisor.guests.remove(up)
        self.hypervisor.guests.insert(0, up)
        driver = self.make_driver(stats_max_age=0)
        self.wait_told(driver)

        calls = self.calls_of(
            lambda: [self.state(driver, guest) for guest in self.down[:3]])

        self.assertEqual({'getAllDomainStats': 3}, calls)

    def test_a_lost_connection_is_no_cached_answer(self) -> None:
        guest = self.down[7]
        self.state(self.driver, guest)

        self.hypervisor.refuse_connections()
        self.hypervisor.break_connections()

        self.assertRaises(exception.HypervisorUnavailable,
                          self.state, self.driver, guest)


class NotFoundTest(InventoryTestCase):

    def test_missing_guest_is_named_by_its_uuid(self) -> None:
        driver = self.make_driver()
        missing = instance.InstanceRef('no such uuid', 'web1')
        for use_cache in (True, False):
            error = self.assertRaises(
                exception.InstanceNotFound, driver.get_info, missing,
                use_cache)

            self.assertEqual(
                ('no such uuid', 'here'),
                (error.fields['instance'], error.fields['host']))
            self.assertIn('no such uuid', str(error))

    def test_guest_that_is_gone_is_not_found(self) -> None:
        guest, = self.add_guests(1)
        driver = self.make_driver()
        self.domain(guest).destroy()
        self.hypervisor.remove_guest(guest)

        wait_until(lambda: self._is_gone(driver, guest), 'not found')

    def _is_gone(self, driver: driver_module.LibvirtDriver,
                 guest: fake_libvirt.Guest) -> bool:
        try:
            self.state(driver, guest)
        except exception.InstanceNotFound:
            return True
        return False

    def test_guest_that_goes_away_meanwhile_is_not_found(self) -> None:
        guest, = self.add_guests(1)
        driver = self.make_driver()
        self.hypervisor.fail_next('state', fake_libvirt.libvirt_error(
            libvirt.VIR_ERR_NO_DOMAIN, libvirt.VIR_FROM_QEMU, 'gone'))

        error = self.assertRaises(
            exception.InstanceNotFound, driver.get_info, reference(guest),
            False)

        self.assertEqual(guest.uuid, error.fields['instance'])


class ListTest(InventoryTestCase):

    def test_names_uuids_and_number_agree(self) -> None:
        guests = self.add_guests(3)
        guests[1].state = libvirt.VIR_DOMAIN_SHUTOFF
        driver = self.make_driver()

        self.assertEqual([guest.name for guest in guests],
                         driver.list_instances())
        self.assertEqual([guest.uuid for guest in guests],
                         driver.list_instance_uuids())
        self.assertEqual(3, driver.get_num_instances())
        for guest in guests:
            self.assertTrue(driver.instance_exists(reference(guest)))
        self.assertFalse(driver.instance_exists(
            instance.InstanceRef('no such uuid', guests[0].name)))

    def test_each_question_is_one_call_for_any_number(self) -> None:
        driver = self.make_driver()
        # What may take long has a connection of its own, made by now.
        driver.list_instance_summaries()
        for number in (3, 297):
            self.add_guests(number)
            for question in (driver.list_instances,
                             driver.list_instance_uuids,
                             driver.get_num_instances):
                self.assertEqual({'getAllDomainStats': 1},
                                 self.calls_of(question))
        self.assertEqual(300, driver.get_num_instances())

    def test_summaries_are_sorted_by_name(self) -> None:
        for name in ('b', 'c', 'a'):
            self.hypervisor.add_guest(name)

        rows = self.make_driver().list_instance_summaries()

        self.assertEqual(['a', 'b', 'c'], [row.name for row in rows])

    def test_summary_says_what_there_is_to_say(self) -> None:
        guest = self.hypervisor.add_guest(
            'web1', state=libvirt.VIR_DOMAIN_PAUSED, owned=True)
        guest.memory_kib = 64 * 1024

        row, = self.make_driver().list_instance_summaries()

        self.assertEqual(instance.InstanceSummary(
            uuid=guest.uuid, name='web1', state=State.PAUSED, vcpus=1,
            memory_mib=64, owned=True, display_name='web1'), row)

    def test_of_two_names_the_first_counts(self) -> None:
        """Of a domain that two versions of Nova have written to."""
        xml = handles.xml_of(name='old')
        metadata = re.search('<metadata>(.*)</metadata>', xml)
        assert metadata is not None
        newer = metadata[1].replace('nova/1.1', 'nova/1.2')
        self.hypervisor.add_guest(
            'old', uuid=handles.UUID, xml=xml.replace(
                '</metadata>', newer.replace('>old<', '>new<')
                + '</metadata>'))

        row, = self.make_driver().list_instance_summaries()

        self.assertEqual('old', row.display_name)

    def test_summary_says_whose_memory_is_on_disk(self) -> None:
        self.hypervisor.add_guest(
            'saved', state=libvirt.VIR_DOMAIN_SHUTOFF).saved = True
        self.hypervisor.add_guest('up')

        rows = self.make_driver().list_instance_summaries()

        self.assertEqual([('saved', 'suspended'), ('up', 'running')],
                         [(row.name, row.status) for row in rows])

    def test_summary_says_that_storage_has_stopped_a_guest(self) -> None:
        for reason in (libvirt.VIR_DOMAIN_PAUSED_IOERROR,
                       libvirt.VIR_DOMAIN_PAUSED_USER):
            self.hypervisor.add_guest(
                f'guest{reason}', state=libvirt.VIR_DOMAIN_PAUSED,
            ).reason = reason

        rows = self.make_driver().list_instance_summaries()

        self.assertEqual(['paused', 'paused by an I/O error'],
                         [row.status for row in rows])

    def test_summary_says_whose_a_guest_is(self) -> None:
        self.hypervisor.add_guest('ours', owned=True)
        self.hypervisor.add_guest('theirs')

        rows = self.make_driver().list_instance_summaries()

        self.assertEqual([('ours', True), ('theirs', False)],
                         [(row.name, row.owned) for row in rows])

    def test_guest_without_sizes_in_the_record_is_asked(self) -> None:
        self.hypervisor.add_guest('busy').busy = True
        self.hypervisor.add_guest('idle')
        driver = self.make_driver()
        driver.list_instance_summaries()
        rows: list[instance.InstanceSummary] = []

        calls = self.calls_of(
            lambda: rows.extend(driver.list_instance_summaries()))

        self.assertEqual([('busy', 1, 32), ('idle', 1, 32)],
                         [(row.name, row.vcpus, row.memory_mib)
                          for row in rows])
        self.assertEqual((1, 1), (calls['getAllDomainStats'], calls['info']))

    def test_guest_that_goes_away_meanwhile_has_no_sizes(self) -> None:
        self.hypervisor.add_guest('busy').busy = True
        driver = self.make_driver()
        self.hypervisor.fail_next('info', fake_libvirt.libvirt_error(
            libvirt.VIR_ERR_NO_DOMAIN, libvirt.VIR_FROM_QEMU, 'gone'))

        row, = driver.list_instance_summaries()

        self.assertEqual((None, None), (row.vcpus, row.memory_mib))

    def test_other_errors_are_translated(self) -> None:
        self.hypervisor.add_guest('busy').busy = True
        driver = self.make_driver()
        for method in ('getAllDomainStats', 'info'):
            self.hypervisor.fail_next(method, fake_libvirt.libvirt_error(
                libvirt.VIR_ERR_NO_MEMORY, libvirt.VIR_FROM_QEMU,
                'no memory'))

            error = self.assertRaises(exception.LibvirtFailure,
                                      driver.list_instance_summaries)
            self.assertIn('list the guests', str(error))

    def test_monitor_that_hangs_costs_one_deadline(self) -> None:
        stuck = self.hypervisor.add_guest('stuck')
        stuck.busy = True
        self.add_guests(1)
        driver = self.make_driver(look_timeout=1.5)

        with self.hypervisor.block('getAllDomainStats', times=1):
            rows = driver.list_instance_summaries()
            self.assertEqual(
                (stuck.uuid,), driver.connection_status().unresponsive)
            self.assertEqual(rows, driver.list_instance_summaries())

        self.assertEqual(2, len(rows))
        self.assertNotIn(None, [row.memory_mib for row in rows])
        wait_until(lambda: not driver.connection_status().unresponsive,
                   'the guest that goes on')

    def test_two_monitors_that_hang_are_done_without(self) -> None:
        stuck = self.add_guests(2)
        for guest in stuck:
            guest.busy = True
        driver = self.make_driver(look_timeout=1.5)

        with self.hypervisor.block('getAllDomainStats', times=2):
            rows = driver.list_instance_summaries()
            self.assertEqual(tuple(sorted(guest.uuid for guest in stuck)),
                             driver.connection_status().unresponsive)

        self.assertNotIn(None, [row.memory_mib for row in rows])

    def test_a_slow_answer_is_no_guest_that_hangs(self) -> None:
        self.add_guests(2)
        driver = self.make_driver(look_timeout=1.5)

        with self.hypervisor.block('getAllDomainStats', times=1):
            rows = driver.list_instance_summaries()
            self.assertEqual((), driver.connection_status().unresponsive)

        self.assertNotIn(None, [row.memory_mib for row in rows])

    def test_libvirt_that_hangs_is_no_guest_that_does(self) -> None:
        self.add_guests(1)
        driver = self.make_driver(look_timeout=0.3)

        with self.hypervisor.block('getAllDomainStats'):
            self.assertRaises(
                exception.CallTimeout, driver.list_instance_summaries)

        self.assertEqual((), driver.connection_status().unresponsive)
        wait_until(lambda: not driver.connection_status().running_calls,
                   'the abandoned call to end')
        self.assertEqual(1, len(driver.list_instance_summaries()))
