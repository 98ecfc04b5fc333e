# SPDX-License-Identifier: Apache-2.0

"""One driver, or libvirt alone, under test; run by ``benchmarks.scale``.

``python -m benchmarks.scale_subject SUBJECT NOVA_CONF GUESTS`` reads commands
from the standard input and answers each, both as lines of JSON.
"""

import json
import os
import sys
import time
import traceback
from typing import Any
from typing import IO

from benchmarks import counting
from benchmarks import verbs


class Subject:
    """Does what it is told, and tells what that took."""

    def __init__(self, table: verbs.Table) -> None:
        self._table = table
        self._idle_since_s = time.monotonic()

    def answer(self, command: dict[str, Any]) -> dict[str, Any]:
        """Do one thing.

        :param command: its ``verb``; with ``pause_s``, how long to do
            nothing before; with ``count``, counted and not timed
        """
        verb = self._table.get(command['verb'])
        if verb is None:
            return {'unsupported': True}
        rest_s = command.get('pause_s', 0) - (
            time.monotonic() - self._idle_since_s)
        if rest_s > 0:
            time.sleep(rest_s)
        try:
            if command.get('count'):
                return _count(verb)
            return _time(verb)
        except NotImplementedError:
            return {'unsupported': True}
        except Exception:
            return {'error': traceback.format_exc()}
        finally:
            self._idle_since_s = time.monotonic()


def _time(verb: verbs.Verb) -> dict[str, Any]:
    cpu_s, wall_s = time.process_time(), time.perf_counter()
    outcome = verb()
    wall_s = time.perf_counter() - wall_s
    return {'wall_s': wall_s, 'cpu_s': time.process_time() - cpu_s,
            'outcome': outcome}


def _count(verb: verbs.Verb) -> dict[str, Any]:
    with counting.counted() as tally:
        outcome = verb()
    return {'calls': tally.calls, 'local_calls': tally.local_calls,
            'programs': tally.programs, 'by_name': tally.by_name,
            'outcome': outcome}


def _private_output() -> IO[str]:
    """Return the standard output; what others print goes elsewhere."""
    output = os.fdopen(os.dup(1), 'w')
    os.dup2(2, 1)
    return output


def main(name: str, path: str, guests: str) -> None:
    """Answer until the standard input ends."""
    output = _private_output()
    counting.listen()
    subject = Subject(verbs.TABLES[name](path, int(guests)))
    print('{}', file=output, flush=True)
    for line in sys.stdin:
        print(json.dumps(subject.answer(json.loads(line))), file=output,
              flush=True)
    # Nova's threads would keep the process.
    os._exit(0)


if __name__ == '__main__':
    main(*sys.argv[1:])
