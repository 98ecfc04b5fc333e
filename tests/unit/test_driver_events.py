# SPDX-License-Identifier: Apache-2.0

"""What becomes of guests' events around a loss of the connection."""

import libvirt

from nova_libvirt_driver.spec import connection as connection_spec
from nova_libvirt_driver.spec import instance as instance_spec
from nova_libvirt_driver.testing import fake_ports
from tests.unit import test_driver_faults

wait_until = fake_ports.wait_until

_State = connection_spec.ConnectionState
_LIFECYCLE = libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE
_RESUMED = libvirt.VIR_DOMAIN_EVENT_RESUMED
_STARTED = libvirt.VIR_DOMAIN_EVENT_STARTED
_STOPPED = libvirt.VIR_DOMAIN_EVENT_STOPPED


class GapTest(test_driver_faults.FaultTestCase):
    """What becomes of guests' events around a loss."""

    def check_no_event_is_lost(self) -> None:
        rounds = 50
        for _ in range(rounds):
            self.hypervisor.emit(_LIFECYCLE, self.guest, _STOPPED, 0)
            self.hypervisor.emit(_LIFECYCLE, self.guest, _STARTED, 0)
            self.hypervisor.break_connections()
            self.driver._get_connection()

        wait_until(lambda: len(self.listener.events) >= 2 * rounds,
                   'all events')
        self.assertEqual(['stopped', 'started'] * rounds,
                         self.listener.transitions('guest'))
        self.assert_one_left()

    def test_events_before_a_loss_arrive(self) -> None:
        self.driver._get_connection()
        self.check_no_event_is_lost()

    def test_events_before_a_loss_arrive_while_supervised(self) -> None:
        self.driver.init_host('here')
        self.check_no_event_is_lost()

    def reconnect(self) -> None:
        self.hypervisor.accept_connections()
        self.wait_connected()
        self.drain()

    def drain(self) -> None:
        """Wait until a later event of another guest has come through."""
        mark = self.hypervisor.add_guest(f'mark{len(self.listener.events)}')
        self.hypervisor.emit(_LIFECYCLE, mark, _STARTED, 0)
        wait_until(lambda: self.listener.transitions(mark.name), 'the mark')
        wait_until(
            lambda: not self.driver.connection_status().queued_events,
            'all other events')

    def heard(self) -> list[tuple[str, bool]]:
        return [(str(item.transition), item.synthesized)
                for item in self.listener.events if item.name == 'guest']

    def test_restart_in_the_gap_is_a_stop_and_a_start(self) -> None:
        self.driver.init_host('here')
        self.lose()
        self.guest.id = self.hypervisor.new_id()

        self.reconnect()

        self.assertEqual([('stopped', True), ('started', True)],
                         self.heard())

    def test_transient_guest_stops_once(self) -> None:
        self.driver.init_host('here')
        self.lose()
        self.hypervisor.remove_guest(self.guest)

        self.reconnect()
        self.guest.id, self.guest.state = -1, libvirt.VIR_DOMAIN_SHUTOFF
        self.hypervisor.emit(_LIFECYCLE, self.guest, _STOPPED, 0)
        self.drain()

        self.assertEqual([('stopped', True)], self.heard())

    def start_during_the_listing(self) -> None:
        """Start the guest between the subscription and the listing."""
        with self.hypervisor.block('getAllDomainStats') as hang:
            self.hypervisor.accept_connections()
            attempt = self.start(self.driver._get_connection)
            self.assertTrue(hang.wait_entered())
            self.guest.state = libvirt.VIR_DOMAIN_RUNNING
            self.guest.id = self.hypervisor.new_id()
            for happened in (_RESUMED, _STARTED):
                self.hypervisor.emit(_LIFECYCLE, self.guest, happened, 0)
        attempt.join(5)
        self.wait_connected()
        self.drain()

    def test_start_during_the_listing_is_told_once(self) -> None:
        self.guest.id, self.guest.state = -1, libvirt.VIR_DOMAIN_SHUTOFF
        self.driver.init_host('here')
        self.lose()

        self.start_during_the_listing()

        self.assertEqual(['started'], [word for word, _ in self.heard()])

    def test_start_during_the_first_listing_is_no_resume(self) -> None:
        self.guest.id, self.guest.state = -1, libvirt.VIR_DOMAIN_SHUTOFF

        self.start_during_the_listing()

        self.assertIn(self.heard(), ([], [('started', False)]))

    def test_info_is_asked_for_when_the_listing_failed(self) -> None:
        instance = instance_spec.InstanceRef(self.guest.uuid, 'guest')
        self.driver.init_host('here')
        self.drain()
        self.driver.get_info(instance)
        self.assertEqual(0, self.calls['lookupByUUIDString'])

        self.hypervisor.fail_next(
            'getAllDomainStats', test_driver_faults.other_error())
        self.lose()
        self.guest.state = libvirt.VIR_DOMAIN_PAUSED
        self.reconnect()

        self.assertEqual(instance_spec.PowerState.PAUSED,
                         self.driver.get_info(instance).state)
        self.assertEqual(1, self.calls['lookupByUUIDString'])
