# SPDX-License-Identifier: Apache-2.0

"""Many callers that ask for the state of guests at the same time."""

from collections.abc import Callable
import threading
import time
from typing import Any

from benchmarks import verbs

CALLERS = 64
CALLS_EACH = 20
USE_CACHE = {'get_info, events may answer': True,
             'get_info, libvirt is asked': False}
"""What is measured; in an eventlet process threads are green."""


def ask(bench: verbs.Bench, *, use_cache: bool) -> dict[str, Any]:
    """Let all callers ask; return what each answer took."""
    look = bench.look
    if look is None:
        raise NotImplementedError
    taken: list[float] = []
    errors: list[Exception] = []
    barrier = threading.Barrier(CALLERS + 1)
    threads = [threading.Thread(target=_caller, args=(
        barrier, lambda number: look(number, use_cache), taken, errors,
        number)) for number in range(CALLERS)]
    for thread in threads:
        thread.start()
    barrier.wait()
    start_s = time.perf_counter()
    for thread in threads:
        thread.join()
    wall_s = time.perf_counter() - start_s
    if errors:
        raise errors[0]
    return {'wall_s': wall_s, 'taken_s': taken}


def _caller(
        barrier: threading.Barrier, look: Callable[[int], object],
        taken: list[float], errors: list[Exception], first: int) -> None:
    barrier.wait()
    try:
        for number in range(first, first + CALLS_EACH):
            start_s = time.perf_counter()
            look(number)
            taken.append(time.perf_counter() - start_s)
    except Exception as error:
        errors.append(error)
