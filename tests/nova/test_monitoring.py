# SPDX-License-Identifier: Apache-2.0

"""Whoever asks how nova-compute is gets an answer of the driver."""

import tempfile
import unittest
from unittest import mock

from nova import config
from nova import exception as nova_exception
from nova import objects

from nova_libvirt_driver.monitoring import inquiry
from nova_libvirt_driver.nova_plugin import driver
from nova_libvirt_driver.nova_plugin import errors
from nova_libvirt_driver.testing import fake_libvirt

GROUP = 'nova_libvirt_driver'
TIMEOUT_S = 10.0


class MonitoringTest(unittest.TestCase):

    def setUp(self) -> None:
        super().setUp()
        # Options of ours are there once a driver was made.
        driver.NovaLibvirtDriver(None)
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.path = f'{folder.name}/status.sock'
        self.override('status_socket', self.path)
        for patch in (
                mock.patch('libvirt.openAuth',
                           fake_libvirt.FakeHypervisor().open_auth),
                # There is no database.
                mock.patch.object(objects.InstanceList, 'get_by_host',
                                  autospec=True, return_value=[])):
            patch.start()
            self.addCleanup(patch.stop)

    def override(self, name: str, value: object) -> None:
        config.CONF.set_override(name, value, GROUP)
        self.addCleanup(config.CONF.clear_override, name, GROUP)

    def test_it_answers_from_init_host_to_cleanup_host(self) -> None:
        made = driver.NovaLibvirtDriver(None)
        self.addCleanup(made.cleanup_host, 'here')
        made.init_host('here')

        asked = inquiry.ask(self.path, TIMEOUT_S)
        made.cleanup_host('here')

        self.assertEqual('healthy', asked['health']['verdict'])
        self.assertRaises(
            inquiry.Absent, inquiry.ask, self.path, TIMEOUT_S)

    def test_metrics_without_their_package_are_refused(self) -> None:
        self.override('metrics_port', 9177)
        made = driver.NovaLibvirtDriver(None)
        self.addCleanup(made.cleanup_host, 'here')

        with (mock.patch('importlib.util.find_spec', lambda name: None),
              self.assertLogs(errors.LOG.logger, 'ERROR') as logs,
              self.assertRaises(nova_exception.InvalidConfiguration)):
            made.init_host('here')

        self.assertIn('[metrics]', '\n'.join(logs.output))
