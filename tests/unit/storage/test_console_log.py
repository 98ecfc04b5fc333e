# SPDX-License-Identifier: Apache-2.0

import errno
import os
import pathlib
import resource
import signal
import threading

import fixtures

from nova_libvirt_driver.calls import calls
from nova_libvirt_driver import exception
from nova_libvirt_driver.spec import instance as instance_spec
from nova_libvirt_driver.storage import console_log
from nova_libvirt_driver.testing import fake_fault
from nova_libvirt_driver.testing import fake_ports
from tests import base

MAX = 64 * 1024
UUID = '8b0c0b9e-1d1c-4b4f-8a53-0f1a2c6f7e01'


class LogTestCase(base.TestCase):

    def setUp(self) -> None:
        super().setUp()
        self.instances_path = pathlib.Path(
            self.useFixture(fixtures.TempDir()).path)
        self.folder = self.instances_path / UUID
        self.folder.mkdir()
        self.log_path = self.folder / 'console.log'
        self.proc = self.useFixture(fixtures.TempDir()).path

    def old(self, number: int) -> pathlib.Path:
        return self.log_path.with_name(f'console.log.{number}')

    def names(self) -> list[str]:
        return sorted(os.listdir(self.folder))


class RotateTest(LogTestCase):

    def rotate(self) -> bool:
        return console_log.rotate(str(self.log_path), MAX, proc=self.proc)

    def write(self, letter: str, size_bytes: int = MAX + 1) -> bytes:
        """Append to the log as QEMU does."""
        data = (letter * size_bytes).encode()
        with self.log_path.open('ab') as file:
            file.write(data)
        return data

    def test_a_log_within_its_limit_stays(self) -> None:
        written = self.write('a', MAX)

        self.assertFalse(self.rotate())
        self.assertEqual(written, self.log_path.read_bytes())
        self.assertEqual(['console.log'], self.names())

    def test_the_writer_goes_on_at_the_new_end(self) -> None:
        with self.log_path.open('ab', buffering=0) as writer:
            writer.write(b'a' * (MAX + 1))
            self.assertTrue(self.rotate())
            writer.write(b'more')

        self.assertEqual(b'more', self.log_path.read_bytes())
        self.assertEqual(b'a' * (MAX + 1), self.old(0).read_bytes())
        self.assertEqual(0o600, self.old(0).stat().st_mode & 0o777)

    def test_three_old_logs_are_kept(self) -> None:
        for letter in 'abcde':
            self.write(letter)
            self.rotate()

        self.assertEqual(
            [b'e', b'd', b'c'],
            [self.old(number).read_bytes()[:1] for number in range(3)])
        self.assertEqual(
            ['console.log', 'console.log.0', 'console.log.1',
             'console.log.2'], self.names())

    def test_only_the_end_of_a_very_long_log_is_kept(self) -> None:
        self.write('a', 10 * MAX)
        self.write('b', 10)

        self.rotate()

        self.assertEqual(
            b'a' * (2 * MAX - 10) + b'b' * 10, self.old(0).read_bytes())

    def test_a_hole_is_no_reason_to_rotate(self) -> None:
        self.log_path.touch()
        os.truncate(self.log_path, 10 * MAX)

        self.assertFalse(self.rotate())

    def test_what_a_killed_process_has_left_is_in_nobodys_way(self) -> None:
        self.log_path.with_name('console.log.new').write_bytes(b'half')
        self.old(0).write_bytes(b'a' * (MAX + 1))
        self.write('a')

        self.assertTrue(self.rotate())

        self.assertEqual(
            [b'a' * (MAX + 1)] * 2,
            [self.old(number).read_bytes() for number in range(2)])
        self.assertNotIn('console.log.new', self.names())

    def test_a_failed_copy_costs_nothing_of_the_log(self) -> None:
        written = self.write('a')
        self.old(0).write_bytes(b'before')
        limit = resource.getrlimit(resource.RLIMIT_FSIZE)
        before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        self.addCleanup(signal.signal, signal.SIGXFSZ, before)
        self.addCleanup(resource.setrlimit, resource.RLIMIT_FSIZE, limit)
        resource.setrlimit(resource.RLIMIT_FSIZE, (MAX // 2, limit[1]))

        error = self.assertRaises(OSError, self.rotate)

        self.assertEqual(errno.EFBIG, error.errno)
        self.assertEqual(written, self.log_path.read_bytes())
        self.assertEqual(['console.log', 'console.log.0'], self.names())

    def test_links_and_pipes_are_left_alone(self) -> None:
        secret = self.instances_path / 'secret'
        secret.write_bytes(b'a' * 2 * MAX)

        self.log_path.symlink_to(secret)
        self.assertFalse(self.rotate())
        self.log_path.unlink()
        os.link(secret, self.log_path)
        self.assertFalse(self.rotate())
        self.log_path.unlink()
        os.mkfifo(self.log_path)
        self.assertFalse(self.rotate())

        self.assertEqual(2 * MAX, secret.stat().st_size)
        self.assertEqual(['console.log'], self.names())

    def test_a_link_in_the_place_of_an_old_log_is_replaced(self) -> None:
        secret = self.instances_path / 'secret'
        secret.write_bytes(b'canary')
        self.old(0).symlink_to(secret)
        self.log_path.with_name('console.log.new').symlink_to(secret)
        self.write('a')

        self.assertTrue(self.rotate())

        self.assertEqual(b'canary', secret.read_bytes())
        self.assertEqual(b'a' * (MAX + 1), self.old(0).read_bytes())

    def test_a_log_of_virtlogd_is_left_to_it(self) -> None:
        written = self.write('a')
        for pid, name in (('7', 'virtlogd'), ('8', 'qemu-system-x86')):
            folder = pathlib.Path(self.proc, pid, 'fd')
            folder.mkdir(parents=True)
            folder.with_name('comm').write_text(f'{name}\n')
            (folder / '3').symlink_to(self.log_path)

        self.assertFalse(self.rotate())
        self.assertEqual(written, self.log_path.read_bytes())

        pathlib.Path(self.proc, '7', 'fd', '3').unlink()
        self.assertTrue(self.rotate())


class ConsoleLogsTest(LogTestCase):

    def setUp(self) -> None:
        super().setUp()
        self.calls = calls.make(host='here', limit=1)

    def logs(self, max_bytes: int) -> console_log.ConsoleLogs:
        made = console_log.ConsoleLogs(
            str(self.instances_path), max_bytes, self.calls, stop_s=30)
        self.addCleanup(made.stop)
        return made

    def test_its_end_is_that_of_the_look_under_way(self) -> None:
        self.log_path.write_bytes(b'a' * 2 * MAX)
        logs = self.logs(MAX)
        with fake_fault.Hang() as hang:
            # The look waits until this one has ended.
            self.assertRaises(
                exception.CallTimeout, self.calls.run, hang.hang,
                name='hanging', timeout_s=0.01)
            logs.start()
            threading.Timer(0.2, hang.release).start()

            logs.stop()

        self.assertNotIn('console-logs', [
            thread.name for thread in threading.enumerate()])
        self.assertEqual(2 * MAX, self.log_path.stat().st_size)

    def test_the_logs_of_all_instances_are_looked_at(self) -> None:
        other = self.instances_path / UUID.replace('8', '9')
        other.mkdir()
        (self.instances_path / '_base').mkdir()
        logs = [folder / 'console.log' for folder in (
            self.folder, other, self.instances_path / '_base')]
        for path in logs:
            path.write_bytes(b'a' * 2 * MAX)

        self.logs(MAX).start()

        fake_ports.wait_until(
            lambda: not any(path.stat().st_size for path in logs[:2]),
            'both logs emptied')
        self.assertEqual(2 * MAX, logs[2].stat().st_size)

    def test_without_a_limit_nothing_is_looked_at(self) -> None:
        self.log_path.write_bytes(b'a' * 2 * MAX)
        logs = self.logs(0)

        logs.start()
        logs.read(instance_spec.InstanceRef(UUID, 'one'))

        self.assertEqual(2 * MAX, self.log_path.stat().st_size)

    def test_one_that_cannot_be_rotated_holds_up_no_other(self) -> None:
        self.log_path.write_bytes(b'a' * 2 * MAX)
        self.old(0).mkdir()
        (self.old(0) / 'file').touch()
        self.old(1).touch()
        other = self.instances_path / UUID.replace('8', '9') / 'console.log'
        other.parent.mkdir()
        other.write_bytes(b'a' * 2 * MAX)

        self.logs(MAX).start()

        fake_ports.wait_until(
            lambda: other.stat().st_size == 0, 'the other log emptied')
