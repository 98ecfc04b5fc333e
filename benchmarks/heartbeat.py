# SPDX-License-Identifier: Apache-2.0

"""How long other greenlets have to wait for their turn.

One of them sleeps for a millisecond again and again. When it sleeps longer,
somebody kept eventlet's hub from running, or the machine was busy.
"""

from collections.abc import Iterator
import contextlib
import time

import eventlet

_BEAT_S = 0.001


class Heart:
    """A greenlet that looks at its own clock."""

    def __init__(self) -> None:
        self.longest_gap_s = 0.0
        self._beats = True
        self._last_s = time.perf_counter()

    def run(self) -> None:
        """Beat until it is stopped."""
        while self._beats:
            self._note()
            eventlet.sleep(_BEAT_S)

    def stop(self) -> None:
        """Stop; the gap that has not ended counts, too."""
        self._beats = False
        self._note()

    def _note(self) -> None:
        now_s = time.perf_counter()
        self.longest_gap_s = max(
            self.longest_gap_s, now_s - self._last_s - _BEAT_S)
        self._last_s = now_s


@contextlib.contextmanager
def beating() -> Iterator[Heart]:
    """Let one beat meanwhile."""
    heart = Heart()
    greenlet = eventlet.spawn(heart.run)
    # It has to be asleep once before it can be late.
    eventlet.sleep(3 * _BEAT_S)
    heart.longest_gap_s = 0.0
    try:
        yield heart
    finally:
        heart.stop()
        greenlet.wait()
