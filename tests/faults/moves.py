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

from nova_libvirt_driver import exception
from nova_libvirt_driver.spec import guest as guest_spec
from nova_libvirt_driver.spec import instance as instance_spec
from nova_libvirt_driver.spec import live_migration as migration_spec
from nova_libvirt_driver.testing import guests
from nova_libvirt_driver.testing import libvirtd
from nova_libvirt_driver.testing import relay
from nova_libvirt_driver.testing import specs
from tests.functional import pair
from tests.functional import test_live_migration

State = instance_spec.PowerState
MIB = 1 << 20
DISK_MIB = 9
SETTLED_S = 180.0
STUCK_S = 10
_SAMPLE_S = 0.05


class Phase(enum.StrEnum):
    """When it happens."""

    BEFORE = 'before'
    """The destination is ready, and nothing is copied."""
    COPY = 'copy'
    """Disk and memory are copied."""
    SWITCH = 'switch'
    """The guest stands still for the last pass, or has just gone."""


class End(enum.StrEnum):
    """Where the guest is in the end; everything else is clean."""

    STAYED = 'stayed'
    MOVED = 'moved'
    CRASHED = 'crashed'
    """Stopped where it was, as its QEMU is dead; it can be started there."""
    CRASHED_THERE = 'crashed there'


@dataclasses.dataclass(frozen=True)
class Row:
    """One line of the table."""

    phase: Phase
    fault: str
    ends: tuple[End, ...]

    @property
    def name(self) -> str:
        return f'test_{self.phase}_{self.fault}'


_BOTH = (End.STAYED, End.MOVED)
# What is done to whom: how it ends in each of the phases.
_FAULTS: dict[str, tuple[tuple[End, ...], ...]] = {
    'source_agent': ((End.STAYED,), (End.STAYED,), _BOTH),
    'destination_agent': ((End.MOVED,), (End.MOVED,), (End.MOVED,)),
    'source_daemon': ((End.MOVED,), (End.STAYED,), _BOTH),
    'destination_daemon': ((End.MOVED,), (End.STAYED,), _BOTH),
    'source_qemu': ((End.CRASHED,), (End.CRASHED,),
                    (End.CRASHED, End.MOVED)),
    'destination_qemu': ((), (End.STAYED,),
                         (End.STAYED, End.CRASHED_THERE)),
    'control_link': ((End.MOVED,), (End.STAYED,), _BOTH),
    'memory_link': ((End.STAYED,), _BOTH, _BOTH),
    'full_disk': ((End.STAYED,), (), ()),
    'time_out': ((), (End.STAYED,), ()),
    'abort': ((), (End.STAYED,), _BOTH)}
_WORDS = {
    'source_agent': 'the agent here is killed',
    'destination_agent': 'the agent there is killed',
    'source_daemon': 'the libvirt daemon here is killed',
    'destination_daemon': 'the libvirt daemon there is killed',
    'source_qemu': 'QEMU here is killed',
    'destination_qemu': 'QEMU there is killed',
    'control_link': 'the connection of the daemons is cut',
    'memory_link': 'the network is cut for ten seconds',
    'full_disk': 'the disk there is full',
    'time_out': 'it takes too long and is to be aborted then',
    'abort': 'it is aborted'}
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
    """

    def __init__(self, *consoles: pathlib.Path) -> None:
        self._consoles = consoles
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
        self.aborting: list[Exception] = []
        for host in self.hosts:
            self.addCleanup(host.resume_daemon)

    def destination(self, side: pair.Side) -> migration_spec.Destination:
        return dataclasses.replace(
            super().destination(side), uri=self.uri or side.host.uri)

    def go_through(self, row: Row) -> None:
        """Let a guest go, do that to it, and see how it ends."""
        spec = self.writing()
        consoles = [side.instances_path / spec.uuid / 'console.log'
                    for side in (self.source, self.target)]
        there = self.prepare(spec, self.source, self.target)
        strike = getattr(self, f'strike_{row.fault}')
        with contextlib.ExitStack() as stack:
            if row.fault == 'control_link':
                self._relay(stack)
            watcher = Watcher(*consoles)
            self.addCleanup(watcher.end)
            before = self.count(self.source, spec, above=0)
            agent: subprocess.Popen[str] | None = None
            if row.phase is not Phase.BEFORE:
                agent = self.start_agent(row, there)
                self.await_phase(row.phase, spec, agent)
            strike(spec, agent)
            if agent is None and row.fault != 'source_agent':
                agent = self.start_agent(row, there)
            if row.fault == 'memory_link':
                self._mend(agent)
            if agent is not None:
                agent.wait(SETTLED_S)
            self.restore()
            end = self.settled(spec, there)
        self.assertIn(end, row.ends)
        self.assertFalse(two_ran(watcher.end()), watcher.turns)
        self.assert_whole(end, spec, consoles, before)

    def writing(self) -> guest_spec.GuestSpec:
        """Return a guest on the first host that counts on its disk."""
        path = self.root / 'image'
        path.write_bytes(guests.writing_sector().ljust(MIB, b'\0'))
        image = self.images.add(str(path), name=f'write {uuid_module.uuid4()}')
        spec = specs.guest_spec('web', image.id)
        self.source.driver.spawn(
            spec, attachments=self.attachments(self.source))
        self.count(self.source, spec, above=1)
        self.write(spec, DISK_MIB)
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
        return self.child('live_migration', there, self.source,
                          libvirt=options)

    def await_phase(
            self, phase: Phase, spec: guest_spec.GuestSpec,
            agent: subprocess.Popen[str]) -> None:
        """Wait until a migration is that far."""
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
        with contextlib.suppress(exception.DriverError):
            self.source.driver.live_migration_abort(spec)

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

    def _mend(self, agent: subprocess.Popen[str] | None) -> None:
        """Mend the link after a while; nobody can end a copy before.

        QEMU waits for the writes that are under way to the other host, and
        libvirt for QEMU.
        """
        deadline = time.monotonic() + STUCK_S
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
        if self.source.state(spec) is None:
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


def add_rows(
        case: type[MoveFaultTestCase], rows: tuple[Row, ...]) -> None:
    """Give a test case a test for each row."""
    for row in rows:
        def test(self: MoveFaultTestCase, row: Row = row) -> None:
            self.go_through(row)

        test.__name__ = row.name
        setattr(case, row.name, test)
