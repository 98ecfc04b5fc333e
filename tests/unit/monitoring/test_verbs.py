# SPDX-License-Identifier: Apache-2.0

from nova_libvirt_driver import exception
from nova_libvirt_driver.monitoring import verbs
from nova_libvirt_driver.testing import fake_driver
from tests import base
from tests.unit.monitoring import values


class VerbsTest(base.TestCase):

    def setUp(self) -> None:
        super().setUp()
        self.driver = fake_driver.FakeDriver()
        self.observer = values.RecordingObserver()

    def test_a_verb_is_told_with_its_outcome(self) -> None:
        verbs.measure(self.driver, self.observer)

        found = self.driver.list_instances()
        self.driver.connected = False
        self.assertRaises(exception.HypervisorUnavailable,
                          self.driver.get_host_facts)

        self.assertTrue(found)
        self.assertEqual(
            [('list_instances', 'ok'),
             ('get_host_facts', 'HypervisorUnavailable')],
            self.observer.verbs)

    def test_arguments_and_results_go_through(self) -> None:
        plain = self.driver.get_available_resource('node1')

        verbs.measure(self.driver, self.observer)

        self.assertEqual(
            plain, self.driver.get_available_resource(nodename='node1'))

    def test_its_end_leaves_the_driver_as_it_was(self) -> None:
        before = dict(vars(self.driver))
        end = verbs.measure(self.driver, self.observer)

        end()

        self.driver.list_instances()
        self.assertEqual(before, vars(self.driver))
        self.assertEqual([], self.observer.verbs)

    def test_what_changes_guests_is_measured(self) -> None:
        for name in ('spawn', 'destroy', 'power_on', 'power_off', 'reboot',
                     'rescue', 'snapshot', 'get_available_resource'):
            self.assertIn(name, verbs.NAMES)
        for name in ('init_host', 'cleanup_host', 'holding_tpm_secret'):
            self.assertNotIn(name, verbs.NAMES)
