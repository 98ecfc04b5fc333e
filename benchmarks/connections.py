# SPDX-License-Identifier: Apache-2.0

"""How long it takes to connect and to reconnect, and 64 callers at once.

With this driver, with Nova's own when ``tools/nova-env`` has installed one
(without the reconnect: ``benchmarks.faults`` has that), and with the plain
binding, in turns. The callers ask for the power states of ten guests, five of
which run; once all are threads, once greenthreads.
"""

from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
import contextlib
import signal
import sys
import time

import libvirt

from benchmarks import crowd
from benchmarks import measure
from benchmarks import options
from benchmarks import subjects

GUESTS = 10
DOWN_S = 0.5
_LOOK_S = 0.005
_LIMIT_S = 60.0


def connect(rig: subjects.Rig, rounds: int) -> list[measure.Row]:
    """Measure ``init_host`` in processes that are new."""
    def way(name: str) -> measure.Way:
        return lambda: init_s(rig, name)

    times = measure.in_turns(
        {name: way(name) for name in ('libvirt', *subjects.drivers())},
        rounds)
    return [measure.time_row(f'{name}: connect', taken)
            for name, taken in times.items()]


def init_s(rig: subjects.Rig, name: str) -> float:
    """Return how long ``init_host`` takes in a new process."""
    with rig.subject(name) as subject:
        return float(subject.first['init_s'])


def reconnect(rig: subjects.Rig, rounds: int) -> list[measure.Row]:
    """Measure from the start of a daemon until there are answers again."""
    ours_s, plain_s = [], []
    with rig.subject(subjects.drivers()[0]) as subject:
        for _ in range(rounds):
            rig.host.kill_daemon(signal.SIGKILL)
            time.sleep(DOWN_S)
            rig.host.start_daemon()
            start_s = time.monotonic()
            plain_s.append(_until_open(rig.host.uri) - start_s)
            ours_s.append(_until_answer(subject) - start_s)
            # Nobody disturbs the end of what it does for a reconnect.
            time.sleep(DOWN_S)
    plain, ours = (measure.Times(tuple(taken)) for taken in (plain_s, ours_s))
    return [measure.time_row('libvirt: answers after a restart', plain),
            measure.time_row(f'{subject.name}: answers after a restart', ours),
            measure.time_row(
                f'{subject.name}: that, later than libvirt',
                measure.Times(tuple(one - other for one, other in zip(
                    ours_s, plain_s, strict=True))))]


def _until_open(uri: str) -> float:
    deadline_s = time.monotonic() + _LIMIT_S
    while time.monotonic() < deadline_s:
        with contextlib.suppress(libvirt.libvirtError):
            connection = libvirt.open(uri)
            connection.listAllDomains()
            moment_s = time.monotonic()
            connection.close()
            return moment_s
        time.sleep(_LOOK_S)
    raise SystemExit('the daemon does not come back')


def _until_answer(subject: subjects.Subject) -> float:
    deadline_s = time.monotonic() + _LIMIT_S
    while time.monotonic() < deadline_s:
        with contextlib.suppress(subjects.SubjectError):
            subject.ask('list_instances')
            return time.monotonic()
        time.sleep(_LOOK_S)
    raise SystemExit(f'{subject.name} does not come back')


def crowds(
        rig: subjects.Rig, rounds: int, *,
        eventlet: bool) -> list[measure.Row]:
    """Measure many callers at once."""
    found: dict[tuple[str, str], list[Mapping[str, object]]] = {}
    with contextlib.ExitStack() as stack:
        started = [stack.enter_context(rig.subject(name, eventlet=eventlet))
                   for name in (*subjects.drivers(), 'libvirt')]
        for number in range(rounds + 1):
            shift = number % len(started)
            for subject in started[shift:] + started[:shift]:
                for kind in _kinds(subject.name):
                    answer = subject.ask(kind, pause_s=subjects.COLD_S)
                    if number:
                        found.setdefault(
                            (subject.name, kind), []).append(answer)
    callers = f'{crowd.CALLERS} {"greenthreads" if eventlet else "threads"}'
    return [row for (name, kind), answers in found.items()
            for row in crowd_rows(f'{callers}, {name}: {kind}', answers)]


def _kinds(name: str) -> Sequence[str]:
    kinds = list(crowd.USE_CACHE)
    # Only this driver knows a difference.
    return kinds if name in ('ours', 'alone') else kinds[-1:]


def crowd_rows(
        what: str,
        answers: Sequence[Mapping[str, object]]) -> Iterator[measure.Row]:
    """Return how many answers there were, and how soon they came."""
    rates, halves_ms, tails_ms, longest_ms = [], [], [], []
    for answer in answers:
        taken_s, wall_s = answer['taken_s'], answer['wall_s']
        assert isinstance(taken_s, list) and isinstance(wall_s, float)
        rates.append(len(taken_s) / wall_s)
        halves_ms.append(measure.percentile(taken_s, 50) * 1000)
        tails_ms.append(measure.percentile(taken_s, 99) * 1000)
        longest_ms.append(max(taken_s) * 1000)
    for title, unit, values in (
            ('a second', '1/s', rates), ('p50', 'ms', halves_ms),
            ('p99', 'ms', tails_ms), ('longest', 'ms', longest_ms)):
        yield measure.Row(
            what=f'{what}, {title}', unit=unit, value=measure.median(values),
            spread=measure.spread(values))


def main() -> int:
    """Print the table and return the exit code."""
    arguments = options.parse(__doc__, rounds=measure.MIN_ROUNDS)
    with subjects.rig('links') as rig:
        rig.herd.grow(GUESTS)
        rows = [*connect(rig, arguments.rounds),
                *crowds(rig, arguments.rounds, eventlet=False),
                *crowds(rig, arguments.rounds, eventlet=True),
                # Last: it ends connections.
                *reconnect(rig, arguments.rounds)]
    return measure.finish(rows, arguments.json)


if __name__ == '__main__':
    sys.exit(main())
