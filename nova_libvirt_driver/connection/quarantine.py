# SPDX-License-Identifier: Apache-2.0

"""Guests whose monitor does not answer.

A call that has entered the monitor of a QEMU that stands still comes back
when it goes on, or is killed. Until then every further call would wait for
that one, each on a thread of its own; so they are refused.
"""

import dataclasses
import time

from nova_libvirt_driver.connection import native
from nova_libvirt_driver import exception


class Visit:
    """A call into a monitor, from its begin to its end."""

    def __init__(self) -> None:
        self.begun = False
        self.ended = False


@dataclasses.dataclass(frozen=True, slots=True)
class Case:
    """Why a guest is in quarantine."""

    tried: str
    since: float
    """As ``time.monotonic`` counts."""
    visit: Visit


class Quarantine:
    """Who is in it, by uuid.

    Calls end on native threads, so nobody does anything but bookkeeping
    while holding the lock.
    """

    def __init__(self) -> None:
        self._lock = native.original('threading').Lock()
        self._cases: dict[str, Case] = {}

    def check(self, uuid: str, tried: str) -> None:
        """Refuse a call into the monitor of a guest that is in quarantine.

        :param tried: what the call is for, as in "pause the guest"
        :raises GuestUnresponsive: it is
        """
        with self._lock:
            case = self._cases.get(uuid)
        if case is not None:
            raise exception.GuestUnresponsive(
                tried=tried, instance=uuid,
                reason=f'since {time.monotonic() - case.since:.0f} s it has '
                f'not come back from the attempt to {case.tried}')

    def add(self, uuid: str, tried: str, visit: Visit) -> bool:
        """Put a guest in quarantine until the visit ends.

        :returns: whether it was not in it before, and is now
        """
        with self._lock:
            if visit.ended or uuid in self._cases:
                return False
            self._cases[uuid] = Case(tried, time.monotonic(), visit)
            return True

    def end(self, visit: Visit) -> None:
        """Let those out who are in it because of a visit."""
        with self._lock:
            visit.ended = True
            for uuid in [uuid for uuid, case in self._cases.items()
                         if case.visit is visit]:
                del self._cases[uuid]

    def release(self, uuid: str) -> None:
        """Let a guest out whose QEMU is gone."""
        with self._lock:
            self._cases.pop(uuid, None)

    def uuids(self) -> tuple[str, ...]:
        """Return who is in it, sorted."""
        with self._lock:
            return tuple(sorted(self._cases))
