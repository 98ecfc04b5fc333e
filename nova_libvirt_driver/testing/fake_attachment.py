# SPDX-License-Identifier: Apache-2.0

"""Attachments that can fail, kill and be looked at, for tests of verbs."""

from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Mapping
import contextlib
import os
import signal
from typing import Any

from nova_libvirt_driver.spec import guest as guest_spec

POINTS = ('prepare', 'connect', 'connected', 'started')
"""What a start reaches: the last two are after the guest was connected."""


class Failed(Exception):
    """An attachment was told to fail."""


class FakeAttachment:
    """Stands for ``ports.Attachment``; connected is a file that exists.

    So the next process sees what a killed one has left.

    :param path: that file
    :param at: called with each point that is reached
    :param wait: the guest has to wait
    :param change: what it makes of the guest
    """

    def __init__(
            self, path: str, at: Callable[[str], object] = lambda point: None,
            *, wait: bool = False,
            change: Callable[[guest_spec.GuestSpec], guest_spec.GuestSpec]
            = lambda spec: spec) -> None:
        self.name = os.path.basename(path)
        self._path = path
        self._at = at
        self._wait = wait
        self._change = change
        self._added = False
        self.memo: Mapping[str, Any] = {}
        self.is_fleeting = False

    @property
    def is_connected(self) -> bool:
        """Whether the guest is connected now."""
        return os.path.exists(self._path)

    def prepare(self, spec: guest_spec.GuestSpec) -> guest_spec.GuestSpec:
        """Return the guest as it is changed."""
        self._at('prepare')
        return self._change(spec)

    @contextlib.contextmanager
    def connect(self) -> Iterator[bool]:
        """Connect the guest; leaving is the point when it is ready."""
        self._at('connect')
        if not self.is_connected:
            self._added = True
            with open(self._path, 'xb'):
                pass
        self._at('connected')
        yield self._wait
        self._at('started')

    def revert(self) -> None:
        """Disconnect the guest, unless it was connected before."""
        if self._added:
            self._remove()

    def disconnect(self) -> None:
        """Disconnect the guest."""
        self._at('disconnect')
        self._remove()

    def _remove(self) -> None:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._path)


def failing(point: str) -> Callable[[str], None]:
    """Return what fails at one point, the first time."""
    left = [point]

    def at(reached: str) -> None:
        if reached in left:
            left.remove(reached)
            raise Failed(point)

    return at


def killing(point: str) -> Callable[[str], None]:
    """Return what kills this very process there; for a child of a test."""
    def at(reached: str) -> None:
        if reached == point:
            os.kill(os.getpid(), signal.SIGKILL)

    return at
