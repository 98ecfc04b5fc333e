# SPDX-License-Identifier: Apache-2.0

from collections.abc import Callable

from nova_libvirt_driver import base as driver_base
from nova_libvirt_driver import exception
from nova_libvirt_driver.spec import event
from nova_libvirt_driver.spec import instance
from nova_libvirt_driver.testing import fake_ports
from tests import base

GUEST = instance.InstanceRef('a uuid', 'web1')
EVENT = event.LifecycleEvent(
    uuid='a uuid', name='web1', generation=1, timestamp=0.0,
    transition=event.Transition.STARTED)


class Named(driver_base.ComputeDriver):
    """A driver that knows its guests and nothing else."""

    def list_instance_uuids(self) -> list[str]:
        return ['a uuid', 'another']


class Cut(driver_base.ComputeDriver):
    """A driver that cannot ask its hypervisor."""

    def list_instance_uuids(self) -> list[str]:
        raise exception.HypervisorUnavailable(host='here')


class ContractTest(base.TestCase):

    def test_verb_that_is_missing_says_so(self) -> None:
        driver = driver_base.ComputeDriver()
        verbs: tuple[Callable[[], object], ...] = (
            lambda: driver.init_host('here'),
            lambda: driver.get_info(GUEST),
            driver.list_instances,
            driver.list_instance_uuids,
            driver.list_instance_summaries,
            driver.get_num_instances,
            lambda: driver.instance_exists(GUEST),
            driver.get_available_nodes,
            lambda: driver.get_available_resource('node'),
            driver.get_host_facts,
            driver.get_host_ip_addr,
            driver.get_host_uptime,
        )
        for verb in verbs:
            self.assertRaises(NotImplementedError, verb)

    def test_nothing_has_to_be_cleaned_up(self) -> None:
        driver_base.ComputeDriver().cleanup_host('here')

    def test_capability_that_nobody_claims_is_missing(self) -> None:
        self.assertEqual({}, dict(driver_base.ComputeDriver.capabilities))

    def test_guests_are_counted_by_their_uuids(self) -> None:
        self.assertEqual(2, Named().get_num_instances())

    def test_guest_exists_by_its_uuid_not_its_name(self) -> None:
        for uuid, wanted in (('a uuid', True), ('web1', False)):
            self.assertEqual(wanted, Named().instance_exists(
                instance.InstanceRef(uuid, 'web1')))

    def test_no_guest_is_missing_because_nobody_can_say(self) -> None:
        for verb in (lambda: Cut().instance_exists(GUEST),
                     Cut().get_num_instances):
            self.assertRaises(exception.HypervisorUnavailable, verb)


class ListenerTest(base.TestCase):

    def setUp(self) -> None:
        super().setUp()
        self.driver = driver_base.ComputeDriver()
        self.listener = fake_ports.RecordingListener()

    def test_event_without_a_listener_is_lost_in_silence(self) -> None:
        self.driver.emit_event(EVENT)

    def test_listener_is_told(self) -> None:
        self.driver.register_event_listener(self.listener)

        self.driver.emit_event(EVENT)

        self.assertEqual([EVENT], self.listener.events)

    def test_last_listener_is_the_only_one(self) -> None:
        other = fake_ports.RecordingListener()
        for listener in (self.listener, other, None):
            self.driver.register_event_listener(listener)
            self.driver.emit_event(EVENT)

        self.assertEqual(([EVENT], [EVENT]),
                         (self.listener.events, other.events))

    def test_error_of_the_listener_is_its_own(self) -> None:
        def listener(item: event.LifecycleEvent) -> None:
            raise ValueError('a fault of the listener')

        self.driver.register_event_listener(listener)

        self.assertRaises(ValueError, self.driver.emit_event, EVENT)
