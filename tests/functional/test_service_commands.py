# SPDX-License-Identifier: Apache-2.0

"""Commands that the running service carries out, on an embedded QEMU.

The service has the hypervisor in its own process, so that no command could
open it beside the service.
"""

import contextlib
import fcntl
import json
import os
import pathlib
import pty
import re
import signal
import socket
import subprocess
import sys
import termios
import time
from typing import Any

import fixtures

from nova_libvirt_driver.testing import fake_ports
from nova_libvirt_driver.testing import guests
from nova_libvirt_driver.testing import linux_guest
from tests import free_ports
from tests.functional import process

COMMANDS = 20
STARTED_S = 180
DISK_MIB = 48
NONE = ('--flavor', 'nano', '--network', 'none')


class CommandTestCase(process.ServiceTestCase):

    def setUp(self) -> None:
        super().setUp()
        self.configure()
        self.addCleanup(self._remove_guests)
        path = pathlib.Path(self.folder, 'hello.raw')
        path.write_bytes(guests.boot_sector('hello is up').ljust(
            1 << 20, b'\0'))
        self.answer('image', 'add', str(path))

    def configure(self, *lines: str) -> str:
        root = os.path.join(self.state_path, 'qemu')
        return super().configure(
            *lines, '[libvirt]', f'connection_uri = qemu:///embed?root={root}',
            'virt_type = qemu', 'tb_cache_size = 32')

    def start(self) -> process.Service:
        service = self.run_configured()
        service.wait_for('connected to qemu:///embed')
        return service

    def answer(self, *words: str) -> Any:
        """Run a command that must succeed; return its JSON."""
        done = self.run_client(*words, '-f', 'json')
        self.assertEqual((0, ''), (done.returncode, done.stderr))
        return json.loads(done.stdout)

    def begin(self, *words: str) -> 'subprocess.Popen[str]':
        """Start a command, and go on."""
        begun = subprocess.Popen(
            [*self.client_command(), *words], text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.addCleanup(begun.wait)
        self.addCleanup(begun.kill)
        return begun

    def states(self) -> dict[str, str]:
        return {row['Name']: row['Status']
                for row in self.answer('server', 'list')}

    def folders(self) -> list[str]:
        """Return the ids of the instances that have files."""
        return [path.name for path in pathlib.Path(
            self.state_path, 'instances').glob('*-*-*-*-*')]

    def _remove_guests(self) -> None:
        for state in pathlib.Path(
                self.state_path, 'qemu', 'run', 'qemu').glob('*.pid'):
            if state.name != 'driver.pid':
                os.kill(int(state.read_text()), signal.SIGKILL)


class LifeTest(CommandTestCase):

    def test_the_service_does_what_commands_ask_for(self) -> None:
        self.start()

        made = self.answer('server', 'create', 'web1', '--image', 'hello',
                           *NONE, '--wait=serial:is up')
        log = self.run_client('server', 'console', 'log', 'web1')
        self.answer('server', 'stop', 'web1')
        stopped = self.states()
        self.answer('server', 'start', 'web1')
        self.answer('server', 'snapshot', 'web1', '--name', 'monday')
        self.answer('server', 'delete', 'web1', '--yes')

        self.assertEqual('running', made['status'])
        self.assertEqual(('hello is up\n', ''), (log.stdout, log.stderr))
        self.assertEqual({'web1': 'shutdown'}, stopped)
        self.assertEqual({'hello', 'monday'}, {
            row['Name'] for row in self.answer('image', 'list')})
        self.assertEqual([], self.folders())

    def test_errors_are_those_of_a_command_without_a_service(self) -> None:
        self.start()

        for words, code, text in (
                (('show', 'web9'), 3, 'was not found'),
                (('create', 'web1', '--image', 'hello', *NONE, '--machine',
                  'none-such'), 1, "machine 'none-such' is not supported")):
            done = self.run_client('server', *words)

            self.assertEqual(code, done.returncode, done.stderr)
            self.assertIn(text, done.stderr)

    def test_another_hypervisor_can_be_named(self) -> None:
        self.start()

        done = self.run_client(
            '--uri', 'test:///default', 'server', 'list', '--all')

        self.assertEqual((0, ''), (done.returncode, done.stderr))
        self.assertIn(' test ', done.stdout)

    def test_a_disabled_host_takes_no_server(self) -> None:
        self.start()
        self.answer('service', 'disable', '--reason', 'new disks')

        done = self.run_client('server', 'create', 'web1', '--image',
                               'hello', *NONE)

        self.assertEqual(4, done.returncode)
        self.assertIn('takes no new servers: new disks', done.stderr)

    def test_doctor_asks_through_the_service(self) -> None:
        self.start()

        done = self.run_client('doctor')

        self.assertNotEqual(2, done.returncode, done.stdout)
        self.assertRegex(done.stdout, 'connection +qemu:///embed.* answers '
                         'through the service')

    def test_an_interrupted_command_leaves_nothing(self) -> None:
        self.start()
        path = pathlib.Path(self.folder, 'large.raw')
        path.write_bytes(b'x' * 510 + b'\x55\xaa' + os.urandom(
            DISK_MIB << 20))
        self.answer('image', 'add', str(path))
        create = self.begin('server', 'create', 'web1', '--image', 'large',
                            *NONE)
        fake_ports.wait_until(
            lambda: bool(self.folders()) or create.poll() is not None,
            'the folder of the instance', timeout_s=STARTED_S)

        create.send_signal(signal.SIGINT)
        _, said = create.communicate(timeout=STARTED_S)

        if create.returncode == 0:
            # It had ended before it was interrupted.
            self.assertEqual({'web1': 'running'}, self.states())
            return
        self.assertEqual(130, create.returncode, said)
        if 'before it could be cancelled' not in said:
            self.assertIn('nothing of server web1 is left', said)
            self.assertEqual(({}, []), (self.states(), self.folders()))


class ManyTest(CommandTestCase):

    def test_many_commands_at_once_all_end_well(self) -> None:
        self.start()

        begun = {name: self.begin(
            'server', 'create', name, '--image', 'hello', *NONE)
            for name in (f'web{number}' for number in range(COMMANDS))}
        said = {name: one.communicate(timeout=600)[1]
                for name, one in begun.items()}

        self.assertEqual({}, {
            name: said[name] for name, one in begun.items()
            if one.returncode})
        self.assertEqual(dict.fromkeys(begun, 'running'), self.states())
        self.answer('server', 'delete', *begun, '--yes')
        self.assertEqual(({}, []), (self.states(), self.folders()))

    def test_commands_without_a_service_wait_for_each_other(self) -> None:
        begun = [self.begin('--timeout', '300', 'server', 'list')
                 for _ in range(4)]

        self.assertEqual([0] * 4, [
            one.wait(timeout=600) for one in begun])

    def test_a_killed_service_costs_no_command_its_answer(self) -> None:
        service = self.start()
        begun = {name: self.begin(
            'server', 'create', name, '--image', 'hello', *NONE)
            for name in (f'web{number}' for number in range(COMMANDS))}
        fake_ports.wait_until(
            lambda: len(self.folders()) > 1, 'some to be under way',
            timeout_s=STARTED_S)

        service.process.kill()
        service.wait()
        self.start()
        said = {name: one.communicate(timeout=600)[1]
                for name, one in begun.items()}

        self.settle()
        states = self.states()
        for name, one in begun.items():
            if one.returncode == 0:
                self.assertEqual('running', states.get(name), name)
            else:
                self.assertRegex(
                    said[name], '(?s)ended before it answered.*(finished or '
                    'undone when|try again)|another process has|'
                    'cannot be used|nothing of server', name)
                self.assertIn(one.returncode, (1, 5), said[name])
        # Nothing is left of those that are not there.
        self.assertEqual(len(states), len(self.folders()), str(said))

    def settle(self) -> None:
        """Wait until what was interrupted is undone."""
        deadline = time.monotonic() + STARTED_S
        while self.answer('operations', 'list'):
            self.assertLess(time.monotonic(), deadline)
            time.sleep(0.5)


class CleaningTest(CommandTestCase):

    def test_what_belongs_to_nothing_is_named_and_removed(self) -> None:
        self.answer('server', 'create', 'web1', '--image', 'hello', *NONE)
        kept, = self.folders()
        orphan = pathlib.Path(self.state_path, 'instances', (
            '8b0c0b9e-1d1c-4b4f-8a53-0f1a2c6f7e01'))
        orphan.mkdir()
        (orphan / 'disk').touch()
        image = pathlib.Path(self.state_path, 'images', (
            '8b0c0b9e-1d1c-4b4f-8a53-0f1a2c6f7e02.json'))
        image.write_text('{')

        doctor = self.run_client('doctor').stdout
        listed = self.answer('gc', '--dry-run')
        there = (orphan.exists(), image.exists())
        removed = self.answer('gc', '--yes')

        for path in (orphan, image):
            self.assertIn(str(path), doctor)
        self.assertIn('nova-libvirt gc', doctor)
        self.assertEqual({str(orphan), str(image)},
                         {row['Path'] for row in listed})
        self.assertEqual((True, True), there)
        self.assertEqual(['removed', 'removed'],
                         [row['Status'] for row in removed])
        self.assertEqual([kept], self.folders())
        self.assertEqual([], self.answer('gc', '--dry-run'))


class LostRecordTest(CommandTestCase):

    def test_a_guest_without_its_record_is_as_before(self) -> None:
        service = self.start()
        self.answer('image', 'add', os.path.join(self.folder, 'hello.raw'),
                    '--name', 'tools')
        self.answer(
            'server', 'create', 'web1', '--image', 'hello', '--vcpus', '1',
            '--ram', '64',
            '--ephemeral', '1', '--config-drive', '--network', 'user',
            '--graphics', 'vnc', '--agent', '--wait=serial:is up')
        record = pathlib.Path(
            self.state_path, 'instances', *self.folders(), 'guest.json')
        shown = self.answer('server', 'show', 'web1')

        for text, verb in (
                (None, ('reboot', '--hard')),
                (record.read_text()[:200], ('rescue', '--image', 'tools')),
                ('', ('unrescue',))):
            record.unlink()
            if text is not None:
                record.write_text(text)
            doctor = self.run_client('doctor').stdout
            self.answer('server', verb[0], 'web1', *verb[1:])

            self.assertIn(str(record), doctor, verb[0])
            self.assertEqual('web1', json.loads(
                record.read_text())['guest']['name'], verb[0])

        self.assertNotIn(str(record), self.run_client('doctor').stdout)
        again = self.answer('server', 'show', 'web1')
        for key in ('disks', 'networks', 'vcpus', 'memory_mib', 'machine',
                    'firmware', 'flavor', 'image_id', 'created_at'):
            self.assertEqual(shown[key], again[key], key)
        self.assertEqual(3, service.err.count('was lost or damaged'))


class AutostartTest(CommandTestCase):

    def test_a_marked_guest_comes_back_with_the_service(self) -> None:
        service = self.start()
        for name, *words in (('web1', '--autostart'), ('web2',),
                             ('web3', '--autostart')):
            self.answer('server', 'create', name, '--image', 'hello', *NONE,
                        *words)
        self.answer('server', 'set', 'web2', '--autostart')
        self.answer('server', 'set', 'web3', '--no-autostart')
        self.answer('server', 'stop', 'web2')
        self.assertEqual([True, True, False], [
            self.answer('server', 'show', f'web{number}')['autostart']
            for number in (1, 2, 3)])

        service.process.kill()
        service.wait()
        self._remove_guests()
        self.start().wait_for('as it is to run by itself')

        self.assertEqual(
            {'web1': 'running', 'web2': 'shutdown', 'web3': 'shutdown'},
            self.states())

    def test_one_that_has_turned_itself_off_stays_off(self) -> None:
        path = pathlib.Path(self.folder, 'off.raw')
        path.write_bytes(guests.power_off_sector('off', 30).ljust(
            1 << 20, b'\0'))
        self.answer('image', 'add', str(path))
        service = self.start()
        for name, image in (('web1', 'off'), ('web2', 'hello')):
            self.answer('server', 'create', name, '--image', image, *NONE,
                        '--autostart')

        service.process.kill()
        service.wait()
        # Its QEMU stays, and waits to be ended.
        fake_ports.wait_until(
            lambda: any(log.read_bytes().endswith(b'.') for log in
                        pathlib.Path(self.state_path).glob(
                            'instances/*/console.log')),
            'web1 to turn itself off', timeout_s=2 * STARTED_S)
        os.kill(self._pid('web2'), signal.SIGKILL)
        self.start().wait_for('as it is to run by itself')

        fake_ports.wait_until(
            lambda: self.states()['web1'] == 'shutdown', 'web1 to be off',
            timeout_s=STARTED_S)
        self.assertEqual('running', self.states()['web2'])
        self.assertEqual('shutdown', self.answer(
            'server', 'show', 'web1')['status_reason'])

    def test_one_whose_qemu_ends_comes_back_with_the_mark_only(self) -> None:
        service = self.start()
        for name, *words in (('web1', '--autostart'), ('web2',)):
            self.answer('server', 'create', name, '--image', 'hello', *NONE,
                        *words)

        for name in ('web1', 'web2'):
            os.kill(self._pid(name), signal.SIGKILL)
        service.wait_for('as it is to run by itself')

        fake_ports.wait_until(
            lambda: self.states() == {'web1': 'running', 'web2': 'shutdown'},
            'web1 to be back', timeout_s=STARTED_S)
        self.assertEqual(['', 'crashed'], [
            self.answer('server', 'show', name)['status_reason']
            for name in ('web1', 'web2')])

    def _pid(self, name: str) -> int:
        path = pathlib.Path(
            self.state_path, 'qemu', 'run', 'qemu', f'{name}.pid')
        return int(path.read_text())


class ForwardTest(CommandTestCase):

    def setUp(self) -> None:
        super().setUp()
        linux = linux_guest.build()
        self.boot = (
            '--kernel', str(linux.kernel), '--initrd', str(linux.initrd),
            '--append', linux_guest.kernel_arguments(), '--vcpus', '1',
            '--ram', str(linux_guest.MEMORY_MIB), '--serial', 'tcp',
            '--network', 'user')

    def test_a_port_of_the_host_leads_into_a_server(self) -> None:
        self.start()
        port = free_ports.first_of(2)
        other = port + 1

        self.answer(
            'server', 'create', 'web1', *self.boot, '--forward',
            f'{port}:22', '--forward', f'{other}:53/udp')
        said = [self.reached(port)]
        for verb in (('reboot', '--hard'), ('suspend',), ('resume',),
                     ('rescue', '--image', 'hello'), ('unrescue',)):
            self.answer('server', verb[0], 'web1', *verb[1:])
            if verb[0] in ('reboot', 'resume', 'unrescue'):
                said.append(self.reached(port))

        self.assertEqual(['hello from 22, datagrams: 0'] * 4, said)
        self.assert_datagrams_arrive(other, port)
        self.assertEqual([
            {'host_port': port, 'guest_port': 22, 'protocol': 'tcp',
             'address': '127.0.0.1'},
            {'host_port': other, 'guest_port': 53, 'protocol': 'udp',
             'address': '127.0.0.1'},
        ], self.answer('server', 'show', 'web1')['forwards'])

    def test_a_port_that_is_taken_is_refused_before_all_else(self) -> None:
        self.start()
        with socket.create_server(('127.0.0.1', 0)) as server:
            port = server.getsockname()[1]

            done = self.run_client(
                'server', 'create', 'web1', *self.boot, '--forward',
                f'{port}:22')

        self.assertEqual(2, done.returncode)
        self.assertIn(f'tcp port {port} of 127.0.0.1 cannot be forwarded',
                      done.stderr)
        self.assertEqual(({}, []), (self.states(), self.folders()))

    def test_a_port_that_is_taken_later_costs_the_start(self) -> None:
        self.start()
        port = free_ports.first_of(1)
        self.answer('server', 'create', 'web1', '--image', 'hello', *NONE[:2],
                    '--network', 'user', '--forward', f'{port}:22')
        self.answer('server', 'stop', 'web1')

        with socket.create_server(('127.0.0.1', port)):
            done = self.run_client('server', 'start', 'web1')
            states = self.states()
        self.answer('server', 'start', 'web1')

        self.assertEqual(4, done.returncode, done.stderr)
        self.assertIn(f'127.0.0.1:{port}', done.stderr)
        self.assertEqual({'web1': 'shutdown'}, states)
        self.assertEqual({'web1': 'running'}, self.states())

    def assert_datagrams_arrive(self, port: int, answers_at: int) -> None:
        deadline = time.monotonic() + 3 * STARTED_S
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            while self.reached(answers_at).endswith('datagrams: 0'):
                self.assertLess(time.monotonic(), deadline)
                sender.sendto(b'hello', ('127.0.0.1', port))

    def reached(self, port: int) -> str:
        """Return what the guest says at a port of the host."""
        deadline = time.monotonic() + 3 * STARTED_S
        while time.monotonic() < deadline:
            self.type_in('listen 22')
            with contextlib.suppress(OSError), socket.create_connection(
                    ('127.0.0.1', port), timeout=10) as connection:
                said = connection.recv(100).decode().strip()
                if said.startswith('hello from 22'):
                    return said
            time.sleep(1)
        raise AssertionError('the guest does not answer')

    def type_in(self, line: str) -> None:
        console, = self.answer('server', 'show', 'web1')['consoles']
        with contextlib.suppress(OSError), socket.create_connection(
                (console['host'], console['port']), timeout=10) as serial:
            serial.sendall(f'{line}\n'.encode())
            time.sleep(2)


class TerminalTest(CommandTestCase):

    def test_closing_the_terminal_ends_what_watches(self) -> None:
        ours, theirs = pty.openpty()
        shown = subprocess.Popen(
            [sys.executable, *process.PROGRAM, '--config-file',
             os.path.join(self.folder, 'service.conf'), '--show'],
            stdin=theirs, stdout=theirs, stderr=theirs,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0))
        self.addCleanup(shown.wait)
        self.addCleanup(shown.kill)
        os.close(theirs)
        said = b''
        while b'Events, until' not in said:
            said += os.read(ours, 4096)

        os.close(ours)

        self.assertEqual(0, shown.wait(STARTED_S))


class WordsOfLibvirtTest(process.ServiceTestCase):

    def test_libvirt_writes_nothing_before_a_table(self) -> None:
        self.configure()
        # All that it does is worth a line then.
        self.useFixture(fixtures.EnvironmentVariable(
            'LIBVIRT_LOG_FILTERS', '1:*'))
        self.useFixture(fixtures.EnvironmentVariable('LIBVIRT_LOG_OUTPUTS'))

        done = self.run_client(
            '--uri', 'test:///default', 'server', 'list', '--all')

        self.assertEqual(0, done.returncode, done.stderr)
        # But for what it does until it knows where to write.
        self.assertEqual([], [
            line for line in done.stderr.splitlines() if not re.search(
                'virLog|libvirt version|hostname', line)])


class HelpTest(process.ServiceTestCase):

    def test_both_programs_name_the_files_they_read(self) -> None:
        self.configure()
        service = self.run_service('--help')
        self.assertEqual(0, service.wait())

        for text in (service.out, self.run_client('--help').stdout):
            self.assertRegex(
                re.sub(r'\s+', ' ', text),
                'nova-libvirt.conf and nova-libvirt-compute.conf')

    def test_the_file_of_a_user_is_found(self) -> None:
        self.useFixture(fixtures.EnvironmentVariable('HOME', self.folder))
        folder = pathlib.Path(self.folder, '.nova-libvirt')
        folder.mkdir()
        (folder / 'nova-libvirt-compute.conf').write_text(
            f'[DEFAULT]\nhost = mine\nstate_path = {self.state_path}\n')

        done = subprocess.run(
            [*self.client_command()[:3], 'service', 'show'],
            capture_output=True, text=True, timeout=STARTED_S, check=True)

        self.assertIn('| mine ', done.stdout)
