# SPDX-License-Identifier: Apache-2.0

"""Starts the guests that are to run by themselves, once the service has begun.

As after a boot of the host, or when their QEMU has ended without being asked
to, meanwhile or while the service runs. Such a guest gets a few tries; when
its QEMU ends each time, it stays off. One that has shut itself down, or was
stopped, stays off at once, until the next boot of the host. A start that fails
is repeated until it succeeds, or until somebody stops the guest.
"""

from collections.abc import Callable
import dataclasses
import functools
from typing import Any

from oslo_log import log as logging

from nova_libvirt_driver.calls import runtime as runtime_module
from nova_libvirt_driver.calls import worker
from nova_libvirt_driver import exception
from nova_libvirt_driver.spec import event as event_spec
from nova_libvirt_driver.spec import instance as instance_spec

LOG = logging.getLogger(__name__)

_AT_ONCE = 4
# Of libvirt's reasons for a stop: by its own system, or from outside.
_ON_PURPOSE = ('shutdown', 'destroyed')
# Its QEMU ended by itself, or somebody killed that.
_LOST = ('failed', 'crashed')
_DOWN = (instance_spec.PowerState.SHUTDOWN, instance_spec.PowerState.CRASHED)
_RETRY_S = 2.0
_PAUSES_S = (1.0, 15.0, 60.0)
_LONG_PAUSE_S = 300.0
_STEADY_S = 600.0


@dataclasses.dataclass(frozen=True, slots=True)
class _Try:
    """One of the tries to have a guest back that was lost."""

    number: int
    at_s: float


class Autostart:
    """Keeps the guests running that are to run by themselves.

    Does nothing with a driver that marks no guests.

    :param runtime: the time, or a test's
    """

    def __init__(
            self, driver: Any,
            runtime: runtime_module.Runtime = runtime_module.PROCESS,
    ) -> None:
        self._driver = driver
        self._runtime = runtime
        self._worker = worker.Worker('autostart', runtime)
        # Of the worker alone.
        self._tries: dict[str, _Try] = {}
        self._failures: dict[str, int] = {}
        self._waiting: dict[str, instance_spec.Instance] = {}
        # With whether QEMU has ended since.
        self._starting: dict[str, bool] = {}

    def begin(self) -> None:
        """Start them all, some at a time, as soon as libvirt is there."""
        if hasattr(self._driver, 'is_autostart_due'):
            self._worker.submit(self._start_all)

    def note(self, event: event_spec.LifecycleEvent) -> None:
        """Take note of what was done to a guest by whatever way."""
        if hasattr(self._driver, 'note_autostart'):
            self._worker.submit(lambda: self._note(event))

    def stop(self, timeout_s: float) -> None:
        """Start no more."""
        self._worker.stop(timeout_s)

    def _start_all(self) -> None:
        rows = self._down()
        if rows is None:
            self._worker.later(_RETRY_S, self._start_all)
            return
        for row in rows:
            # The undo of a start that fails destroys the guest, too.
            if row.reason in _ON_PURPOSE and not (
                    self._driver.is_autostart_lost(row)):
                self._mark(row, stopped=True)
            self._waiting[row.uuid] = row
        self._start_next()

    def _down(self) -> list[instance_spec.InstanceSummary] | None:
        """Return what does not run, None without a connection to libvirt."""
        try:
            return [row for row in self._driver.list_instance_summaries()
                    if row.owned and row.state in _DOWN]
        except exception.DriverError as error:
            LOG.debug('Cannot see which instances to start: %s', error)
            return None

    def _start_next(self) -> None:
        for uuid, instance in list(self._waiting.items()):
            if len(self._starting) >= _AT_ONCE:
                return
            if uuid not in self._starting and (
                    self._driver.is_autostart_due(instance)):
                # Not here: a QEMU that hangs must not hold up the rest.
                self._runtime.thread('autostart start', functools.partial(
                    self._start, instance)).start()
                self._starting[uuid] = False
            del self._waiting[uuid]

    def _start(self, instance: instance_spec.Instance) -> None:
        failure = None
        try:
            self._driver.resume_state_on_host_boot(instance)
        except Exception as error:
            failure = error
        self._worker.submit(lambda: self._finish(instance, failure))

    def _finish(
            self, instance: instance_spec.Instance,
            failure: Exception | None) -> None:
        has_ended = self._starting.pop(instance.uuid)
        if failure is not None:
            self._retry(instance, failure)
        else:
            self._failures.pop(instance.uuid, None)
            LOG.info('Started the instance, as it is to run by itself',
                     instance={'uuid': instance.uuid})
            if has_ended:
                self._have_back(instance)
        self._start_next()

    def _retry(
            self, instance: instance_spec.Instance,
            failure: Exception) -> None:
        number = self._failures.get(instance.uuid, 0)
        self._failures[instance.uuid] = number + 1
        pause_s = (*_PAUSES_S, _LONG_PAUSE_S)[min(number, len(_PAUSES_S))]
        LOG.error('Cannot start the instance, next try in %g s: %s', pause_s,
                  failure, instance={'uuid': instance.uuid})
        self._try_later(instance, pause_s)

    def _try_later(
            self, instance: instance_spec.Instance, pause_s: float) -> None:
        self._write(lambda: self._driver.note_autostart_lost(instance),
                    instance)
        self._worker.later(pause_s, lambda: self._try(instance))

    def _note(self, event: event_spec.LifecycleEvent) -> None:
        instance = instance_spec.InstanceRef(event.uuid, event.name)
        if event.transition is event_spec.Transition.STARTED:
            self._mark(instance, stopped=False)
        elif event.detail in _ON_PURPOSE:
            self._tries.pop(event.uuid, None)
            self._failures.pop(event.uuid, None)
            self._mark(instance, stopped=True)
        elif event.detail in _LOST and event.uuid in self._starting:
            self._starting[event.uuid] = True
        elif event.detail in _LOST and self._driver.is_autostart_due(instance):
            self._have_back(instance)

    def _have_back(self, instance: instance_spec.Instance) -> None:
        now_s = self._runtime.monotonic()
        last = self._tries.get(instance.uuid)
        number = last.number if last is not None and (
            now_s - last.at_s < _STEADY_S) else 0
        if number == len(_PAUSES_S):
            LOG.error('QEMU has ended again after each of %d starts: the '
                      'instance stays off until somebody starts it', number,
                      instance={'uuid': instance.uuid})
            self._tries.pop(instance.uuid, None)
            self._mark(instance, stopped=True)
            return
        pause_s = _PAUSES_S[number]
        LOG.warning('QEMU has ended; the instance is started again in %g s',
                    pause_s, instance={'uuid': instance.uuid})
        self._tries[instance.uuid] = _Try(number + 1, now_s + pause_s)
        self._try_later(instance, pause_s)

    def _try(self, instance: instance_spec.Instance) -> None:
        rows = self._down()
        if rows is None:
            self._worker.later(_RETRY_S, lambda: self._try(instance))
            return
        # It may have been started, stopped or removed meanwhile.
        self._waiting.update(
            (row.uuid, row) for row in rows if row.uuid == instance.uuid)
        self._start_next()

    def _mark(
            self, instance: instance_spec.Instance, *, stopped: bool) -> None:
        self._write(lambda: self._driver.note_autostart(
            instance, stopped=stopped), instance)

    def _write(
            self, note: Callable[[], object],
            instance: instance_spec.Instance) -> None:
        try:
            note()
        except exception.DriverError as error:
            LOG.warning('Cannot note whether to start it with the service: %s',
                        error, instance={'uuid': instance.uuid})
