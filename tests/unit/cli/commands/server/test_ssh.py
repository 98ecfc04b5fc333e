# SPDX-License-Identifier: Apache-2.0

"""Logging in to servers with ssh, and waiting until that can be."""

import os
import pathlib
import shutil
import socket
import subprocess
import sys
import threading
import time
import typing

import fixtures

from nova_libvirt_driver.cli.commands.server import waiting
from nova_libvirt_driver.cli import ssh_wait
from nova_libvirt_driver import ports
from nova_libvirt_driver.spec import guest as guest_spec
from nova_libvirt_driver.spec import nic as nic_spec
from nova_libvirt_driver.testing import specs
from tests import base as tests_base
from tests import free_ports
from tests.unit.cli import base

FOUND = nic_spec.FoundAddress(address='192.0.2.7', source='lease')
CARD = nic_spec.NicSpec(mac='52:54:00:00:00:01', source='default')


class SshTestCase(base.ServerTestCase):
    """A test that replaces its process by one that prints its words.

    :ivar run_ssh: replaces the call that would replace the process
    """

    def setUp(self) -> None:
        super().setUp()
        self.run_ssh = self.useFixture(
            fixtures.MockPatchObject(os, 'execvp')).mock
        real = shutil.which('ssh')
        self.assertIsNotNone(real, 'install openssh-client')
        path = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        (path / 'ssh').write_text(
            f'#!/bin/sh\n[ "$1" = -G ] && exec {real} "$@"\n'
            "printf '%s\\n' \"$@\"\n")
        (path / 'ssh').chmod(0o755)
        self.useFixture(fixtures.EnvironmentVariable(
            'PATH', f'{path}:{os.environ["PATH"]}'))

    def forwarding(
            self, port: int, address: str = '127.0.0.1',
    ) -> guest_spec.GuestSpec:
        """Return a server whose ssh a port of this host leads to."""
        spec = specs.guest_spec('web', nics=(nic_spec.NicSpec(
            mac='52:54:00:00:00:01', kind=nic_spec.NicKind.USER,
            forwards=(nic_spec.PortForward(
                host_port=80, guest_port=80), nic_spec.PortForward(
                host_port=port, guest_port=22, address=address))),))
        self.driver.spawn(spec)
        return spec

    def called(self, *words: str) -> list[str]:
        """Type a command; return what takes the place of the process."""
        self.run_ssh.reset_mock()
        result = self.type('server', 'ssh', *words)
        self.assertEqual(0, result.code, result.stderr)
        (program, arguments), = (call.args for call in (
            self.run_ssh.call_args_list))
        self.assertEqual(program, arguments[0])
        return list(arguments)


class CommandTest(SshTestCase):

    def test_ssh_is_run_for_a_known_address(self) -> None:
        uuid, _ = self.have('web1', 'web2')
        self.driver.found_addresses[uuid] = [FOUND]

        self.assertEqual(
            ['ssh', '-l', 'debian', '192.0.2.7', '-v',
             f'-oHostKeyAlias={uuid}', 'id'],
            self.called('web1', '--user', 'debian', '--no-wait', '--', '-v',
                        'id'))
        other = self.type('server', 'ssh', 'web2', '--no-wait')

        self.assertEqual(4, other.code)
        self.assertIn('no address of server web2', other.stderr)

    def test_a_forwarded_port_is_taken(self) -> None:
        first = ['-oStrictHostKeyChecking=accept-new']
        for host, address, checked in (
                ('192.0.2.1', '192.0.2.1', []),
                ('0.0.0.0', '127.0.0.1', first)):
            spec = self.forwarding(2222, host)

            self.assertEqual(
                ['ssh', address, f'-oHostKeyAlias={spec.uuid}', *checked,
                 '-p', '2222'], self.called(spec.uuid, '--no-wait'))
            self.assertEqual([80, 2222], [
                one['host_port'] for one in self.answer(
                    'server', 'show', spec.uuid)['forwards']])

    def test_options_that_are_given_count(self) -> None:
        spec = self.forwarding(2222)
        ours = [f'-oHostKeyAlias={spec.uuid}',
                '-oStrictHostKeyChecking=accept-new', '-p', '2222']
        # Of an option that is given twice, ssh takes the first.
        for options, command in (
                (['-o', 'StrictHostKeyChecking=ask', '-vp', '2022'], ['id']),
                (['-vi/key', '-4', '-L', '1:here:2'], ['-']),
                (['-v'], ['--', 'id', '-v']),
                (['-o'], []),
                ([], ['grep', '-F', '-oHostKeyAlias', 'x'])):
            self.assertEqual(
                ['ssh', '127.0.0.1', *options, *ours, *command], self.called(
                    spec.uuid, '--no-wait', '--', *options, *command))


class WaitTest(SshTestCase):

    def assert_waits(self, *words: str) -> list[str]:
        """Check that a program waits, and calls ssh; return its words."""
        found = self.called(*words)
        self.assertEqual([sys.executable, '-I', '-S', ssh_wait.__file__],
                         found[:4])
        self.assertEqual('ssh', found[8])
        return found

    def test_it_waits_in_a_process_without_the_hypervisor(self) -> None:
        listening = socket.create_server(('127.0.0.1', 0))
        self.addCleanup(listening.close)
        port = listening.getsockname()[1]
        spec = self.forwarding(port)
        words = self.assert_waits(spec.uuid, '--', 'id', '-p', '1')
        self.assertEqual(
            ['127.0.0.1', str(port), '120', spec.name], words[4:8])

        with subprocess.Popen(words, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True) as process:
            caller = listening.accept()[0]
            self.assertIsNone(process.poll())
            caller.send(b'SSH-2.0-OpenSSH')
            printed, told = process.communicate()
            caller.close()

        self.assertEqual('', told)
        self.assertEqual(words[9:], printed.splitlines())

    def test_ssh_is_called_in_the_end_all_the_same(self) -> None:
        port = free_ports.first_of(1)
        spec = self.forwarding(port)
        words = self.assert_waits('--timeout', '1', spec.uuid)
        quiet = self.assert_waits('-q', '--timeout', '1', spec.uuid)

        done, silent = (subprocess.run(
            each, capture_output=True, text=True, check=True)
            for each in (words, quiet))

        self.assertEqual(words[9:], done.stdout.splitlines())
        self.assertEqual(
            f'note: {spec.name} has not answered at 127.0.0.1 port {port} '
            'within 1 s; ssh is tried all the same\n', done.stderr)
        self.assertEqual('', silent.stderr)

    def test_what_only_ssh_knows_is_not_waited_for(self) -> None:
        spec = self.forwarding(2222)
        for number, line in enumerate((
                'ProxyJump bastion', 'ProxyCommand nc %h %p',
                'HostName 192.0.2.9')):
            path = self.file(f'config{number}', f'Host 127.*\n  {line}\n')
            self.assertEqual('ssh', self.called(
                spec.uuid, '--', '-F', path)[0])
        for words in (['-p', '2022'], ['-vp', '2022'], ['-oPort=2022'],
                      ['-Jother'], ['-o', 'ProxyJump=other'],
                      ['-oHostName=x'], ['-o', 'NoSuchOption=1']):
            self.assertEqual(
                'ssh', self.called(spec.uuid, '--', *words)[0])
        for words in (['mkdir', '-p', '/x'], ['-v', 'portmap'],
                      ['grep', '-F', 'x', '-J'], ['-p', '2222']):
            self.assert_waits(spec.uuid, '--', *words)

    def test_a_server_elsewhere_or_stopped_is_not_waited_for(self) -> None:
        spec = self.forwarding(2222)
        self.assert_waits(spec.uuid)
        self.driver.hypervisor_uri = 'qemu+ssh://other/system'
        self.assertEqual('ssh', self.called(spec.uuid)[0])
        self.driver.hypervisor_uri = 'qemu:///system'
        self.type('server', 'stop', spec.uuid)
        self.assertEqual('ssh', self.called(spec.uuid)[0])


class AddressTest(SshTestCase):

    def setUp(self) -> None:
        super().setUp()
        self.asked = 0
        self.answers: list[list[nic_spec.FoundAddress]] = []
        self.driver.look_for_addresses = lambda instance: self._addresses()

    def _addresses(self) -> list[nic_spec.FoundAddress]:
        self.asked += 1
        return self.answers.pop(0) if self.answers else []

    def server(self, *cards: nic_spec.NicSpec) -> str:
        spec = specs.guest_spec('web', nics=cards)
        self.driver.spawn(spec)
        return spec.uuid

    def test_an_address_is_waited_for(self) -> None:
        uuid = self.server(CARD)
        self.answers = [[], [FOUND]]

        self.assertIn('192.0.2.7', self.called(uuid, '--', '-p', '2022'))

    def test_libvirt_is_asked_once_a_second(self) -> None:
        self.server(CARD)
        now, driver = [0.0], typing.cast(typing.Any, self.driver)

        def sleep(seconds: float) -> None:
            now[0] += seconds

        found = waiting.addresses(
            driver, self.driver.instances[0], ports.NullProgress(),
            timeout_s=9.5, clock=waiting.Clock(lambda: now[0], sleep))

        self.assertEqual(([], 9.5, 11), (found, now[0], self.asked))

    def test_one_that_cannot_come_is_not(self) -> None:
        user = nic_spec.NicSpec(
            mac='52:54:00:00:00:02', kind=nic_spec.NicKind.USER)
        for cards in ((), (user,)):
            self.asked = 0
            result = self.type('server', 'ssh', self.server(*cards))

            self.assertEqual((4, 1), (result.code, self.asked))
        # As its agent says.
        self.answers = [[nic_spec.FoundAddress(
            address='10.0.2.15', source='agent', mac=user.mac.upper())]]
        self.assertEqual(
            4, self.type('server', 'ssh', self.server(user)).code)

    def test_others_are_not_kept_from_an_embedded_hypervisor(self) -> None:
        self.driver.hypervisor_uri = 'qemu:///embed?root=/x'

        result = self.type('server', 'ssh', self.server(CARD))

        self.assertEqual((4, 1), (result.code, self.asked))

    def test_one_of_a_server_that_stops_is_not_waited_for(self) -> None:
        uuid = self.server(CARD)

        def stop() -> list[nic_spec.FoundAddress]:
            self.asked += 1
            if self.asked == 2:
                self.driver.power_off(self.driver.instances[0])
            return []

        self.driver.look_for_addresses = lambda instance: stop()

        result = self.type('server', 'ssh', uuid)

        self.assertEqual((4, 2), (result.code, self.asked))


class AnswerTest(tests_base.TestCase):
    """Of a real port of this host."""

    def setUp(self) -> None:
        super().setUp()
        self.listening = socket.create_server(('127.0.0.1', 0))
        self.addCleanup(self.listening.close)
        self.port = self.listening.getsockname()[1]
        self.callers: list[socket.socket] = []

    def serve(self, *banners_after_s: float | None) -> None:
        """Take so many calls; close one for None, else say something."""
        for after_s in banners_after_s:
            caller = self.listening.accept()[0]
            self.callers.append(caller)
            if after_s is None:
                caller.close()
            else:
                time.sleep(after_s)
                caller.send(b'SSH-2.0-OpenSSH')

    def answers(self, timeout_s: float, *banners: float | None) -> bool:
        thread = threading.Thread(target=self.serve, args=banners)
        thread.start()
        found = ssh_wait.answers(
            '127.0.0.1', self.port, timeout_s=timeout_s)
        thread.join()
        for caller in self.callers:
            caller.close()
        return found

    def test_a_slow_guest_is_called_once(self) -> None:
        self.assertTrue(self.answers(9.0, 2.5))

        self.listening.settimeout(0.0)
        self.assertRaises(BlockingIOError, self.listening.accept)

    def test_one_that_hangs_up_is_called_again_after_a_second(self) -> None:
        begun = time.monotonic()

        # QEMU takes the first call before the guest is up.
        self.assertTrue(self.answers(9.0, None, 0.0))

        self.assertGreaterEqual(time.monotonic() - begun, 1.0)

    def test_each_call_ends_with_the_time(self) -> None:
        begun = time.monotonic()

        self.assertFalse(ssh_wait.answers(
            '127.0.0.1', self.port, timeout_s=0.3))

        self.assertLess(time.monotonic() - begun, 20.0)
