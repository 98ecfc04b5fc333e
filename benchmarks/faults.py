# SPDX-License-Identifier: Apache-2.0

"""What a connection to libvirt does when the daemon hangs or dies.

Each fault is made on a private host with two guests, while four threads look
at them all the time: through this driver, and through the connection of Nova's
own when ``tools/nova-env`` has installed one. "Never" is said when one of the
threads has not come back.
"""

import argparse
from collections.abc import Callable
import contextlib
import dataclasses
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import threading
import time
from typing import Any

from benchmarks import fault_subject
from nova_libvirt_driver.testing import guests
from nova_libvirt_driver.testing import libvirtd

TREE = pathlib.Path(__file__).parents[1]
LIMIT_S = 40.0
DOWN_S = 3.0
HUNG_S = 15.0
SETTLE_S = 3.0


class Rig:
    """A host, its guests and what is done to them.

    :ivar resumed_s: when a daemon that stood still was let go on, if one was
    """

    def __init__(self, host: libvirtd.PrivateHost, folder: str) -> None:
        self.host = host
        self.resumed_s = 0.0
        for name in ('stays', 'dies'):
            disk = pathlib.Path(folder, name)
            disk.write_bytes(guests.boot_sector('up'))
            host.virsh('create', _file(folder, guests.boot_guest_xml(
                name, disk, disk.with_suffix('.log'))))

    def kill(self) -> None:
        """Kill the daemon and start it a little later."""
        self.host.kill_daemon(signal.SIGKILL)
        time.sleep(DOWN_S)
        self.host.start_daemon()

    def hang(self) -> None:
        """Let the daemon stand still for some time."""
        self.host.kill_daemon(signal.SIGSTOP)
        time.sleep(HUNG_S)
        self.resumed_s = time.monotonic()
        self.host.resume_daemon()

    def hang_and_kill(self) -> None:
        """Let it stand still, then kill it."""
        self.host.kill_daemon(signal.SIGSTOP)
        time.sleep(DOWN_S)
        self.kill()

    def kill_both(self) -> None:
        """Kill the daemon, and a guest while it is down."""
        self.host.kill_daemon(signal.SIGKILL)
        pid = self.host.guest_pid('dies')
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        time.sleep(DOWN_S)
        self.host.start_daemon()

    def restarts(self) -> None:
        """Kill and start the daemon ten times."""
        for _ in range(10):
            self.host.kill_daemon(signal.SIGKILL)
            self.host.start_daemon()
            time.sleep(1)


FAULTS: dict[str, Callable[[Rig], None]] = {
    'daemon killed': Rig.kill,
    'daemon hangs': Rig.hang,
    'hangs, then killed': Rig.hang_and_kill,
    'ten restarts': Rig.restarts,
    'guest dies meanwhile': Rig.kill_both,
}


@dataclasses.dataclass(frozen=True, slots=True)
class Outcome:
    """How one subject took one fault; None is never."""

    longest_look_s: float | None
    """Longest time that a look took, or that one is still under way."""
    recovered_s: float | None
    """From the end of the fault to the first good answer of each thread."""
    events: int
    """Of any guest; only in one fault does one die."""
    more_files: int
    """Open files at the end, less those before the fault."""


class Subject:
    """The process of one subject."""

    def __init__(self, name: str, python: str, uri: str) -> None:
        self.name = name
        self.lines: list[dict[str, Any]] = []
        self._process = subprocess.Popen(
            [python, '-W', 'ignore', '-m', 'benchmarks.fault_subject', name,
             uri], cwd=TREE, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL, text=True,
            env={**os.environ, 'OS_NOVA_DISABLE_EVENTLET_PATCHING': 'true'})
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            with contextlib.suppress(ValueError):
                self.lines.append(json.loads(line))

    def files(self) -> int:
        """Return how many files the process has open."""
        return len(os.listdir(f'/proc/{self._process.pid}/fd'))

    def _looks(self, thread: int) -> list[dict[str, Any]]:
        return [line for line in list(self.lines)
                if line.get('thread') == thread]

    def wait_good(self, moment_s: float) -> float | None:
        """Wait until each thread has had a good answer after a moment.

        Return how long after it, None when one has none within the limit.
        """
        while time.monotonic() < moment_s + LIMIT_S:
            first = [next((float(look['at_s']) for look in self._looks(thread)
                           if look['ok'] and look['since_s'] > moment_s), None)
                     for thread in range(fault_subject.CALLERS)]
            if None not in first:
                return max(at_s for at_s in first if at_s) - moment_s
            time.sleep(0.05)
        return None

    def longest_look_s(self, moment_s: float) -> float | None:
        """Return the longest look after a moment; None with a dead thread."""
        longest_s = 0.0
        for thread in range(fault_subject.CALLERS):
            looks = self._looks(thread)
            if looks[-1]['at_s'] < time.monotonic() - SETTLE_S:
                return None
            longest_s = max(longest_s, *(
                look['at_s'] - look['since_s'] for look in looks
                if look['at_s'] > moment_s))
        return longest_s

    def stop(self) -> None:
        """End the process, which may hang."""
        self._process.kill()
        self._process.wait()


def measure(name: str, python: str, fault: str) -> Outcome:
    """Let one subject meet one fault."""
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as (
            stack):
        host = libvirtd.PrivateHost('faults')
        stack.callback(host.stop)
        host.start()
        rig = Rig(host, folder)
        subject = Subject(name, python, host.uri)
        stack.callback(subject.stop)
        if subject.wait_good(time.monotonic()) is None:
            raise SystemExit(f'{name} does not answer at all')
        files, begin_s = subject.files(), time.monotonic()
        FAULTS[fault](rig)
        end_s = rig.resumed_s or time.monotonic()
        recovered_s = subject.wait_good(end_s)
        time.sleep(SETTLE_S)
        return Outcome(
            subject.longest_look_s(begin_s), recovered_s,
            sum('event' in line and line['at_s'] > begin_s
                for line in subject.lines),
            subject.files() - files)


def main() -> int:
    """Print the table and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        '--json', metavar='FILE', help='write the result to a file, too')
    arguments = parser.parse_args()
    pythons = {'ours': sys.executable}
    novas = TREE / '.venv-nova' / 'bin' / 'python'
    if novas.exists():
        pythons["Nova's"] = str(novas)
    print(f'{"fault":22}{"of":8}{"longest look":>14}{"recovery":>10}'
          f'{"events":>8}{"files":>7}')
    result = []
    for fault in FAULTS:
        for name, python in pythons.items():
            outcome = measure(name, python, fault)
            result.append({'fault': fault, 'of': name,
                           **dataclasses.asdict(outcome)})
            print(f'{fault:22}{name:8}{_text(outcome.longest_look_s):>14}'
                  f'{_text(outcome.recovered_s):>10}{outcome.events:>8}'
                  f'{outcome.more_files:>+7}', flush=True)
    if arguments.json:
        pathlib.Path(arguments.json).write_text(json.dumps(result, indent=2))
    return int(any(row['of'] == 'ours' and row['recovered_s'] is None
                   for row in result))


def _text(seconds: float | None) -> str:
    return 'never' if seconds is None else f'{seconds:.2f} s'


def _file(folder: str, xml: str) -> str:
    path = pathlib.Path(folder, 'domain.xml')
    path.write_text(xml)
    return str(path)


if __name__ == '__main__':
    sys.exit(main())
