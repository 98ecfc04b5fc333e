# SPDX-License-Identifier: Apache-2.0

"""How a live migration is brought to its end, and ended when it takes long.

Nothing here decides where the guest is.
"""

from collections.abc import Callable
import contextlib
import dataclasses
import threading
import time
from typing import Protocol

from oslo_log import log as logging

from nova_libvirt_driver import exception
from nova_libvirt_driver.guest import handle
from nova_libvirt_driver.guest import migration
from nova_libvirt_driver.spec import instance as instance_spec
from nova_libvirt_driver.spec import live_migration as migration_spec

LOG = logging.getLogger(__name__)

Report = Callable[[migration_spec.Figures], object]

_GIB = 1 << 30
_LEAST_GIB = 2
_QEMU_DOWNTIME_MS = 300
_LOOK_MIN_S, _LOOK_MAX_S = 1.0, 5.0
_SWITCH_TRIES = 3
_PAUSED = instance_spec.PowerState.PAUSED


class Steering:
    """Looks after one migration while it goes on.

    Its methods are called by the thread that waits for the end; an abort, and
    a wish to complete it by force, come from any thread.

    :ivar paused: the guest was paused so that it is done
    """

    def __init__(
            self, guest: handle.Guest, job: migration.Migration,
            ways: migration_spec.Ways, report: Report,
            clock: Callable[[], float]) -> None:
        self.paused = False
        self.uuid = guest.uuid
        self._guest = guest
        self._job = job
        self._ways = ways
        self._report = report
        self._clock = clock
        self._begun_at = clock()
        self._looked_at = self._begun_at
        self._reported_at: float | None = None
        self._total = 0
        self._figures = migration_spec.Figures()
        self._iteration = 0
        self._step = 0
        self._is_late = self._is_over = False
        self._is_post_copy = self._is_due = False
        self._refusal = ''
        self._lock = threading.Lock()
        self._is_aborted = False
        self._aborting = threading.Lock()

    def iterated(self, iteration: int) -> None:
        """Take note that the memory is passed over once more."""
        self._iteration = max(self._iteration, iteration)
        self._look(_LOOK_MIN_S)

    def tick(self) -> None:
        """Look from time to time, and do what it is time for."""
        self._look(max(_LOOK_MIN_S, min(
            _LOOK_MAX_S, self._ways.report_interval_s)))
        if self._total:
            self._raise_downtime()
        self._watch_time()
        if self._is_due and self._figures.memory_processed:
            self._is_due = not self._has_done(self.complete)

    @property
    def aborted(self) -> bool:
        """Whether libvirt has agreed to end it; waits for its answer."""
        with self._aborting:
            return self._is_aborted

    def abort(self) -> None:
        """End it; the guest stays, unless it is too late.

        Waits for a guest that is about to go; see the job's.

        :raises WrongState: the guest runs on the other host already
        :raises LibvirtFailure: there is no job any more
        """
        check_abortable(self._guest, is_post_copy=self._is_post_copy)
        with self._aborting:
            # The job may have ended before its answer is here.
            self._job.abort()
            self._is_aborted = True

    def complete(self) -> None:
        """Let it come to its end whatever the guest writes.

        By post-copy where that is permitted, else the guest stands still. It
        runs on while its disks are copied, before which there is no post-copy.
        """
        with self._lock:
            if self._is_post_copy or self.paused:
                return
            if self._ways.post_copy and self._has_switched():
                self._is_post_copy = True
                self._report(dataclasses.replace(
                    self._figures, is_post_copy=True))
                return
            self._is_due = self._ways.post_copy and self._copies_disks()
            if self._is_due:
                return
            with contextlib.suppress(exception.InstanceNotFound):
                self._guest.pause()
            self.paused = True

    def _has_switched(self) -> bool:
        """Switch to post-copy; say whether that was possible."""
        for tries_left in reversed(range(_SWITCH_TRIES)):
            try:
                self._job.start_post_copy()
                return True
            except exception.InstanceNotFound:
                # It has gone meanwhile.
                return True
            except exception.DriverError as error:
                # Libvirt may be about to begin still.
                if not tries_left:
                    LOG.warning('Post-copy is not possible now: %s', error,
                                instance={'uuid': self.uuid})
                else:
                    time.sleep(_LOOK_MIN_S)
        return False

    def _copies_disks(self) -> bool:
        """Say whether the memory is not copied yet."""
        try:
            figures = self._job.figures()
        except exception.DriverError:
            return False
        return figures is not None and not figures.memory_processed

    def _look(self, at_least_s: float) -> None:
        now = self._clock()
        if now < self._looked_at + (
                at_least_s if self._total else _LOOK_MIN_S):
            return
        self._looked_at = now
        try:
            figures = self._job.figures()
        except exception.DriverError as error:
            # Nothing depends on it: libvirt may be past the job by now.
            LOG.debug('No figures of the migration: %s', error,
                      instance={'uuid': self._guest.uuid})
            return
        if figures is not None and figures.total:
            if not self._total:
                self._set_downtime(0)
            # The disks come into it one after the other.
            self._total = max(self._total, figures.total)
            self._iteration = max(self._iteration, figures.memory_iteration)
            self._figures = figures
            self._tell(now)

    def _tell(self, now: float) -> None:
        """Report what was seen, as often as is wanted.

        A service may write each report down, through a queue that others use
        as well (LP 2091138).
        """
        if self._reported_at is not None and (
                now < self._reported_at + self._ways.report_interval_s):
            return
        self._reported_at = now
        self._report(dataclasses.replace(
            self._figures, is_post_copy=self._is_post_copy))

    def _gib(self) -> float:
        return max(_LEAST_GIB, self._total / _GIB)

    def _raise_downtime(self) -> None:
        ways = self._ways
        # The first pass over the memory says nothing of how it will go.
        if self._iteration < 2 or self._step >= ways.downtime_steps:
            return
        due = int((self._clock() - self._begun_at)
                  / (ways.downtime_delay_s * self._gib()))
        if due > self._step:
            self._set_downtime(min(due, ways.downtime_steps))

    def _set_downtime(self, step: int) -> None:
        self._step = step
        wanted = downtime_ms(self._ways, step)
        if step == 0 and wanted == _QEMU_DOWNTIME_MS:
            return
        try:
            self._job.set_downtime(wanted)
        except exception.DriverError as error:
            LOG.warning('How long the guest may stand still was not '
                        'changed: %s', error,
                        instance={'uuid': self._guest.uuid})

    def _watch_time(self) -> None:
        ways = self._ways
        if self._is_over or not ways.completion_timeout_s or (
                self._clock() < self._begun_at
                + ways.completion_timeout_s * self._gib()):
            return
        # Before anything is copied it would stand still for nothing.
        is_forced = ways.force_completion and self._total > 0
        if not self._is_late:
            LOG.warning('The migration takes longer than '
                        'live_migration_completion_timeout allows: %s',
                        'it is completed by force' if is_forced
                        else 'it is aborted', instance={'uuid': self.uuid})
        self._is_late = True
        self._is_over = self._has_done(
            self.complete if is_forced else self.abort)

    def _has_done(self, action: Callable[[], None]) -> bool:
        """Do it; say whether that need not be tried again."""
        try:
            action()
        except exception.WrongState as error:
            # It runs on the other host, and not because of this.
            LOG.info('The migration goes on: %s', error,
                     instance={'uuid': self.uuid})
        except exception.DriverError as error:
            # Libvirt may be about to begin still, or be busy.
            if str(error) != self._refusal:
                LOG.warning('The migration goes on, will retry: %s', error,
                            instance={'uuid': self.uuid})
            self._refusal = str(error)
            return False
        return True


def check_abortable(
        guest: handle.Guest, *, is_post_copy: bool = False) -> None:
    """See that the guest has not begun to run on the other host.

    :param is_post_copy: it is about to, of which libvirt may not know yet
    :raises WrongState: it has, and what it does there cannot be taken back
    """
    if is_post_copy or guest.state().reason in migration.POST_COPY:
        raise exception.WrongState(
            tried='abort its migration', instance=guest.uuid,
            state='running on the other host already',
            hint='wait for the rest of its memory to arrive')


def is_broken(guest: handle.Guest) -> bool:
    """Say whether its post-copy does not go on, as far as can be seen."""
    try:
        return guest.state().reason == migration.BROKEN
    except exception.DriverError:
        return False


class StuckError(Exception):
    """A migration does not go on, and cannot be aborted."""


class Abortable(Protocol):
    """What :class:`Ended` needs of a :class:`Steering`."""

    uuid: str

    @property
    def aborted(self) -> bool:
        """Whether libvirt has agreed to end it."""

    def abort(self) -> None:
        """End it."""


class Ended:
    """How the wait for a migration has ended.

    :ivar returned: what libvirt has said; None when it said nothing
    :ivar reason: why it was to end early, if it was
    """

    def __init__(self, steering: Abortable) -> None:
        self.steering = steering
        self.returned: bool | None = None
        self.failure: Exception | None = None
        self.reason: BaseException | None = None
        self._refusal = ''

    def guard(self, function: Callable[[], object]) -> None:
        """Let what goes wrong meanwhile end the job, and not the wait."""
        try:
            function()
        except Exception as error:
            self.early(error)

    def early(self, reason: BaseException) -> None:
        """End the job; the wait goes on until it has ended."""
        if self.reason is None:
            self.reason = reason
            self.insist()

    def insist(self) -> None:
        """Ask for the end of the job, as often as it takes.

        Libvirt may not be ready for it when it is asked first.
        """
        try:
            self.steering.abort()
        except exception.DriverError as error:
            refusal = str(error)
            if refusal != self._refusal:
                LOG.info('The migration is not aborted yet: %s', refusal,
                         instance={'uuid': self.steering.uuid})
            self._refusal = refusal


def downtime_ms(ways: migration_spec.Ways, step: int) -> int:
    """Return how long a guest may stand still at a step of several.

    From QEMU's own limit, or the allowed one when that is lower, it grows by
    the same factor each time.
    """
    first = min(_QEMU_DOWNTIME_MS, ways.downtime_ms)
    share = min(step, ways.downtime_steps) / ways.downtime_steps
    factor: float = (ways.downtime_ms / first) ** share
    return round(first * factor)
