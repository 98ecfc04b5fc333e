# SPDX-License-Identifier: Apache-2.0

"""Each fault in each phase of a live migration, and how it has to end.

A guest that counts on its disk goes from one host to the other, with its
disk, driven by a process of its own. The table is the one of the manual, in
``doc/source/reference/live-migration-faults.rst``.
"""

from collections.abc import Callable
import contextlib
import dataclasses
import enum
import functools
import json
import os
import pathlib
import re
import signal
import subprocess
import threading
import time
from typing import Any
import uuid as uuid_module

import libvirt
import libvirt_qemu

from nova_libvirt_driver import exception
from nova_libvirt_driver.guest import reach
from nova_libvirt_driver import ports
from nova_libvirt_driver.spec import guest as guest_spec
from nova_libvirt_driver.spec import instance as instance_spec
from nova_libvirt_driver.spec import live_migration as migration_spec
from nova_libvirt_driver.testing import fake_ports
from nova_libvirt_driver.testing import guests
from nova_libvirt_driver.testing import libvirtd
from nova_libvirt_driver.testing import relay
from nova_libvirt_driver.testing import specs
from tests.functional import pair
from tests.functional import test_live_migration

State = instance_spec.PowerState
MIB = 1 << 20
DISK_MIB, SMALL_MIB = 9, 2
SETTLED_S = 300.0
STUCK_S = 10
_SAMPLE_S = 0.05
_NEARLY_NOTHING = 1 << 16
"""As QEMU copies 64 KiB at once, some of it each second."""


class Phase(enum.StrEnum):
    """When it happens."""

    BEFORE = 'before'
    """The destination is ready, and nothing is copied."""
    COPY = 'copy'
    """Disk and memory are copied."""
    SWITCH = 'switch'
    """The guest stands still for the last pass, or has just gone."""
    POST_COPY = 'post-copy'
    """The guest runs there, and some of its memory is here."""


class End(enum.StrEnum):
    """Where the guest is in the end; everything else is clean."""

    STAYED = 'stayed'
    MOVED = 'moved'
    CRASHED = 'crashed'
    """Stopped where it was, as its QEMU is dead; it can be started there."""
    CRASHED_THERE = 'crashed there'
    BROKEN = 'broken'
    """It has begun to run there, and waits for memory that is here."""


@dataclasses.dataclass(frozen=True)
class Row:
    """One line of the table."""

    phase: Phase
    fault: str
    ends: tuple[End, ...]

    @property
    def name(self) -> str:
        return f'test_{self.phase}_{self.fault}'.replace('-', '_')


_STAYED, _MOVED = (End.STAYED,), (End.MOVED,)
_BOTH = (End.STAYED, End.MOVED)
# What is done to whom: how it ends in each of the phases.
_FAULTS: dict[str, tuple[tuple[End, ...], ...]] = {
    'source_agent': (_STAYED, _STAYED, _BOTH, _MOVED),
    'destination_agent': (_MOVED, _MOVED, _MOVED, _MOVED),
    'source_daemon': (_MOVED, _STAYED, _BOTH, _MOVED),
    'destination_daemon': (_MOVED, _STAYED, _BOTH, _MOVED),
    'source_qemu': ((End.CRASHED,), (End.CRASHED,),
                    (End.CRASHED, End.MOVED), (End.CRASHED_THERE,)),
    'destination_qemu': ((), _STAYED, (End.STAYED, End.CRASHED_THERE),
                         (End.CRASHED_THERE,)),
    'control_link': (_MOVED, _STAYED, _BOTH, _MOVED),
    'memory_link': (_STAYED, _BOTH, _BOTH, _MOVED),
    'broken_link': ((), _STAYED, _BOTH, _MOVED),
    'link_and_agent': ((), (), (), _MOVED),
    'lost_link': ((), (), (), (End.BROKEN,)),
    'full_disk': (_STAYED, (), (), ()),
    'time_out': ((), _STAYED, (), ()),
    'abort': ((), _STAYED, _BOTH, _MOVED)}
_WORDS = {
    'source_agent': 'the agent here is killed',
    'destination_agent': 'the agent there is killed',
    'source_daemon': 'the libvirt daemon here is killed',
    'destination_daemon': 'the libvirt daemon there is killed',
    'source_qemu': 'QEMU here is killed',
    'destination_qemu': 'QEMU there is killed',
    'control_link': 'the connection of the daemons is cut',
    'memory_link': 'the network is cut for ten seconds',
    'broken_link': 'the connections of the QEMUs break',
    'link_and_agent': 'the same and the agent here is killed',
    'lost_link': 'the network is cut for good',
    'full_disk': 'the disk there is full',
    'time_out': 'it takes too long and is to be aborted then',
    'abort': 'it is aborted'}
_LET_GO_ON = frozenset(
    (Phase.SWITCH, fault) for fault in (
        'source_daemon', 'destination_daemon', 'control_link'))
"""Where libvirt may lose the last answer from there, and lets the guest go on
here, for the moment until the driver holds it."""
_HELD_AFTER_S = 5.0
"""As long may that moment be on a busy machine."""
TABLE = tuple(
    Row(phase, fault, ends) for fault, each in _FAULTS.items()
    for phase, ends in zip(Phase, each, strict=True) if ends)


def as_csv() -> str:
    """Return the table as the manual has it."""
    lines = [','.join(('What fails', *Phase))]
    for fault, each in _FAULTS.items():
        lines.append(','.join((_WORDS[fault], *(
            ' or '.join(ends) for ends in each))))
    return '\n'.join(lines) + '\n'


class Watcher:
    """Looks from outside which of two copies of a guest write.

    A copy runs when its console grows. That both grow is seen once when the
    guest goes from one to the other between two looks.

    :ivar longest_s: for how long none of them has written
    :ivar overlap_s: for how long the first one has after the second began to
    """

    def __init__(self, *consoles: pathlib.Path) -> None:
        self._consoles = consoles
        self._second_at: float | None = None
        self.overlap_s = 0.0
        self._ended = threading.Event()
        self.turns: list[tuple[int, ...]] = []
        self.longest_s = 0.0
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def end(self) -> list[tuple[int, ...]]:
        """Return which copies wrote, one after the other."""
        self._ended.set()
        self._thread.join()
        return self.turns

    def _watch(self) -> None:
        sizes, grown_at = self._sizes(), time.monotonic()
        while not self._ended.wait(_SAMPLE_S):
            now = self._sizes()
            grown = tuple(number for number, (before, after) in enumerate(
                zip(sizes, now, strict=True)) if after > before)
            sizes = now
            if grown:
                self.longest_s = max(
                    self.longest_s, time.monotonic() - grown_at)
                grown_at = time.monotonic()
                if self._second_at is None and 1 in grown:
                    self._second_at = grown_at
                if self._second_at is not None and 0 in grown:
                    self.overlap_s = grown_at - self._second_at
                if self.turns[-1:] != [grown] or len(grown) > 1:
                    self.turns.append(grown)

    def _sizes(self) -> list[int]:
        found = []
        for path in self._consoles:
            try:
                found.append(path.stat().st_size)
            except OSError:
                found.append(0)
        return found


def two_ran(turns: list[tuple[int, ...]]) -> bool:
    """Say whether the first copy wrote after the second one had begun to."""
    begun = next((at for at, turn in enumerate(turns) if 1 in turn), None)
    return begun is not None and any(
        0 in turn for turn in turns[begun + 1:])


class MoveFaultTestCase(test_live_migration.LiveMigrationTestCase):
    """Goes through rows of the table."""

    def setUp(self) -> None:
        super().setUp()
        self.uri = ''
        self.refusals: list[exception.DriverError] = []
        for host in self.hosts:
            self.addCleanup(host.resume_daemon)

    def destination(self, side: pair.Side) -> migration_spec.Destination:
        return dataclasses.replace(
            super().destination(side), uri=self.uri or side.host.uri)

    def go_through(self, row: Row) -> None:
        """Let a guest go, do that to it, and see how it ends."""
        spec = self.writing(
            SMALL_MIB if row.phase is Phase.POST_COPY else DISK_MIB)
        consoles = [side.instances_path / spec.uuid / 'console.log'
                    for side in (self.source, self.target)]
        there = self.prepare(spec, self.source, self.target)
        with contextlib.ExitStack() as stack:
            if row.fault == 'control_link':
                self._relay(stack)
            watcher = Watcher(*consoles)
            self.addCleanup(watcher.end)
            before = self.count(self.source, spec, above=0)
            agent: subprocess.Popen[str] | None = None
            if row.phase is not Phase.BEFORE:
                agent = self.start_agent(row, there)
                self.await_phase(row.phase, spec)
            if row.phase is Phase.POST_COPY:
                self.switch(spec)
            self.strike(row, spec, agent)
            if agent is None and row.fault != 'source_agent':
                agent = self.start_agent(row, there)
            if row.fault == 'memory_link':
                self._mend(row, agent)
            if End.BROKEN in row.ends:
                assert agent is not None
                self.assert_broken(spec, agent)
                return
            if agent is not None:
                agent.wait(SETTLED_S)
            if row.phase is Phase.POST_COPY and row.fault == 'source_qemu':
                # Libvirt 9.0 does not let go of a domain whose QEMU dies
                # then, and undefines it only after a restart.
                self._restart(self.source.host)
            self.restore()
            end = self.settled(spec, there)
        self.assertIn(end, row.ends)
        if row.phase is Phase.POST_COPY and row.fault == 'abort':
            self.assertIn('other host already', str(self.refusals))
        self.assert_one_ran(row, watcher)
        self.assert_whole(end, spec, consoles, before)

    def assert_one_ran(self, row: Row, watcher: Watcher) -> None:
        turns = watcher.end()
        if (row.phase, row.fault) in _LET_GO_ON:
            self.assertLess(watcher.overlap_s, _HELD_AFTER_S)
        else:
            self.assertFalse(two_ran(turns), turns)

    def strike(
            self, row: Row, spec: guest_spec.GuestSpec,
            agent: subprocess.Popen[str] | None) -> None:
        """Do to a guest what the row says."""
        getattr(self, f'strike_{row.fault}')(spec, agent)
        # Who lost its agent waits for the next one, which may come late.
        if row.phase is Phase.COPY and row.fault != 'source_agent':
            self.set_copy_speed(spec, MIB)

    def writing(self, size_mib: int = DISK_MIB) -> guest_spec.GuestSpec:
        """Return a guest on the first host that counts on its disk."""
        path = self.root / 'image'
        path.write_bytes(guests.writing_sector().ljust(MIB, b'\0'))
        image = self.images.add(str(path), name=f'write {uuid_module.uuid4()}')
        spec = specs.guest_spec('web', image.id)
        self.source.driver.spawn(
            spec, attachments=self.attachments(self.source))
        self.count(self.source, spec, above=1)
        self.write(spec, size_mib)
        # It begins with nothing again, and does not look at the first time.
        self.count(self.source, spec, above=1)
        return spec

    def start_agent(
            self, row: Row, there: guest_spec.GuestSpec,
    ) -> subprocess.Popen[str]:
        """Have a process let the guest go."""
        options = dict(test_live_migration.SLOW)
        if row.fault == 'time_out':
            options['live_migration_completion_timeout'] = 1
        if row.phase is Phase.POST_COPY:
            options['live_migration_permit_post_copy'] = True
        return self.child('live_migration', there, self.source,
                          libvirt=options)

    def await_phase(self, phase: Phase, spec: guest_spec.GuestSpec) -> None:
        """Wait until a migration is that far."""
        if phase is Phase.POST_COPY:
            return
        if phase is Phase.COPY:
            # On a busy machine all would be copied before it is struck.
            fake_ports.wait_until(
                lambda: self.set_copy_speed(spec, _NEARLY_NOTHING),
                'the copy of the disk', timeout_s=SETTLED_S)
        self.wait_moving(spec)
        if phase is Phase.COPY:
            time.sleep(1)
            return
        with contextlib.closing(libvirt.open(self.source.host.uri)) as link:
            deadline = time.monotonic() + SETTLED_S
            while time.monotonic() < deadline:
                try:
                    domain = link.lookupByUUIDString(spec.uuid)
                    if domain.state()[0] != libvirt.VIR_DOMAIN_RUNNING:
                        return
                except libvirt.libvirtError:
                    return
                time.sleep(0.002)
        self.fail('it does not come to an end')

    def set_copy_speed(
            self, spec: guest_spec.GuestSpec, bytes_s: int) -> bool:
        """Have the disk copied that fast; return whether it is copied."""
        with contextlib.suppress(libvirt.libvirtError), contextlib.closing(
                libvirt.open(self.source.host.uri)) as link:
            domain = link.lookupByUUIDString(spec.uuid)
            jobs = json.loads(libvirt_qemu.qemuMonitorCommand(
                domain, '{"execute": "query-block-jobs"}', 0))['return']
            for job in jobs:
                libvirt_qemu.qemuMonitorCommand(domain, json.dumps({
                    'execute': 'block-job-set-speed', 'arguments': {
                        'device': job['device'], 'speed': bytes_s}}), 0)
            return bool(jobs)
        return False

    def switch(self, spec: guest_spec.GuestSpec) -> None:
        """Let the guest run there as soon as its memory is copied.

        The rest of it follows slowly: QEMU sends ten pages in a second.
        """
        with contextlib.closing(libvirt.open(self.source.host.uri)) as link:
            domain = link.lookupByUUIDString(spec.uuid)
            fake_ports.wait_until(
                lambda: domain.jobStats().get('memory_processed', 0) > 0,
                'the copy of the memory', timeout_s=SETTLED_S)
            libvirt_qemu.qemuMonitorCommand(domain, json.dumps({
                'execute': 'migrate-set-parameters',
                'arguments': {'max-bandwidth': 100_000,
                              'max-postcopy-bandwidth': 8_000}}), 0)
            domain.migrateStartPostCopy(0)
        there = self.target.instances_path / spec.uuid / 'console.log'
        fake_ports.wait_until(
            lambda: there.exists() and there.stat().st_size > 0,
            'the guest to run there', timeout_s=SETTLED_S)
        self.assertEqual(
            ['postcopy', 'postcopy'], self.reasons(spec))

    def reasons(self, spec: guest_spec.GuestSpec) -> list[str]:
        """Return libvirt's word for how the guest is here, and there."""
        found = []
        for side in (self.source, self.target):
            with contextlib.closing(libvirt.open(side.host.uri)) as link:
                found.append(reach.GuestState.of(
                    link.lookupByUUIDString(spec.uuid)).reason)
        return found

    def await_broken(self, spec: guest_spec.GuestSpec) -> None:
        fake_ports.wait_until(
            lambda: self.reasons(spec) == ['postcopy-failed'] * 2,
            'both hosts to see that they lost each other',
            timeout_s=SETTLED_S)

    # What is done to it.

    def strike_source_agent(
            self, spec: guest_spec.GuestSpec,
            agent: subprocess.Popen[str] | None) -> None:
        if agent is not None:
            agent.kill()

    def strike_destination_agent(
            self, spec: guest_spec.GuestSpec,
            agent: subprocess.Popen[str] | None) -> None:
        self.target.driver.cleanup_host(self.target.host.name)
        self.connect(self.target)

    def strike_source_daemon(
            self, spec: guest_spec.GuestSpec,
            agent: subprocess.Popen[str] | None) -> None:
        self._restart(self.source.host)

    def strike_destination_daemon(
            self, spec: guest_spec.GuestSpec,
            agent: subprocess.Popen[str] | None) -> None:
        self._restart(self.target.host)

    def strike_source_qemu(
            self, spec: guest_spec.GuestSpec,
            agent: subprocess.Popen[str] | None) -> None:
        self._kill_qemu(self.source, spec)

    def strike_destination_qemu(
            self, spec: guest_spec.GuestSpec,
            agent: subprocess.Popen[str] | None) -> None:
        self._kill_qemu(self.target, spec)

    def strike_control_link(
            self, spec: guest_spec.GuestSpec,
            agent: subprocess.Popen[str] | None) -> None:
        self.link.cut()

    def strike_memory_link(
            self, spec: guest_spec.GuestSpec,
            agent: subprocess.Popen[str] | None) -> None:
        self._cable('down')
        self.addCleanup(self._cable, 'up')

    def strike_broken_link(
            self, spec: guest_spec.GuestSpec,
            agent: subprocess.Popen[str] | None) -> None:
        self._break_connections(self.source)

    def strike_link_and_agent(
            self, spec: guest_spec.GuestSpec,
            agent: subprocess.Popen[str] | None) -> None:
        self.strike_source_agent(spec, agent)
        self._break_connections(self.source)
        self.await_broken(spec)

    def strike_lost_link(
            self, spec: guest_spec.GuestSpec,
            agent: subprocess.Popen[str] | None) -> None:
        self.strike_memory_link(spec, agent)
        for side in (self.source, self.target):
            self._break_connections(side)

    def strike_full_disk(
            self, spec: guest_spec.GuestSpec,
            agent: subprocess.Popen[str] | None) -> None:
        disk = self.target.instances_path / spec.uuid / 'disk'
        inside = disk.parent
        kept = disk.read_bytes()
        self.target.host.run(['mount', '-t', 'tmpfs', '-o', 'size=2m',
                              'tmpfs', str(inside)])
        copy = self.target.host.directory / 'kept'
        copy.write_bytes(kept)
        self.target.host.run(['cp', str(copy), str(disk)])
        self.addCleanup(self.target.host.run, ['umount', str(inside)])

    def strike_time_out(
            self, spec: guest_spec.GuestSpec,
            agent: subprocess.Popen[str] | None) -> None:
        """Wait: nothing is done to it."""

    def strike_abort(
            self, spec: guest_spec.GuestSpec,
            agent: subprocess.Popen[str] | None) -> None:
        try:
            self.source.driver.live_migration_abort(spec)
        except exception.DriverError as error:
            self.refusals.append(error)

    def _restart(self, host: libvirtd.PrivateHost) -> None:
        host.kill_daemon(signal.SIGKILL)
        host.resume_daemon()

    def _kill_qemu(
            self, side: pair.Side, spec: guest_spec.GuestSpec) -> None:
        pid = side.host.guest_pid(spec.name)
        if pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def _relay(self, stack: contextlib.ExitStack) -> None:
        path = self.target.host.directory / 'relay'
        self.link = stack.enter_context(relay.Relay(
            self.target.host.directory / 's' / 'libvirt-sock', path))
        stack.callback(path.unlink, missing_ok=True)
        self.uri = self.link.uri

    def _cable(self, state: str) -> None:
        subprocess.run(
            ['nsenter', '--target', str(self.source.host.holder_pid),
             '--net', 'ip', 'link', 'set', 'cable', state], check=True)

    def _break_connections(self, side: pair.Side) -> None:
        side.host.run(['ss', '--kill', '--tcp', 'state', 'established',
                       'src', f'{side.address}'])

    def _mend(
            self, row: Row, agent: subprocess.Popen[str] | None) -> None:
        """Mend the link after a while; nobody can end a copy before.

        QEMU waits for the writes that are under way to the other host, and
        libvirt for QEMU.
        """
        # What has not begun by then has nothing to wait for.
        deadline = time.monotonic() + (
            SETTLED_S if row.phase is Phase.BEFORE else STUCK_S)
        while agent is not None and agent.poll() is None and (
                time.monotonic() < deadline):
            time.sleep(1)
        self._cable('up')

    # How it ends.

    def restore(self) -> None:
        """Have both hosts work again, each with a new agent."""
        for side in (self.source, self.target):
            side.host.resume_daemon()
            side.driver.cleanup_host(side.host.name)
            self.connect(side)

    def settled(
            self, spec: guest_spec.GuestSpec,
            there: guest_spec.GuestSpec) -> End:
        """Do what a service does after a migration; say where it is."""
        deadline = time.monotonic() + SETTLED_S
        while True:
            with contextlib.suppress(exception.DriverError):
                self._follow_up(spec, there)
            with contextlib.suppress(exception.DriverError):
                end = self.end(spec)
                if end and not self.source.notes() and (
                        not self.target.notes()):
                    return end
            if time.monotonic() > deadline:
                self.fail(f'{self.source.state(spec)} here, '
                          f'{self.target.state(spec)} there, '
                          f'{self.source.notes()} {self.target.notes()}')
            time.sleep(1)

    def _follow_up(
            self, spec: guest_spec.GuestSpec,
            there: guest_spec.GuestSpec) -> None:
        calls: list[Callable[[], Any]] = []
        if self.source.state(spec) is None or (
                'live-migrate moved' in self.source.notes()):
            calls = [
                functools.partial(
                    self.source.driver.post_live_migration_at_source, there,
                    attachments=self.attachments(self.source)),
                functools.partial(
                    self.target.driver.post_live_migration_at_destination,
                    there)]
        elif not self.source.notes():
            calls = [functools.partial(self.roll_back, spec)]
        for call in calls:
            with contextlib.suppress(exception.DriverError):
                call()

    def end(self, spec: guest_spec.GuestSpec) -> End | None:
        """Say where the guest is, if that is an end."""
        return {
            (State.RUNNING, None): End.STAYED,
            (None, State.RUNNING): End.MOVED,
            (State.SHUTDOWN, None): End.CRASHED,
            (None, State.SHUTDOWN): End.CRASHED_THERE,
        }.get((self.source.state(spec), self.target.state(spec)))

    def assert_whole(
            self, end: End, spec: guest_spec.GuestSpec,
            consoles: list[pathlib.Path], before: int) -> None:
        """Fail unless no write is lost, and the other host is clean."""
        side, other = self.source, self.target
        if end in (End.MOVED, End.CRASHED_THERE):
            side, other = other, side
        if end in (End.CRASHED, End.CRASHED_THERE):
            side.driver.power_on(spec, attachments=self.attachments(side))
            before = 0
        after = self.count(side, spec, above=before)
        self.count(side, spec, above=after)
        self.assertEqual([], other.files())
        self.assert_only_at(side, spec)
        for path in consoles:
            text = path.read_text(errors='replace') if path.exists() else ''
            self.assertNotIn('!', text)
            numbers = [int(one) for one in re.findall(
                r'^(\d{8})\r$', text, re.M)]
            self.assertEqual([], [
                (one, two) for one, two in zip(
                    numbers, numbers[1:], strict=False)
                if two != one + 1 and two > 1])

    def assert_broken(
            self, spec: guest_spec.GuestSpec,
            agent: subprocess.Popen[str]) -> None:
        """Fail unless it stands still until it is deleted."""
        self.await_broken(spec)
        here, there = self.source.driver, self.target.driver
        for verb in (here.power_on, here.unpause, here.live_migration_abort,
                     there.power_off, self.roll_back):
            self.assertRaises(exception.DriverError, verb, spec)
        self.assertIsNone(agent.poll())
        # Who wants the guest stopped ends the wait for it.
        self.assertRaises(exception.DriverError, here.power_off, spec)
        self.assertEqual(['postcopy-failed'] * 2, self.reasons(spec))

        self.source.driver.destroy(
            spec, attachments=self.attachments(self.source))
        self.assertNotEqual(0, agent.wait(SETTLED_S))
        self.homes = {side.host.name: ports.Home.DELETED
                      for side in (self.source, self.target)}
        for side in (self.source, self.target):
            self.wait_clean(side)
            self.assertIsNone(side.state(spec))
            self.assertIsNone(side.host.guest_pid(spec.name))
            self.assertEqual([], side.files())
            self.assertFalse(self.attachments(side)[0].is_connected)


def add_rows(
        case: type[MoveFaultTestCase], rows: tuple[Row, ...]) -> None:
    """Give a test case a test for each row."""
    for row in rows:
        def test(self: MoveFaultTestCase, row: Row = row) -> None:
            self.go_through(row)

        test.__name__ = row.name
        setattr(case, row.name, test)
