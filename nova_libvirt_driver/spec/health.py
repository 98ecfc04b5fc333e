# SPDX-License-Identifier: Apache-2.0

"""Whether a driver can do its work, as a value to show."""

import dataclasses
import enum


class Verdict(enum.StrEnum):
    """How a driver is."""

    HEALTHY = 'healthy'
    """Nothing speaks against it."""
    DEGRADED = 'degraded'
    """It works, but not for every guest, or not at its full speed."""
    UNAVAILABLE = 'unavailable'
    """It has no connection to libvirt: no guest can be reached."""


@dataclasses.dataclass(frozen=True, slots=True)
class Reason:
    """One thing that speaks against a driver."""

    name: str
    """What it is, in one word that stays the same."""
    text: str
    next_step: str
    """What an operator can do about it."""


@dataclasses.dataclass(frozen=True, slots=True)
class Health:
    """A verdict and why it is no better."""

    verdict: Verdict
    reasons: tuple[Reason, ...] = ()
    """Empty when it is healthy."""
