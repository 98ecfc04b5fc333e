# SPDX-License-Identifier: Apache-2.0

from nova_libvirt_driver.guest import reach
from nova_libvirt_driver.operations.steps import verdict
from nova_libvirt_driver.spec import instance as instance_spec
from tests import base

State = instance_spec.PowerState
Verdict = verdict.Verdict
UNKNOWN = verdict.UNKNOWN


def state(power: State, reason: str) -> reach.GuestState:
    return reach.GuestState(power, reason)


RUNS = state(State.RUNNING, 'migrated')
COMES = state(State.PAUSED, 'migration')
OFF = state(State.SHUTDOWN, 'shutdown')
HERE = state(State.RUNNING, 'booted')
LET_GO_ON = state(State.RUNNING, 'migration-canceled')
HELD = state(State.PAUSED, 'user')
STANDS = state(State.PAUSED, 'migration')
GONE = state(State.SHUTDOWN, 'migrated')
CRASHED = state(State.SHUTDOWN, 'crashed')
BROKEN = state(State.PAUSED, 'postcopy-failed')

# What the call said, the domain here, the domain there, where the guest is.
CASES: tuple[tuple[
    bool | None, verdict.State, verdict.State | verdict.Unknown,
    Verdict], ...] = (
    (True, None, RUNS, Verdict.MOVED),
    (True, None, UNKNOWN, Verdict.MOVED),
    (True, None, OFF, Verdict.MOVED),
    (True, None, None, Verdict.LOST),
    (False, None, RUNS, Verdict.MOVED),
    (False, None, UNKNOWN, Verdict.UNCLEAR),
    (None, None, UNKNOWN, Verdict.UNCLEAR),
    (None, None, RUNS, Verdict.MOVED),
    (None, None, OFF, Verdict.MOVED),
    (None, GONE, UNKNOWN, Verdict.MOVED),
    (False, GONE, RUNS, Verdict.MOVED),
    (False, GONE, None, Verdict.LOST),
    (False, HERE, None, Verdict.STAYED),
    (False, HERE, UNKNOWN, Verdict.STAYED),
    (False, HERE, COMES, Verdict.STAYED),
    (False, HERE, RUNS, Verdict.UNCLEAR),
    (None, HERE, UNKNOWN, Verdict.STAYED),
    (False, LET_GO_ON, RUNS, Verdict.MOVED),
    (None, LET_GO_ON, RUNS, Verdict.MOVED),
    (False, LET_GO_ON, None, Verdict.STAYED),
    (False, LET_GO_ON, UNKNOWN, Verdict.STAYED),
    (False, LET_GO_ON, state(State.RUNNING, 'postcopy'), Verdict.UNCLEAR),
    (False, state(State.PAUSED, 'user'), None, Verdict.STAYED),
    (None, state(State.PAUSED, 'user'), COMES, Verdict.STAYED),
    (None, state(State.PAUSED, 'user'), RUNS, Verdict.UNCLEAR),
    (None, state(State.PAUSED, 'ioerror'), RUNS, Verdict.UNCLEAR),
    (False, STANDS, None, Verdict.STAYED),
    (False, STANDS, RUNS, Verdict.MOVED),
    (None, STANDS, state(State.RUNNING, 'postcopy'), Verdict.UNCLEAR),
    (False, STANDS, COMES, Verdict.UNCLEAR),
    (False, STANDS, UNKNOWN, Verdict.UNCLEAR),
    (None, STANDS, UNKNOWN, Verdict.UNCLEAR),
    (True, STANDS, UNKNOWN, Verdict.MOVED),
    (False, CRASHED, None, Verdict.STAYED),
    (False, CRASHED, COMES, Verdict.STAYED),
    (False, CRASHED, UNKNOWN, Verdict.UNCLEAR),
    (None, CRASHED, UNKNOWN, Verdict.UNCLEAR),
    (None, CRASHED, COMES, Verdict.UNCLEAR),
    (None, CRASHED, None, Verdict.STAYED),
    (None, OFF, UNKNOWN, Verdict.UNCLEAR),
    (False, CRASHED, RUNS, Verdict.MOVED),
    (True, CRASHED, UNKNOWN, Verdict.MOVED),
    (True, CRASHED, RUNS, Verdict.MOVED),
    (True, CRASHED, None, Verdict.LOST),
    # The guest has shut itself down meanwhile.
    (False, OFF, None, Verdict.STAYED),
    (True, None, state(State.CRASHED, 'panicked'), Verdict.MOVED),
    (False, state(State.PAUSED, 'postcopy'), RUNS, Verdict.UNCLEAR),
    (False, state(State.PAUSED, 'postcopy'), CRASHED, Verdict.UNCLEAR),
    (False, BROKEN, UNKNOWN, Verdict.UNCLEAR),
    (False, BROKEN, state(State.RUNNING, 'postcopy-failed'),
     Verdict.UNCLEAR),
    (False, BROKEN, CRASHED, Verdict.MOVED),
    (False, BROKEN, None, Verdict.LOST),
    (False, CRASHED, state(State.RUNNING, 'postcopy-failed'),
     Verdict.MOVED),
)


class VerdictTest(base.TestCase):

    def test_no_witness_decides_alone(self) -> None:
        for returned, here, there, wanted in CASES:
            with self.subTest(returned=returned, here=here, there=there):
                self.assertIs(
                    wanted, verdict.decide(returned, here, there))

    def test_one_that_is_held_waits_for_the_other_host(self) -> None:
        for there, wanted in ((RUNS, Verdict.MOVED), (None, Verdict.STAYED),
                              (UNKNOWN, Verdict.UNCLEAR),
                              (COMES, Verdict.UNCLEAR),
                              (OFF, Verdict.UNCLEAR)):
            with self.subTest(there=there):
                self.assertIs(wanted, verdict.decide(
                    False, HELD, there, held=True))
