# SPDX-License-Identifier: Apache-2.0

"""The quick way to the socket, beside that of oslo.config."""

import os
import pathlib

import fixtures
from oslo_config import cfg

from nova_libvirt_driver.cli import options
from nova_libvirt_driver.cli import socket_option
from nova_libvirt_driver.compute import paths
from nova_libvirt_driver import conf as package_conf
from nova_libvirt_driver.conf import monitoring
from tests import base

PROG = socket_option.PROJECT

CLEAR = {
    'nothing': '',
    'usual': '[DEFAULT]\nhost = h1\nstate_path=/var/lib/nova\n',
    'colon': '[DEFAULT]\nhost: h2\n',
    'a comment': '# host = h1\n\n[DEFAULT]\n; host = h3\nmy_ip = 1.2.3.4\n',
    'another group': '[libvirt]\nhost = h1\nstatus_socket = /tmp/s\n',
    'the socket': '[nova_libvirt_driver]\nstatus_socket = /run/s.sock\n',
    'twice': '[nova_libvirt_driver]\nstatus_socket = /run/1\n'
             'status_socket = /run/2\n[DEFAULT]\n[nova_libvirt_driver]\n'
             'status_socket = /run/3\n',
    'references': '[DEFAULT]\nhost = h1\nstate_path = /srv/$host/x\n'
                  '[nova_libvirt_driver]\n'
                  'status_socket = ${state_path}/${host}-1.sock\n',
    'off': '[nova_libvirt_driver]\nstatus_socket = Off\n',
    'empty': '[nova_libvirt_driver]\nstatus_socket =\n',
}

UNCLEAR = {
    'a continuation': '[DEFAULT]\nhost = h1\n  h2\n',
    'quotes': '[DEFAULT]\nhost = "h1"\n',
    'a space': '[DEFAULT]\nstate_path = /my state\n',
    'an escape': '[DEFAULT]\nstate_path = /a$$b\n',
    'another option': '[DEFAULT]\nstate_path = /$my_ip\n',
    'a long name': '[DEFAULT]\nstate_path = /$host.d\n',
    'itself': '[DEFAULT]\nstate_path = /$state_path\n',
    'no group': 'host = h1\n',
    'no assignment': '[DEFAULT]\nhost\n',
    'a bad group': '[DEFAULT\nhost = h1\n',
    'another spelling of a group':
        '[Nova_Libvirt_Driver]\nstatus_socket = /run/s\n',
    'another spelling of a name': '[DEFAULT]\nstate-path = /srv\n',
    'another source': '[DEFAULT]\nconfig_source = secrets\n',
    'another file': '[DEFAULT]\nconfig_file = /etc/x.conf\n',
}


class SocketOptionTestCase(base.TestCase):

    def setUp(self) -> None:
        super().setUp()
        # No file of the machine or of the user is found.
        self.home = pathlib.Path(self.useFixture(fixtures.TempHomeDir()).path)
        self.file = self.home / 'service.conf'

    def expected(self, *arguments: str) -> str:
        """Return what oslo.config makes of it."""
        parsed = options.parser(PROG, '', '').parse_args(arguments)
        conf = cfg.ConfigOpts()
        package_conf.register_opts(conf)
        conf([f'--config-file={name}' for name in parsed.config_file],
             project=PROG, prog=PROG)
        paths.use_user_default(conf)
        return monitoring.status_socket(conf)

    def write(self, name: str, text: str) -> None:
        path = self.home / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)


class OneFileTest(SocketOptionTestCase):

    def test_usual_files_are_understood(self) -> None:
        for name, text in CLEAR.items():
            self.file.write_text(text)

            found = socket_option.path([str(self.file)], os.environ)

            self.assertEqual(
                self.expected('--config-file', str(self.file)), found, name)

    def test_of_others_nothing_is_said(self) -> None:
        for name, text in UNCLEAR.items():
            self.file.write_text(text)
            try:
                found = socket_option.path([str(self.file)], os.environ)
            except socket_option.Unclear:
                continue

            self.fail(f'{name}: {found}')

    def test_a_file_that_cannot_be_read_is_an_error(self) -> None:
        self.assertRaises(
            FileNotFoundError, socket_option.path, [str(self.file)], {})
        self.file.write_bytes(b'[DEFAULT]\nhost = \xff\n')
        self.assertRaises(
            UnicodeDecodeError, socket_option.path, [str(self.file)], {})


class SearchTest(SocketOptionTestCase):

    def test_the_usual_places_are_searched_in_their_order(self) -> None:
        self.assertEqual(self.expected(), socket_option.path([], os.environ))
        for name in ('nova-libvirt.conf', '.nova-libvirt/nova-libvirt.conf'):
            self.write(name, f'[DEFAULT]\nstate_path = /srv/{name}\n')

            found = socket_option.path([], os.environ)

            self.assertIn(f'/srv/{name}/', found)
            self.assertEqual(self.expected(), found)

    def test_files_of_a_folder_come_after_the_usual_one(self) -> None:
        text = '[DEFAULT]\nhost = h1\nstate_path = /srv\n'
        self.write('nova-libvirt.conf', text)
        self.file.write_text(text)
        for name in ('2.conf', '1.conf', '3.txt', '.4.conf'):
            self.write(f'nova-libvirt.conf.d/{name}',
                       f'[DEFAULT]\nhost = {name}\n')

        usual = socket_option.path([], os.environ)
        named = socket_option.path([str(self.file)], os.environ)

        self.assertEqual('/srv/nova-libvirt-2.conf.sock', usual)
        self.assertEqual(self.expected(), usual)
        self.assertEqual('/srv/nova-libvirt-h1.sock', named)
        self.assertEqual(
            self.expected('--config-file', str(self.file)), named)

    def test_values_in_the_environment_are_left_to_others(self) -> None:
        for name in ('OS_DEFAULT__STATE_PATH', 'SNAP_COMMON',
                     'OS_NOVA_LIBVIRT_DRIVER__STATUS_SOCKET'):
            self.assertRaises(
                socket_option.Unclear, socket_option.path, [], {name: '/x'})

    def test_users_and_root_have_folders_of_their_own(self) -> None:
        for user in (0, 1000):
            self.useFixture(fixtures.MonkeyPatch('os.geteuid', lambda: user))

            self.assertEqual(
                self.expected(), socket_option.path([], os.environ))
