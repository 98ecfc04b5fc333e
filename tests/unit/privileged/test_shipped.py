# SPDX-License-Identifier: Apache-2.0

"""The files that give a service its rights let it do just one thing."""

import configparser
import pathlib
import re

from nova_libvirt_driver.privileged import context
from nova_libvirt_driver.spec import status_socket
from tests import base

FOLDER = pathlib.Path(__file__).parents[3] / 'etc/nova_libvirt_driver'
SOCKET = '/tmp/tmpab_1x9/privsep.sock'
CONTEXT = 'nova_libvirt_driver.privileged.context.CONTEXT'


def words(*files: str, name: str = CONTEXT, sock: str = SOCKET) -> list[str]:
    """Return the arguments of a privsep-helper."""
    given = [word for file in files for word in ('--config-file', file)]
    return [*given, '--privsep_context', name, '--privsep_sock_path', sock]


class RootwrapTest(base.TestCase):

    def allows(self, arguments: list[str]) -> bool:
        """Say whether a filter matches, as oslo.rootwrap does it."""
        parser = configparser.RawConfigParser(strict=True)
        parser.read(FOLDER / 'rootwrap.d/nova-libvirt-driver.filters')
        for _, value in parser.items('Filters'):
            kind, program, user, *patterns = (
                word.strip() for word in value.split(','))
            self.assertEqual(('RegExpFilter', 'privsep-helper', 'root'),
                             (kind, program, user))
            given = ['privsep-helper', *arguments]
            if len(patterns) == len(given) and all(
                    re.match(f'{pattern}$', word) for pattern, word
                    in zip(patterns, given, strict=True)):
                return True
        return False

    def test_nova_compute_starts_the_process(self) -> None:
        self.assertEqual(CONTEXT, context.CONTEXT.pypath)
        self.assertTrue(self.allows(words('/etc/nova/nova.conf')))
        self.assertTrue(self.allows(
            words('/etc/nova/nova.conf', '/etc/nova/nova-compute.conf')))

    def test_nothing_else_is_started(self) -> None:
        for arguments in (
                words('/tmp/nova.conf'), words('/etc/../tmp/nova.conf'),
                words('/etc/nova/nova.conf', '/home/x.conf'), words(),
                words('/etc/nova/nova.conf', name='os.system'),
                words('/etc/nova/nova.conf', name=f'x.{CONTEXT}'),
                words('/etc/nova/nova.conf', sock='/run/sock'),
                [*words('/etc/nova/nova.conf'), '--config-file', '/x']):
            self.assertFalse(self.allows(arguments), arguments)


class SudoTest(base.TestCase):

    def setUp(self) -> None:
        super().setUp()
        text = (FOLDER / 'sudoers.d/nova-libvirt').read_text()
        self.rules = [line for line in text.splitlines()
                      if 'NOPASSWD' in line]

    def allows(self, arguments: list[str]) -> bool:
        """Say whether the rule matches, as sudo does it."""
        [rule] = self.rules
        pattern = re.search(r' (\^.*\$)$', rule)
        assert pattern is not None
        return re.search(pattern[1], ' '.join(arguments)) is not None

    def test_the_service_starts_the_process(self) -> None:
        self.assertTrue(self.allows(
            words('/etc/nova-libvirt/nova-libvirt.conf')))

    def test_nothing_else_is_started(self) -> None:
        own = '/etc/nova-libvirt/nova-libvirt.conf'
        for arguments in (
                words('/tmp/x.conf'), words(own, '/tmp/x.conf'), words(),
                words(own, name='os.system'),
                words(own, sock='/tmp/../etc/privsep.sock'),
                words(own, sock=f'/tmp/x --config-file /x {SOCKET}'),
                [*words(own), '--config-file', '/tmp/x.conf']):
            self.assertFalse(self.allows(arguments), arguments)


class UnitTest(base.TestCase):

    def test_the_unit_grants_what_the_process_needs(self) -> None:
        parser = configparser.RawConfigParser(strict=True)
        parser.optionxform = str  # type: ignore[assignment,method-assign]
        parser.read(FOLDER / 'systemd/nova-libvirt-compute.service')
        service = dict(parser.items('Service'))

        for name in ('AmbientCapabilities', 'CapabilityBoundingSet'):
            self.assertEqual(
                'CAP_CHOWN CAP_DAC_READ_SEARCH', service[name])
        self.assertEqual('yes', service['NoNewPrivileges'])

    def test_guests_outlive_the_service(self) -> None:
        text = (FOLDER / 'systemd/nova-libvirt-compute.service').read_text()

        self.assertIn('\nKillMode=process\n', text)

    def test_the_user_and_the_folders_are_those_of_the_unit(self) -> None:
        users = (FOLDER / 'sysusers.d/nova-libvirt.conf').read_text()
        folders = (FOLDER / 'tmpfiles.d/nova-libvirt.conf').read_text()

        self.assertIn('\nu nova-libvirt - ', users)
        self.assertIn(f'\nd {status_socket.STATE_PATH} 0751 nova-libvirt ',
                      folders)
