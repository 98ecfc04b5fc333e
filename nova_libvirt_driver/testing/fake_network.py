# SPDX-License-Identifier: Apache-2.0

"""Networks of guests that remember what was asked of them."""

from collections.abc import Callable
from collections.abc import Iterator
import contextlib


class FakeNetwork:
    """Stands for ``ports.Network``.

    :param look: called when the guest is started, before it may run on
    :param wait: the guest has to wait
    :param error: the networks do not become ready
    """

    def __init__(
            self, look: Callable[[], object], wait: bool, *,
            error: Exception | None = None) -> None:
        self.seen: list[object] = []
        self.disconnected = False
        self._look = look
        self._wait = wait
        self._error = error

    @contextlib.contextmanager
    def connected(self) -> Iterator[bool]:
        """Let the guest be started, and look at it."""
        yield self._wait
        self.seen.append(self._look())
        if self._error is not None:
            raise self._error

    def disconnect(self) -> None:
        """Remember that."""
        self.disconnected = True
