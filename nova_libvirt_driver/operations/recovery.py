# SPDX-License-Identifier: Apache-2.0

"""Cleaning up after a process that was killed within an operation."""

from collections.abc import Callable
from concurrent import futures
import threading

from oslo_log import log as logging

from nova_libvirt_driver import exception
from nova_libvirt_driver.operations.steps import clean_ups as clean_ups_module
from nova_libvirt_driver.operations.steps import exclusive as exclusive_module
from nova_libvirt_driver.spec import event as event_spec
from nova_libvirt_driver.spec import instance as instance_spec
from nova_libvirt_driver.storage import journal as journal_module

LOG = logging.getLogger(__name__)

OPERATION = 'clean up'

_AT_ONCE = 8
"""Instances that are cleaned up after at the same time."""

_PAUSE_MIN_S, _PAUSE_MAX_S = 1.0, 30.0
_STOP_S = 1.0


class _Signal:
    """Wakes one thread, or asks it to end."""

    def __init__(self) -> None:
        self.ended = False
        self.gone = threading.Event()
        self._woken = threading.Event()

    def wake(self) -> None:
        self._woken.set()

    def end(self) -> None:
        self.ended = True
        self._woken.set()

    def wait(self, timeout_s: float) -> None:
        self._woken.wait(timeout_s)
        self._woken.clear()


class Recovery:
    """Has finished or undone what killed processes of this host have left.

    Looks into the journal at the start, whenever libvirt is back, and from
    time to time: an entry whose operation is under way is left alone, one
    that cannot be cleaned now stays for the next time. Without anything in
    the journal, libvirt is not asked.

    :param sweep: removes what else killed processes have left in files
    """

    def __init__(
            self, journal: journal_module.Journal,
            clean_ups: clean_ups_module.CleanUps,
            exclusive: exclusive_module.Exclusive,
            sweep: Callable[[], object]) -> None:
        self._journal = journal
        self._clean_ups = clean_ups
        self._exclusive = exclusive
        self._sweep = sweep
        self._signal = _Signal()
        self._signal.gone.set()
        self._reported: set[str] = set()

    def start(self) -> None:
        """Begin to look into the journal, on a thread of its own."""
        self.stop()
        self._signal = _Signal()
        threading.Thread(target=self._watch, args=(self._signal,),
                         name='recovery', daemon=True).start()

    def stop(self) -> None:
        """Look no more.

        Waits a second for what is under way, which ends by itself after
        that.
        """
        self._signal.end()
        self._signal.gone.wait(_STOP_S)

    def wake(self) -> None:
        """Look soon, if it was started; never blocks."""
        self._signal.wake()

    def notice(self, item: event_spec.GuestEvent) -> None:
        """Look soon if a device left after the wait for it; never blocks."""
        if isinstance(item, event_spec.DeviceEvent):
            self.wake()

    def clean_up(self, uuid: str, entry_id: str, *, force: bool) -> None:
        """Clean up after an interrupted operation, as an operator wants.

        :param force: also after one of another host, or of none that is
            known, and forget it though that fails
        :raises DriverError: it cannot be done now, and the entry stays
        """
        with self._exclusive.hold(
                instance_spec.InstanceRef(uuid, uuid), OPERATION,
                continuing=None, settling=not force):
            if force:
                self._clean_ups.end_by_force(uuid, entry_id)

    def _watch(self, signal: _Signal) -> None:
        pause_s = _PAUSE_MIN_S
        complete = self._guarded(self._look_first)
        while not signal.ended:
            signal.wait(_PAUSE_MAX_S if complete else pause_s)
            pause_s = _PAUSE_MIN_S if complete else min(
                2 * pause_s, _PAUSE_MAX_S)
            complete = signal.ended or self._guarded(self._look)
        signal.gone.set()

    def _guarded(self, function: Callable[[], bool]) -> bool:
        try:
            return function()
        except exception.DriverError as error:
            LOG.info('Whether an interrupted operation has left something '
                     'cannot be seen now: %s', error)
        except Exception:
            LOG.exception('Cleaning up after interrupted operations failed')
        return False

    def _look_first(self) -> bool:
        complete = self._look()
        self._exclusive.sweep()
        self._journal.sweep()
        self._sweep()
        return complete

    def _look(self) -> bool:
        subjects = sorted(self._journal.subjects())
        if not subjects:
            return True
        # Several at once: one that takes long holds up no other. And all of
        # them: one that cannot be cleaned is no reason to skip the rest.
        with futures.ThreadPoolExecutor(
                min(_AT_ONCE, len(subjects)), 'recovery') as pool:
            return all(list(pool.map(self._finish, subjects)))

    def _finish(self, uuid: str) -> bool:
        """Clean up after one instance; say whether that succeeded."""
        instance = instance_spec.InstanceRef(uuid, uuid)
        try:
            # To get the instance is to end what was interrupted on it.
            with self._exclusive.hold(
                    instance, OPERATION, patient=False, continuing=None):
                self._reported.discard(uuid)
                return True
        except exception.WrongState as error:
            # An operation is under way, whose entry this may be.
            LOG.debug('Not cleaned up: %s', error)
        except Exception as error:
            self._report(uuid, error)
        return False

    def _report(self, uuid: str, error: Exception) -> None:
        known = uuid in self._reported
        self._reported.add(uuid)
        LOG.log(logging.DEBUG if known else logging.ERROR,
                'What an interrupted operation left cannot be cleaned up '
                'now, will retry: %s', error, instance={'uuid': uuid})
