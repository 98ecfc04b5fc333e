# SPDX-License-Identifier: Apache-2.0

"""The outcome of a check of the host, and how checks are run.

A check is a function without parameters. It is run in a thread of its own
for a bounded time, and whatever it does it spoils no other check. What is
checked is in the modules ``check_*`` beside this one.
"""

from collections.abc import Callable
import dataclasses
import enum

from nova_libvirt_driver.calls import runtime


class Status(enum.StrEnum):
    """How a check came out."""

    OK = 'ok'
    WARNING = 'warning'
    FAILURE = 'failure'
    SKIPPED = 'skipped'


@dataclasses.dataclass(frozen=True, slots=True)
class Check:
    """Outcome of one check."""

    name: str
    status: Status
    detail: str
    """What was found."""
    fix: str = ''
    """What to do about it, empty when there is nothing to do."""


@dataclasses.dataclass(frozen=True, slots=True)
class Topic:
    """What a check is about; makes its outcomes."""

    name: str

    def ok(self, detail: str) -> Check:
        """All is well."""
        return Check(self.name, Status.OK, detail)

    def warning(self, detail: str, fix: str) -> Check:
        """It works, but not as it should."""
        return Check(self.name, Status.WARNING, detail, _fit(fix))

    def failure(self, detail: str, fix: str) -> Check:
        """Something will not work."""
        return Check(self.name, Status.FAILURE, detail, _fit(fix))

    def skipped(self, detail: str) -> Check:
        """It does not matter here, or cannot be known."""
        return Check(self.name, Status.SKIPPED, detail)


def _fit(fix: str) -> str:
    """Return advice for after doctor was run."""
    return fix.replace(': nova-libvirt doctor', '')


def run(
        topic: Topic, check: Callable[[], Check], *,
        timeout_s: float) -> Check:
    """Return the outcome of *check*, or a failure in its place.

    A check that does not come back in time is left behind in its thread,
    which does not keep the process alive.
    """
    outcome: list[Check] = []
    thread = runtime.Thread(
        target=lambda: outcome.append(_guarded(topic, check)),
        name=f'check-{topic.name}', daemon=True)
    thread.start()
    thread.join(timeout_s)
    if outcome:
        return outcome[0]
    return topic.failure(
        f'gave no answer within {timeout_s:g} s',
        'find out what hangs; nova-libvirt --debug doctor shows more')


def _guarded(topic: Topic, check: Callable[[], Check]) -> Check:
    try:
        return check()
    except Exception as error:
        text = ' '.join(str(error).split()) or type(error).__name__
        return topic.failure(
            text, str(getattr(error, 'next_step', ''))
            or 'correct what the text names, then run doctor again')
