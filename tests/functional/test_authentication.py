# SPDX-License-Identifier: Apache-2.0

"""Credentials: given to libvirt from the options, refused, wrong."""

import pathlib
import tempfile

from nova_libvirt_driver import exception
from nova_libvirt_driver.testing import fixtures
from tests.functional import base

_NODE = """
<node>
  <cpu><mhz>1000</mhz><model>i686</model></cpu>
  <memory>4194304</memory>
  <auth><user password='sesame'>operator</user></auth>
</node>
"""


class TestHypervisorTest(base.DriverTestCase):
    """libvirt's own test hypervisor asks for a name and a password."""

    def setUp(self) -> None:
        super().setUp()
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        node = pathlib.Path(folder.name, 'node.xml')
        node.write_text(_NODE)
        self.uri = f'test://{node}'

    def test_configured_credentials_are_accepted(self) -> None:
        driver = self.make_driver(
            self.uri, auth_username='operator', auth_password='sesame')

        self.assertEqual([], driver.list_instances())

    def test_wrong_password_is_refused_without_showing_it(self) -> None:
        driver = self.make_driver(
            self.uri, auth_username='operator', auth_password='canary')

        error = self.assertRaises(
            exception.HypervisorUnavailable, driver.list_instances)

        self.assertIn('authentication failed', str(error))
        self.assertIn('auth_password', error.next_step)
        told = str(error) + str(self.notifier.errors) + self.log.output
        self.assertNotIn('canary', told)

    def test_without_credentials_it_says_what_is_missing(self) -> None:
        driver = self.make_driver(self.uri)

        error = self.assertRaises(
            exception.HypervisorUnavailable, driver.list_instances)

        self.assertIn('a user name and none is configured', str(error))
        self.assertFalse(self.service_state.enabled)


class DaemonTest(base.DriverTestCase):

    def test_a_daemon_that_wants_sasl_refuses_us_clearly(self) -> None:
        host = self.useFixture(fixtures.PrivateHost(
            'sasl', libvirtd={'auth_unix_rw': 'sasl'})).host
        driver = self.make_driver(host.uri)

        error = self.assertRaises(
            exception.HypervisorUnavailable, driver.list_instances)

        self.assertIn('authentication', str(error))
        self.assertIn('auth_username', error.next_step)
        self.assertEqual(['compute.libvirt.error'],
                         [kind for kind, _ in self.notifier.errors])


class WrongUriTest(base.DriverTestCase):

    def test_each_wrong_uri_names_itself_and_what_to_do(self) -> None:
        cases = {
            'qemu+unix:///system?socket=/nonexistent/socket':
                'start the libvirt daemon',
            'test:///nonexistent/node.xml': '[libvirt] connection_uri',
            'qemu+nosuchtransport:///system': '[libvirt] connection_uri',
            'qemu+tcp://127.0.0.1:1/system': 'start the libvirt daemon',
        }
        for uri, advice in cases.items():
            driver = self.make_driver(uri)

            error = self.assertRaises(
                exception.HypervisorUnavailable, driver.list_instances)

            self.assertIn(uri, str(error))
            self.assertIn(advice, error.next_step, uri)
