# SPDX-License-Identifier: Apache-2.0

"""The status socket, and whoever asks it."""

import fcntl
import json
import os
import pathlib
import socket
import stat
import statistics
import subprocess
import sys
import threading
import time

import fixtures

from nova_libvirt_driver.filesystem import locking
from nova_libvirt_driver.monitoring import inquiry
from nova_libvirt_driver.monitoring import status_socket
from tests import base

TIMEOUT_S = 10.0
DOCUMENT = {'health': {}, 'connection': {}, 'number': 1}


class SocketTestCase(base.TestCase):

    def setUp(self) -> None:
        super().setUp()
        self.folder = self.useFixture(fixtures.TempDir()).path
        self.path = f'{self.folder}/status.sock'

    def serve(
            self, answer: bytes = json.dumps(DOCUMENT).encode(), *,
            path: str = '') -> status_socket.StatusSocket:
        served = status_socket.StatusSocket(
            path or self.path, lambda: answer)
        served.start()
        self.addCleanup(served.stop)
        return served

    def leave_stale(self) -> None:
        """Leave the file of a process that was killed."""
        subprocess.run(
            [sys.executable, '-c', 'import socket, sys\n'
             'socket.socket(socket.AF_UNIX).bind(sys.argv[1])', self.path],
            check=True, timeout=60)

    def refused(self) -> str:
        """Return why the path cannot be served."""
        error = self.assertRaises(
            OSError, status_socket.StatusSocket(
                self.path, lambda: b'').start)
        return str(error)


class ServeTest(SocketTestCase):

    def test_everybody_who_comes_is_answered(self) -> None:
        self.serve()

        for _ in range(20):
            self.assertEqual(DOCUMENT, inquiry.ask(self.path, TIMEOUT_S))

    def test_an_answer_takes_no_time(self) -> None:
        self.serve()
        took_s = []
        for _ in range(30):
            begun = time.monotonic()
            inquiry.ask(self.path, TIMEOUT_S)
            took_s.append(time.monotonic() - begun)

        self.assertLess(statistics.median(took_s), 0.1)

    def test_whoever_does_not_read_holds_up_nobody(self) -> None:
        self.serve()
        for _ in range(5):
            idle = socket.socket(socket.AF_UNIX)
            self.addCleanup(idle.close)
            idle.connect(self.path)

        self.assertEqual(DOCUMENT, inquiry.ask(self.path, TIMEOUT_S))

    def test_many_who_do_not_read_a_long_answer_hold_up_nobody(self) -> None:
        document = {**DOCUMENT, 'long': 'x' * 500_000}
        self.serve(json.dumps(document).encode())
        for _ in range(300):
            idle = socket.socket(socket.AF_UNIX)
            self.addCleanup(idle.close)
            idle.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
            idle.connect(self.path)
        begun = time.monotonic()

        self.assertEqual(document, inquiry.ask(self.path, TIMEOUT_S))
        self.assertLess(time.monotonic() - begun, TIMEOUT_S)

    def test_an_answer_that_cannot_be_made_spoils_no_other(self) -> None:
        log = self.useFixture(fixtures.FakeLogger())
        answers = iter([b'{"health": {}, "connection": {}}'])
        served = status_socket.StatusSocket(
            self.path, lambda: next(answers))
        served.start()
        self.addCleanup(served.stop)

        inquiry.ask(self.path, TIMEOUT_S)
        for _ in range(2):
            self.assertRaises(
                inquiry.NoAnswer, inquiry.ask, self.path, TIMEOUT_S)
        self.assertIn('could not be answered', log.output)

    def test_only_the_owner_and_the_group_may_ask(self) -> None:
        for mask in (0o022, 0o077, 0o000):
            before = os.umask(mask)
            self.addCleanup(os.umask, before)
            served = self.serve()

            mode = os.stat(self.path).st_mode
            self.assertEqual(0o660, stat.S_IMODE(mode))
            served.stop()

    def test_nothing_is_left_when_it_stops(self) -> None:
        served = self.serve()

        served.stop()
        served.stop()

        self.assertEqual([locking.FOLDER], os.listdir(self.folder))
        self.assertEqual([], os.listdir(f'{self.folder}/{locking.FOLDER}'))
        self.assertEqual([], [
            thread.name for thread in threading.enumerate()
            if thread.name == 'status-socket'])


class PlaceTest(SocketTestCase):

    def test_the_file_of_a_killed_process_is_replaced(self) -> None:
        self.leave_stale()

        self.serve()

        self.assertEqual(DOCUMENT, inquiry.ask(self.path, TIMEOUT_S))

    def test_that_of_a_living_one_is_not(self) -> None:
        self.serve()

        self.assertIn('another process serves it', self.refused())
        self.assertEqual(DOCUMENT, inquiry.ask(self.path, TIMEOUT_S))

    def test_one_of_many_who_start_at_once_has_it(self) -> None:
        self.leave_stale()
        started: list[status_socket.StatusSocket] = []
        failed: list[OSError] = []

        def start() -> None:
            served = status_socket.StatusSocket(
                self.path, lambda: json.dumps(DOCUMENT).encode())
            try:
                served.start()
                started.append(served)
            except OSError as error:
                failed.append(error)

        threads = [threading.Thread(target=start) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.addCleanup(started[0].stop)

        self.assertEqual((1, 7), (len(started), len(failed)))
        self.assertEqual(DOCUMENT, inquiry.ask(self.path, TIMEOUT_S))

    def test_who_may_read_the_folder_cannot_keep_it_from_starting(
            self) -> None:
        os.chmod(self.folder, 0o755)
        descriptor = os.open(self.folder, os.O_RDONLY)
        self.addCleanup(os.close, descriptor)
        fcntl.flock(descriptor, fcntl.LOCK_EX)

        self.serve()

        self.assertEqual(DOCUMENT, inquiry.ask(self.path, TIMEOUT_S))

    def test_what_is_no_socket_is_left_alone(self) -> None:
        file = pathlib.Path(self.path)
        file.write_text('precious')

        self.assertIn('no socket', self.refused())
        self.assertEqual('precious', file.read_text())

    def test_the_socket_of_a_successor_is_left_alone(self) -> None:
        first = self.serve()
        os.unlink(self.path)
        self.serve()

        first.stop()

        self.assertEqual(DOCUMENT, inquiry.ask(self.path, TIMEOUT_S))

    def test_a_place_that_cannot_be_is_an_error(self) -> None:
        for path in ('/nonexistent/x.sock', '/proc/x.sock',
                     f'{self.folder}/{"x" * 200}'):
            self.path = path

            self.assertTrue(self.refused())
        self.assertEqual([locking.FOLDER], os.listdir(self.folder))


class AskTest(SocketTestCase):

    def no_answer(self, timeout_s: float = TIMEOUT_S) -> inquiry.NoAnswer:
        error: inquiry.NoAnswer = self.assertRaises(
            inquiry.NoAnswer, inquiry.ask, self.path, timeout_s)
        self.assertIn(self.path, str(error))
        self.assertTrue(error.next_step)
        return error

    def test_nobody_listens(self) -> None:
        self.assertIsInstance(self.no_answer(), inquiry.Absent)
        self.leave_stale()
        self.assertIsInstance(self.no_answer(), inquiry.Absent)

    def test_whoever_listens_says_nothing(self) -> None:
        with socket.socket(socket.AF_UNIX) as mute:
            mute.bind(self.path)
            mute.listen(1)
            begun = time.monotonic()

            error = self.no_answer(0.2)

        self.assertNotIsInstance(error, inquiry.Absent)
        self.assertIn('0.2 s', str(error))
        self.assertLess(time.monotonic() - begun, 5)

    def test_what_is_said_makes_no_sense(self) -> None:
        for answer in (b'', b'{', b'[]', b'\xff', b'{"health": {}}',
                       b'{"health": 1, "connection": {}}',
                       b' ' * (inquiry.MAX_BYTES + 1)):
            served = self.serve(answer)

            self.assertNotIsInstance(self.no_answer(), inquiry.Absent)
            served.stop()
