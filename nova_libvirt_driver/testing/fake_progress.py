# SPDX-License-Identifier: Apache-2.0

"""Listeners to a verb's progress: one remembers, one stops it, one kills.

With the last two a test makes every step of a verb fail in turn.
"""

import os
import signal


class Stopped(Exception):
    """A verb was told to stop at a step."""


class RecordingProgress:
    """Keeps the names of the steps, and how far each came."""

    def __init__(self) -> None:
        self.steps: list[str] = []
        self.advances: list[tuple[int, int]] = []
        """Bytes done and bytes in total, in the order they were told."""

    def step(self, name: str) -> None:
        self.steps.append(name)

    def advance(self, done: int, total: int) -> None:
        self.advances.append((done, total))


class FailingProgress(RecordingProgress):
    """Raises when a step begins.

    :param step_number: the step, counted from 1
    :param error: what is raised, :class:`Stopped` by default
    :ivar raised: whether the verb had that many steps
    """

    def __init__(
            self, step_number: int, error: Exception | None = None) -> None:
        super().__init__()
        self.raised = False
        self._step_number = step_number
        self._error = error

    def step(self, name: str) -> None:
        super().step(name)
        if len(self.steps) == self._step_number:
            self.raised = True
            raise self._error or Stopped(f'step {self._step_number}: {name}')


class KillingProgress(RecordingProgress):
    """Kills this very process when a step begins; for a child of a test.

    :param when: the step, counted from 1, or the name of one
    """

    def __init__(self, when: int | str) -> None:
        super().__init__()
        self._when = when

    def step(self, name: str) -> None:
        super().step(name)
        if self._when in (len(self.steps), name):
            os.kill(os.getpid(), signal.SIGKILL)
