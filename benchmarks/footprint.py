# SPDX-License-Identifier: Apache-2.0

"""What a driver that has nothing to do costs, and how it gets to that.

With 1,000 guests, five of which run: memory for each guest, processor time of
an agent that is idle, ``init_host``, what the import of the plug-in adds to
nova-compute, and how long a verb keeps eventlet's hub from running. Nova's own
driver is measured beside it where ``tools/nova-env`` has installed one.
"""

from collections.abc import Iterator
import os
import subprocess
import sys
import tempfile
import time

import psutil

from benchmarks import connections
from benchmarks import measure
from benchmarks import options
from benchmarks import scale_subject
from benchmarks import subjects
from benchmarks import verbs

FEW, MANY = 10, 1000
IDLE_S = 30.0
AUDIT_EVERY_S, SYNC_EVERY_S = 60.0, 600.0
"""Nova's defaults."""
GUEST_KIB_MAX = 5
IDLE_PERCENT_MAX = 0.5
INIT_MS_MAX = 1000
IMPORT_MS_MAX = 150
HUB_MS_MAX = 20
IMPORTS = {'ours': 'nova_libvirt_driver.nova_plugin.driver',
           'in-tree': 'nova.virt.libvirt.driver'}
SLOW = (verbs.AUDIT, 'get_diagnostics', 'get_instance_diagnostics')
"""Verbs that take Nova's driver minutes, or seconds and nobody waits for."""


def memory_bytes(rig: subjects.Rig) -> int:
    """Return what Python's objects take after every verb was called."""
    with rig.subject(subjects.drivers()[0], 'trace') as subject:
        before = subject.first['bytes']
        for verb in verbs.CONTRACT:
            subject.ask(verb)
        return int(subject.ask(scale_subject.MEMORY)['bytes']) - int(before)


def memory_row(few_bytes: int, many_bytes: int) -> measure.Row:
    """Return what a guest takes, by the difference that many make."""
    return measure.Row(
        what='memory for a guest', unit='KiB', at_most=GUEST_KIB_MAX,
        value=(many_bytes - few_bytes) / (MANY - FEW) / 1024)


def idle(rig: subjects.Rig) -> Iterator[measure.Row]:
    """Measure the processor time of a driver that has little to do.

    Once nobody asks it anything; once it is asked what nova-compute's
    periodic tasks ask, at their intervals.
    """
    with rig.subject(subjects.drivers()[0]) as subject:
        for verb in verbs.CONTRACT:
            subject.ask(verb)
        before_s, start_s = _cpu_s(subject), time.monotonic()
        time.sleep(IDLE_S)
        share = (_cpu_s(subject) - before_s) / (time.monotonic() - start_s)
        yield measure.Row(
            what='processor, nobody asks', value=share * 100, unit='%')
        tasks_s = {verb: measure.median([
            float(subject.ask(verb, pause_s=subjects.COLD_S).get('cpu_s', 0))
            for _ in range(measure.MIN_ROUNDS)]) for verb in (
                verbs.AUDIT, 'update_provider_tree', verbs.SYNC)}
    share += (tasks_s[verbs.AUDIT] + tasks_s['update_provider_tree']
              ) / AUDIT_EVERY_S + tasks_s[verbs.SYNC] / SYNC_EVERY_S
    yield measure.Row(
        what='processor, with periodic tasks', value=share * 100, unit='%',
        at_most=IDLE_PERCENT_MAX)


def _cpu_s(subject: subjects.Subject) -> float:
    times = psutil.Process(subject.pid).cpu_times()
    return float(times.user + times.system)


def start(rig: subjects.Rig, rounds: int) -> Iterator[measure.Row]:
    """Measure ``init_host`` beside a connection and a list of libvirt."""
    driver, *others = subjects.drivers()
    ways = {name: _init_way(rig, name)
            for name in ('libvirt', driver, *others)}
    times = measure.in_turns(ways, rounds)
    for name, taken in times.items():
        yield measure.time_row(f'{name}: init_host', taken)
    more_ms = [1000 * (ours - plain) for ours, plain in zip(
        times[driver].seconds, times['libvirt'].seconds, strict=True)]
    yield measure.Row(
        what=f'{driver}: that, beyond libvirt', unit='ms',
        value=measure.median(more_ms), spread=measure.spread(more_ms),
        at_most=INIT_MS_MAX)


def _init_way(rig: subjects.Rig, name: str) -> measure.Way:
    return lambda: connections.init_s(rig, name)


def imports(rounds: int) -> Iterator[measure.Row]:
    """Measure what the drivers add to the imports of nova-compute."""
    if not subjects.nova_python().exists():
        return
    with tempfile.TemporaryDirectory() as folder:
        times = measure.in_turns(
            {name: _import_way(module, folder)
             for name, module in IMPORTS.items()}, rounds)
    for name, taken in times.items():
        milliseconds = [seconds * 1000 for seconds in taken.seconds]
        yield measure.Row(
            what=f'{name}: import', value=measure.median(milliseconds),
            unit='ms', spread=measure.spread(milliseconds),
            at_most=IMPORT_MS_MAX if name == 'ours' else None)


def _import_way(module: str, folder: str) -> measure.Way:
    # Compiled by the first round, as by the installation of a package.
    environment = {**os.environ, 'PYTHONPYCACHEPREFIX': folder}
    environment.pop('PYTHONDONTWRITEBYTECODE', None)
    return lambda: float(subprocess.run(
        [str(subjects.nova_python()), '-W', 'ignore', '-m',
         'benchmarks.import_time', module], cwd=subjects.TREE, check=True,
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        text=True, env=environment).stdout.splitlines()[-1])


def hub(rig: subjects.Rig, rounds: int) -> Iterator[measure.Row]:
    """Measure the longest time that other greenlets have to wait.

    The median over the rounds: the machine is not ours alone.
    """
    for name in ('libvirt', *subjects.drivers()):
        with rig.subject(name, eventlet=True) as subject:
            for verb in (verbs.LIMIT, *verbs.CONTRACT):
                if name != 'in-tree' or verb not in SLOW:
                    yield from _gaps(subject, verb, rounds)


def _gaps(
        subject: subjects.Subject, verb: str,
        rounds: int) -> Iterator[measure.Row]:
    gaps_ms = []
    for number in range(rounds + 1):
        answer = subject.ask(verb, how='gap', pause_s=subjects.COLD_S)
        if 'unsupported' in answer:
            return
        if number:
            gaps_ms.append(answer['gap_s'] * 1000)
    yield measure.Row(
        what=f'{subject.name}: hub blocked by {verb}', unit='ms',
        value=measure.median(gaps_ms), spread=measure.spread(gaps_ms),
        at_most=HUB_MS_MAX if subject.name in ('ours', 'alone') else None)


def main() -> int:
    """Print the table and return the exit code."""
    arguments = options.parse(__doc__, rounds=measure.MIN_ROUNDS)
    rows = [*imports(arguments.rounds)]
    with subjects.rig('footprint') as rig:
        rig.herd.grow(FEW)
        few_bytes = memory_bytes(rig)
        rig.herd.grow(MANY)
        rows += [memory_row(few_bytes, memory_bytes(rig)), *idle(rig),
                 *start(rig, arguments.rounds), *hub(rig, arguments.rounds)]
    return measure.finish(rows, arguments.json)


if __name__ == '__main__':
    sys.exit(main())
