# SPDX-License-Identifier: Apache-2.0

"""Who is told of calls into libvirt, and of which."""

from nova_libvirt_driver.connection import calls
from nova_libvirt_driver.connection import observation
from nova_libvirt_driver import exception
from nova_libvirt_driver.testing import fake_libvirt
from tests import base
from tests.unit.monitoring import values
from tests.unit import test_driver


class ObservationTest(base.TestCase):

    def setUp(self) -> None:
        super().setUp()
        self.observer = values.RecordingObserver()
        self.observation = observation.Observation()

    def test_with_nobody_to_tell_a_call_is_just_made(self) -> None:
        self.assertEqual(3, self.observation.call('count', lambda: 3))

    def test_the_outcome_is_the_class_of_the_error(self) -> None:
        self.observation.observer = self.observer

        self.assertEqual(3, self.observation.call('count', lambda: 3))
        self.assertRaises(
            ZeroDivisionError, self.observation.call, 'split',
            lambda: 1 // 0)

        self.assertEqual([('count', 'ok'), ('split', 'ZeroDivisionError')],
                         self.observer.calls)

    def test_a_call_that_hangs_is_told_of_when_its_caller_gives_up(
            self) -> None:
        runner = calls.make(host='here', limit=4)
        runner.observation.observer = self.observer
        hang = fake_libvirt.FakeHypervisor().block('getInfo')
        self.addCleanup(hang.release)

        self.assertRaises(
            exception.CallTimeout, runner.run, hang.hang,
            name='the call to count', timeout_s=0.1)

        self.assertEqual([('count', 'CallTimeout')], self.observer.calls)


class DriverObservationTest(test_driver.DriverTestCase):

    def setUp(self) -> None:
        super().setUp()
        self.observer = values.RecordingObserver()

    def test_calls_of_every_kind_are_told(self) -> None:
        self.driver.observe_calls(self.observer)

        self.driver.list_instances()
        self.driver.get_host_facts()

        self.assertEqual(
            {'opening a connection', 'setting up a connection',
             'setting keepalive', 'list the guests',
             'read the facts of the host'},
            {name for name, _ in self.observer.calls})
        self.assertEqual(
            {'ok'}, {outcome for _, outcome in self.observer.calls})

    def test_nobody_is_told_any_more(self) -> None:
        self.driver.observe_calls(self.observer)
        self.driver.observe_calls(None)

        self.driver.list_instances()

        self.assertEqual([], self.observer.calls)
