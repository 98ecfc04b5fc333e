# SPDX-License-Identifier: Apache-2.0

"""Where a guest is after libvirt has moved it, or has failed to.

What libvirt's call has returned, the domain here and the domain there: none
of them is enough by itself. A guest whose QEMU crashed here at the end has
"gone" as one that has moved; the answer of a call may be lost.
"""

import enum

from nova_libvirt_driver.guest import migration
from nova_libvirt_driver.guest import reach
from nova_libvirt_driver.spec import instance as instance_spec

State = reach.GuestState | None
"""None when there is no domain."""

_MIGRATED = 'migrated'
_SHUTDOWN = instance_spec.PowerState.SHUTDOWN


class Unknown:
    """The state of a domain that cannot be asked for."""


UNKNOWN = Unknown()


class Verdict(enum.Enum):
    """Where the guest is."""

    MOVED = 'moved'
    """On the other host."""
    STAYED = 'stayed'
    """Here, up or, when its QEMU has crashed, stopped."""
    LOST = 'lost'
    """Its memory is nowhere any more; its disks are."""
    UNCLEAR = 'unclear'
    """Not to be seen now; nothing may be started, stopped or removed."""


def decide(
        returned: bool | None, here: State,
        there: State | Unknown, *, held: bool = False) -> Verdict:
    """Return where a guest is.

    :param returned: what libvirt's call said; None when it said nothing
    :param held: it was made to stand still here when libvirt let it go on
    """
    if here is not None and migration.is_up(here):
        return _while_up(returned, here, there, held=held)
    if here is None or here.reason == _MIGRATED:
        return _gone(returned, here, there)
    # It has crashed, or was stopped: after the guest was handed over?
    if returned:
        return Verdict.LOST if there is None else Verdict.MOVED
    if isinstance(there, Unknown):
        return Verdict.UNCLEAR
    if migration.runs(there):
        return Verdict.MOVED
    # What stands still there may be about to run, unless libvirt has ended.
    return Verdict.UNCLEAR if returned is None and (
        migration.is_up(there)) else Verdict.STAYED


def _while_up(
        returned: bool | None, here: reach.GuestState,
        there: State | Unknown, *, held: bool) -> Verdict:
    if here.reason in migration.POST_COPY:
        return _in_post_copy(here, there)
    # It stands still for the last pass, or since then.
    stands = here.power is instance_spec.PowerState.PAUSED and (
        held or here.reason == migration.MOVING)
    if isinstance(there, reach.GuestState) and migration.runs(there):
        # What libvirt let go on here is the later copy. It may have been
        # paused so that it is done. And it may have begun post-copy, of
        # which libvirt knows only there as yet.
        return Verdict.MOVED if (
            stands or here.reason == migration.CANCELED) and (
            there.reason not in migration.POST_COPY) else Verdict.UNCLEAR
    if not stands or there is None:
        return Verdict.STAYED
    return Verdict.MOVED if returned else Verdict.UNCLEAR


def _in_post_copy(
        here: reach.GuestState, there: State | Unknown) -> Verdict:
    # What is here waits for its QEMU there, which may be dead by now.
    if here.reason != migration.BROKEN or isinstance(there, Unknown):
        return Verdict.UNCLEAR
    if there is None:
        return Verdict.LOST
    return Verdict.UNCLEAR if migration.is_up(there) else Verdict.MOVED


def _gone(
        returned: bool | None, here: State,
        there: State | Unknown) -> Verdict:
    if isinstance(there, Unknown):
        return (Verdict.MOVED if returned or here is not None
                else Verdict.UNCLEAR)
    # Libvirt forgets it here only when it has come there, where it may have
    # been stopped since.
    return Verdict.LOST if there is None else Verdict.MOVED
