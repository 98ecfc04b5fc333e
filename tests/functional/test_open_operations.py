# SPDX-License-Identifier: Apache-2.0

"""An operation ends its call, stays open, and is decided elsewhere."""

import json
import pathlib
import resource
import signal
import subprocess
import sys

from nova_libvirt_driver import exception
from nova_libvirt_driver import ports
from nova_libvirt_driver.spec import instance as instance_spec
from nova_libvirt_driver.testing import fake_ports
from tests.functional import boot_guest
from tests.functional import prepared

ROOT = pathlib.Path(__file__).parents[2]
INSTANCE = boot_guest.INSTANCE
LONG_S = 600.0

_State = instance_spec.PowerState

Seen = tuple[_State | None, bool, list[str]]

GONE: Seen = (None, False, [])
"""No domain, no file, no entry."""
OPEN: Seen = (_State.SHUTDOWN, True, ['prepared'])
COMMITTED: Seen = (_State.RUNNING, False, [])


class OpenTest(boot_guest.BootGuestTestCase):

    def setUp(self) -> None:
        super().setUp()
        self.operation = prepared.Prepared(self.guests, str(self.folder))

    def run_verb(
            self, verb: str, step: int = 100, *,
            timeout_s: float = LONG_S) -> bool:
        """Run a verb in another process; say whether it was killed."""
        done = subprocess.run(
            [sys.executable, '-m', 'tests.functional.prepared'], cwd=ROOT,
            input=json.dumps({
                'uri': self.host.uri, 'verb': verb, 'step': step,
                'uuid': INSTANCE.uuid, 'xml': self.xml(),
                'folder': str(self.folder), 'timeout_s': timeout_s}),
            capture_output=True, text=True, timeout=300)
        self.assertIn(done.returncode, (0, -signal.SIGKILL), done.stderr)
        return done.returncode != 0

    def look(self) -> Seen:
        """Return the state of the guest, the file, phases in the journal."""
        guest = self.guests.find_or_none(INSTANCE)
        return (None if guest is None else guest.state().power,
                (self.folder / 'prepared').exists(),
                [note.phase for note in self.operation.journal.notes()])

    def recover(self) -> None:
        """Look into the journal once, as a process does that starts."""
        swept = self.folder / '.operations' / f'{"a" * 8}@here.lock'
        swept.touch()
        recovery = self.operation.recovery()
        recovery.start()
        try:
            fake_ports.wait_until(
                lambda: not swept.exists(), 'the end of the first look')
        finally:
            recovery.stop()

    def pass_deadline(self) -> None:
        """Let the time of an open operation be over."""
        path, = (self.folder / '.operations').glob('*.json')
        note = json.loads(path.read_text())
        path.write_text(json.dumps({**note, 'deadline': note['begun_at']}))

    def clear(self) -> None:
        self.guests.remove(INSTANCE)
        self.assertEqual(GONE, self.look())

    def test_it_waits_and_is_decided_by_another_process(self) -> None:
        for verb, after in (('commit', COMMITTED), ('roll back', GONE)):
            self.assertFalse(self.run_verb('prepare'))
            self.recover()
            self.assertEqual(OPEN, self.look())

            self.assertFalse(self.run_verb(verb))

            self.assertEqual(after, self.look())
            self.recover()
            self.assertEqual(after, self.look())
            self.clear()

    def test_a_preparation_that_is_killed_is_undone_until_it_is_open(
            self) -> None:
        outcomes = []
        step = 1
        while self.run_verb('prepare', step):
            self.recover()
            outcomes.append(self.look())
            if outcomes[-1] == OPEN:
                self.assertFalse(self.run_verb('roll back'))
            self.clear()
            step += 1

        self.assertEqual([GONE] * 4 + [OPEN], outcomes)
        self.assertFalse(self.run_verb('roll back'))

    def test_when_nobody_decides_in_time_it_is_undone(self) -> None:
        self.assertFalse(self.run_verb('prepare', timeout_s=0))

        self.recover()

        self.assertEqual(GONE, self.look())

    def test_a_guest_that_has_arrived_decides(self) -> None:
        for timeout_s in (0, LONG_S):
            self.assertFalse(self.run_verb('prepare', timeout_s=timeout_s))
            self.host.virsh('start', 'one')

            self.recover()

            self.assertEqual(COMMITTED, self.look())
            self.clear()

    def test_a_decision_that_is_killed_is_carried_out(self) -> None:
        for verb, after in (('commit', COMMITTED), ('roll back', GONE)):
            outcomes = []
            for step in (1, 2, 3):
                self.assertFalse(self.run_verb('prepare'))
                self.assertTrue(self.run_verb(verb, step))
                self.recover()
                outcomes.append(self.look())
                if outcomes[-1] == OPEN:
                    # Killed before it had written down what it decided.
                    self.pass_deadline()
                    self.recover()
                    self.assertEqual(GONE, self.look())
                self.clear()

            self.assertEqual([OPEN, after, after], outcomes)

    def test_after_the_deadline_it_cannot_be_picked_up(self) -> None:
        self.assertFalse(self.run_verb('prepare'))
        self.pass_deadline()

        self.assertRaises(
            exception.WrongState, self.operation.commit, INSTANCE,
            ports.NullProgress())

        self.assertEqual(GONE, self.look())

    def test_other_verbs_are_refused_meanwhile(self) -> None:
        self.assertFalse(self.run_verb('prepare'))

        error = self.assertRaises(
            exception.WrongState, self.operation.exclusive.hold(
                INSTANCE, 'reboot', ports.NullProgress()).__enter__)

        self.assertIn('open for prepare: prepared', str(error))
        self.assertEqual(OPEN, self.look())
        self.operation.roll_back(INSTANCE, ports.NullProgress())
        self.assertEqual(GONE, self.look())

    def test_what_cannot_be_left_open_is_undone(self) -> None:
        class Unwritten(ports.NullProgress):
            def step(_, name: str) -> None:
                if name == 'leave open':
                    # No file can be written to from now on.
                    resource.setrlimit(
                        resource.RLIMIT_FSIZE, (0, limits[1]))

        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        try:
            self.assertRaises(
                exception.StorageFailure, self.operation.prepare, INSTANCE,
                self.xml(), LONG_S, Unwritten())
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)

        self.assertEqual(GONE, self.look())
