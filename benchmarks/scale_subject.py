# SPDX-License-Identifier: Apache-2.0

"""One driver, or libvirt alone, under test; see ``benchmarks.subjects``.

``python -m benchmarks.scale_subject SUBJECT NOVA_CONF GUESTS`` reads commands
from the standard input and answers each, both as lines of JSON. One more word,
``trace``, makes it note what memory is taken by whom.
"""

import sys
import time
import tracemalloc
from typing import Any

from benchmarks import command_loop
from benchmarks import counting
from benchmarks import crowd
from benchmarks import verbs

MEMORY = 'memory'


class Subject:
    """Does what it is told, and tells what that took."""

    def __init__(self, bench: verbs.Bench) -> None:
        self._bench = bench
        self._idle_since_s = time.monotonic()

    def answer(self, command: dict[str, Any]) -> command_loop.Answer:
        """Do one thing.

        :param command: its ``verb``; with ``pause_s``, how long to do
            nothing before; ``how`` is to ``time`` it, to ``count`` what it
            does, or to look at the ``gap`` that it makes in other greenlets
        """
        rest_s = command.get('pause_s', 0) - (
            time.monotonic() - self._idle_since_s)
        if rest_s > 0:
            time.sleep(rest_s)
        try:
            return self._do(command['verb'], command.get('how', 'time'))
        finally:
            self._idle_since_s = time.monotonic()

    def _do(self, name: str, how: str) -> command_loop.Answer:
        if name == MEMORY:
            return {'bytes': verbs.traced_bytes()}
        if name in crowd.USE_CACHE:
            return crowd.ask(self._bench, use_cache=crowd.USE_CACHE[name])
        verb = self._bench.table.get(name)
        if verb is None:
            raise NotImplementedError
        return _HOW[how](verb)


def _time(verb: verbs.Verb) -> command_loop.Answer:
    cpu_s, wall_s = time.process_time(), time.perf_counter()
    outcome = verb()
    wall_s = time.perf_counter() - wall_s
    return {'wall_s': wall_s, 'cpu_s': time.process_time() - cpu_s,
            'outcome': outcome}


def _count(verb: verbs.Verb) -> command_loop.Answer:
    with counting.counted() as tally:
        outcome = verb()
    return {'calls': tally.calls, 'local_calls': tally.local_calls,
            'programs': tally.programs, 'by_name': tally.by_name,
            'outcome': outcome}


def _gap(verb: verbs.Verb) -> command_loop.Answer:
    from benchmarks import heartbeat

    with heartbeat.beating() as heart:
        verb()
    return {'gap_s': heart.longest_gap_s}


_HOW = {'time': _time, 'count': _count, 'gap': _gap}


def main(name: str, path: str, guests: str, *more: str) -> None:
    """Answer until the standard input ends."""
    output = command_loop.private_output()
    counting.listen()
    if 'trace' in more:
        tracemalloc.start()
    bench = verbs.BENCHES[name](path, int(guests))
    command_loop.serve(
        Subject(bench).answer, output,
        {'init_s': bench.init_s, 'bytes': bench.before_bytes})


if __name__ == '__main__':
    main(*sys.argv[1:])
