# SPDX-License-Identifier: Apache-2.0

"""The real service process, on libvirt's in-process test hypervisor."""

import os
import pathlib
import re
import signal
import socket
import subprocess
import sys
import time

import fixtures

from tests.functional import process


class ShowTestCase(process.ServiceTestCase):

    def instance_folders(self) -> list[str]:
        return [name for name in os.listdir(f'{self.state_path}/instances')
                if name[0] not in '._']

    def test_once_shows_connection_host_and_guests(self) -> None:
        service = self.run_configured('--once')

        self.assertEqual(0, service.wait(), service.err)
        self.assertEqual('', service.err)
        for line in (r'Connected to test:///default',
                     r'  hypervisor +TEST 0\.0\.2, libvirt \d+\.\d+\.\d+',
                     r'  events +delivered', r'Host .+',
                     r'  service +enabled', r'  vCPUs +\d+ of 16 in use',
                     r'Guests: 1, 1 running',
                     r'  test +6695eb01-f6a4-8304-79aa-97f2502e193f '
                     r' running .+'):
            self.assertRegex(service.out, f'(?m)^{line}$')

    def test_a_demonstration_shows_the_events_of_its_guest(self) -> None:
        service = self.run_configured('--once', '--demo')

        self.assertEqual(0, service.wait(), service.err)
        self.assertEqual('', service.err)
        self.assertEqual(
            ['started (booted)', 'stopped (destroyed)'],
            re.findall(r'demo-\d+  (.+)$', service.out, re.MULTILINE))
        self.assertRegex(
            service.out, r'(?s)spawn     demo-\d+ in \d+\.\d s.+'
            r'console   left out: .+snapshot  left out: .+'
            r'destroy   demo-\d+ in ')
        self.assertEqual([], self.instance_folders())

    def test_a_guest_of_this_process_is_kept_until_it_ends(self) -> None:
        service = self.run_configured('--keep')
        service.wait_for('Events, until Ctrl-C')
        self.assertIn('until this process ends', service.out)
        self.assertEqual(1, len(self.instance_folders()))

        self.stop(service, signal.SIGINT)

        self.assertEqual([], self.instance_folders())
        self.assertRegex(service.out, r'removed   demo-\d+\n$')

    def test_a_failure_is_told_in_four_lines(self) -> None:
        service = self.run_configured('--once', '--uri', process.NO_DAEMON)

        self.assertEqual(1, service.wait())
        self.assertEqual('', service.out)
        self.assertEqual(
            ['Error:', 'Tried:', 'State:', 'Next:'],
            [line.split()[0] for line in service.err.splitlines()])

    def test_events_are_shown_until_interrupted(self) -> None:
        service = self.run_configured('--show')
        service.wait_for('Events, until Ctrl-C')

        took_s = self.stop(service, signal.SIGINT)

        self.assertLess(took_s, process.SOON_S)
        self.assertEqual('', service.err)


class PipeTestCase(process.ServiceTestCase):

    def test_a_reader_that_goes_away_is_no_error(self) -> None:
        reader, writer = os.pipe()
        os.close(reader)
        self.addCleanup(os.close, writer)

        done = subprocess.run(
            [sys.executable, *process.PROGRAM, '--config-file',
             self.configure(), '--once'], stdout=writer,
            stderr=subprocess.PIPE, timeout=process.TIMEOUT_S, check=False)

        self.assertEqual((141, b''), (done.returncode, done.stderr))


class QemuTestCase(process.ServiceTestCase):

    QEMU_CONF = '\n'.join((
        'user = "root"', 'group = "root"', 'security_driver = "none"',
        'stdio_handler = "file"', 'namespaces = []',
        'cgroup_controllers = []',
        # Else libvirt warns on stderr whenever the clock was set.
        'remember_owner = 0'))

    def test_a_demonstration_boots_a_real_guest_without_a_daemon(
            self) -> None:
        root = self.useFixture(fixtures.TempDir()).path
        etc = pathlib.Path(root, 'etc')
        etc.mkdir()
        (etc / 'qemu.conf').write_text(self.QEMU_CONF)
        temporary = self.useFixture(fixtures.TempDir()).path
        self.environ['TMPDIR'] = temporary

        service = self.run_configured(
            '--once', '--demo', '--uri', f'qemu:///embed?root={root}')

        self.assertEqual(0, service.wait(), service.err)
        self.assertEqual('', service.err)
        self.assertRegex(
            service.out, r'(?s)Connected to qemu:///embed.+started.+'
            r'Hello from a guest.+snapshot  demo-.+stopped \(destroyed\)')
        self.assertEqual([], os.listdir(temporary))


class LifeTestCase(process.ServiceTestCase):

    def test_both_signals_end_it_soon_and_cleanly(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            service = self.run_configured()
            service.wait_for('connected to test:///default')

            took_s = self.stop(service, number)

            self.assertLess(took_s, process.SOON_S)
            self.assertEqual('', service.out)
            self.assertNotIn('Traceback', service.err)
            self.assertNotIn('ventlet', service.err)
            self.assertNotIn('no_fork', service.err)

    def test_it_is_one_process(self) -> None:
        service = self.run_configured()
        service.wait_for('connected to')

        pid = service.process.pid
        children = pathlib.Path(f'/proc/{pid}/task/{pid}/children')
        self.assertEqual('', children.read_text())

    def test_the_record_says_that_the_host_is_enabled(self) -> None:
        service = self.run_configured()
        service.wait_for('connected to')

        record = self.record()
        self.assertEqual((process.HOST, True, ''), (
            record['host'], record['enabled'], record['disabled_by']))

    def test_it_starts_without_libvirt_and_disables_the_host(self) -> None:
        limit_s = self.start_limit_s()
        service = self.run_configured('--uri', process.NO_DAEMON)

        took_s = service.wait_for('not connected to qemu+unix')

        self.assertLess(took_s, limit_s)
        self.assertEqual('', service.out)
        record = self.record()
        self.assertEqual(
            (False, 'driver'), (record['enabled'], record['disabled_by']))
        self.assertIn('libvirt-sock', str(record['reason']))
        self.assertLess(
            self.stop(service, signal.SIGTERM), process.SOON_S)

    def test_sigusr2_writes_a_report_with_a_section_of_its_own(self) -> None:
        service = self.run_configured()
        service.wait_for('connected to')

        # Until the first audit, it has nothing to say about guests.
        deadline = time.monotonic() + process.TIMEOUT_S
        while '"name": "test"' not in service.err:
            self.assertLess(time.monotonic(), deadline, service.err)
            service.process.send_signal(signal.SIGUSR2)
            time.sleep(1)

        section = service.err.partition('Compute service')[2]
        for text in ('"uri": "test:///default"', '"state": "connected"',
                     '"disabled_by": ""', '"last_audit"', '"name": "test"'):
            self.assertIn(text, section)
        self.assertLess(
            self.stop(service, signal.SIGTERM), process.SOON_S)

    def test_sighup_reads_the_configuration_again(self) -> None:
        path = self.configure()
        service = self.run_service('--config-file', path)
        service.wait_for('connected to')
        self.configure('debug = true')

        service.process.send_signal(signal.SIGHUP)

        service.wait_for('Option DEFAULT.debug changed')
        self.stop(service, signal.SIGTERM)

    def test_systemd_is_told_of_start_and_stop(self) -> None:
        path = os.path.join(self.folder, 'notify')
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.addCleanup(listener.close)
        listener.bind(path)
        listener.settimeout(process.TIMEOUT_S)
        self.environ['NOTIFY_SOCKET'] = path

        service = self.run_configured()

        said = b''
        while b'READY=1' not in said:
            said = listener.recv(4096)
        self.stop(service, signal.SIGTERM)
        self.assertIn(b'STOPPING=1', listener.recv(4096))

    def test_a_second_service_for_the_same_host_is_refused(self) -> None:
        first = self.run_configured()
        first.wait_for('connected to')

        second = self.run_configured('--once')

        self.assertEqual(1, second.wait())
        self.assertIn('another nova-libvirt-compute runs', second.err)
        self.assertTrue(self.record()['enabled'])


class BadInputTestCase(process.ServiceTestCase):

    def refused(self, *arguments: str) -> str:
        """Return the one line with which the arguments are refused."""
        service = self.run_service(*arguments)

        self.assertEqual(1, service.wait(), service.err)
        self.assertEqual('', service.out)
        self.assertEqual(1, len(service.err.splitlines()), service.err)
        self.assertFalse(os.path.exists(self.state_path))
        return service.err

    def test_a_file_that_cannot_be_used(self) -> None:
        bad = os.path.join(self.folder, 'bad.conf')
        pathlib.Path(bad).write_text('[DEFAULT\n')
        for path, reason in ((bad, 'Failed to parse'),
                             ('/nonexistent.conf', '/nonexistent.conf')):
            self.assertIn(reason, self.refused('--config-file', path))

    def test_a_value_that_is_not_allowed(self) -> None:
        for lines, option in (
                (('[nova_libvirt_driver]', 'audit_interval = 0'),
                 '[nova_libvirt_driver] audit_interval'),
                (('[nova_libvirt_driver]', 'connect_timeout = soon'),
                 '[nova_libvirt_driver] connect_timeout'),
                (('[libvirt]', 'virt_type = xen5'), '[libvirt] virt_type'),
                (('my_ip = here and there',), '[DEFAULT] my_ip'),
                (('transport_url = foo://a:geheim@b/',), "driver 'foo'"),
                (('log_file = /nonexistent/log',), '/nonexistent/log')):
            error = self.refused('--config-file', self.configure(*lines))

            self.assertIn(option, error)
            self.assertNotIn('geheim', error)

    def test_a_driver_that_is_none(self) -> None:
        for name, reason in (('no_such_module.Driver', 'No module named'),
                             ('os.path.join', 'not a subclass')):
            error = self.refused('--config-file', self.configure(
                f'compute_driver = {name}'))

            self.assertIn(reason, error)
            self.assertIn('compute_driver', error)

    def test_a_missing_binding_of_libvirt(self) -> None:
        pathlib.Path(self.folder, 'libvirt.py').write_text(
            'raise ImportError("No module named libvirt", name="libvirt")')
        self.environ['PYTHONPATH'] = os.pathsep.join(
            [self.folder, os.getcwd()])

        error = self.refused('--config-file', self.configure())

        self.assertIn('pip install libvirt-python', error)

    def test_a_state_path_that_cannot_be_used(self) -> None:
        for path in ('/proc/state', '/dev/null', '/dev/null/state'):
            error = self.refused(
                '--config-file', self.configure(), '--state-path', path)

            self.assertIn(path, error)
            self.assertIn('--state-path', error)

    def test_wrong_use_of_the_command_line(self) -> None:
        for arguments in (('--no-such-option',), ('--uri',), ('--once=2',)):
            service = self.run_service(*arguments)

            self.assertEqual(2, service.wait())
            self.assertIn('usage: nova-libvirt-compute', service.err)
