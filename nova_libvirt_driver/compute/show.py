# SPDX-License-Identifier: Apache-2.0

"""Shows the service to the person who has started it in a terminal.

Runs on the main thread while the service runs. It writes to one stream, and
every wait of its own has an end.
"""

import collections
from collections.abc import Callable
from collections.abc import Iterable
from concurrent import futures
import contextlib
import errno
import threading
import time
from typing import TextIO
from typing import TypeVar

from nova_libvirt_driver.compute import configuration
from nova_libvirt_driver.compute import control as control_module
from nova_libvirt_driver.compute import demo
from nova_libvirt_driver.compute import report
from nova_libvirt_driver.compute import service as service_module
from nova_libvirt_driver import exception
from nova_libvirt_driver.spec import connection as connection_spec
from nova_libvirt_driver.spec import event as event_spec

T = TypeVar('T')

POLL_S = 0.5
SHORT_POLL_S = 0.05
CONNECTED = connection_spec.ConnectionState.CONNECTED


class Interrupted(Exception):
    """Somebody has asked for the end while something was under way."""

    def __init__(self, signal: str) -> None:
        super().__init__(signal)
        self.signal = signal


class Show:
    """One showing of one service; implements ``Foreground``.

    :param instances_path: folder of the driver's guests
    :param client: gives, for a URI, the command line of a client that sees
        the same guests
    """

    def __init__(
            self, service: service_module.ComputeService,
            mode: configuration.Mode, stream: TextIO, *,
            instances_path: str = '',
            client: Callable[[str], str] = (
                'nova-libvirt --uri {}'.format)) -> None:
        self._service = service
        self._control = service.control
        self._mode = mode
        self._stream = stream
        self._instances_path = instances_path
        self._client = client
        self._kept: collections.deque[event_spec.LifecycleEvent] = (
            collections.deque())
        self._shown = False
        self._connected = False
        self.interrupted = ''
        """Name of the signal that ended it early, or empty."""

    def run(self) -> None:
        """Show everything; then, unless *once*, events until the end.

        :raises DriverError: with *once*, there is nothing to show
        """
        try:
            self._overview()
            with contextlib.ExitStack() as until_end:
                if self._mode.demo and self._connected:
                    self._demonstrate(until_end)
                if not self._mode.once:
                    self._follow()
        except Interrupted as interruption:
            self.interrupted = interruption.signal

    def next_event(
            self, timeout_s: float) -> event_spec.LifecycleEvent | None:
        """Show and return the next event, None when none comes in time.

        :raises Interrupted: the end was asked for
        """
        if self._kept:
            return self._kept.popleft()
        return self._take(timeout_s)

    def _take(self, timeout_s: float) -> event_spec.LifecycleEvent | None:
        message = self._control.get(timeout_s)
        if isinstance(message, control_module.StopRequest):
            raise Interrupted(message.signal)
        if isinstance(message, control_module.ReloadRequest):
            self._service.reset()
            return None
        if message is not None:
            self.print(report.event(message))
        return message

    def wait_for(self, work: Callable[[], T]) -> T:
        """Return what *work* returns, or raise what it raises.

        It runs on a thread of its own, so that the end can be asked for
        while it hangs; then the thread is left behind.

        :raises Interrupted: the end was asked for
        """
        done: futures.Future[T] = futures.Future()

        def run() -> None:
            try:
                done.set_result(work())
            except Exception as error:
                done.set_exception(error)

        threading.Thread(target=run, name='compute-show', daemon=True).start()
        while not done.done():
            event = self._take(SHORT_POLL_S)
            if event is not None:
                self._kept.append(event)
        return done.result()

    def print(self, line: str) -> None:
        """Write a line, at once.

        :raises Interrupted: the terminal was closed
        """
        try:
            print(line, file=self._stream, flush=True)
        except OSError as error:
            if error.errno != errno.EIO:
                raise
            raise Interrupted('SIGHUP') from error

    def _overview(self) -> None:
        service = self._service
        try:
            self.wait_for(service.audit.run_once)
        except exception.DriverError as error:
            if self._mode.once:
                raise
            self._print_all(report.down(self._status(), str(error)))
            return
        status = self._status()
        self._connected = status is None or status.state is CONNECTED
        self._shown = self._connected or self._mode.once
        self._print_all(
            report.everything(
                status, service.record.load(), service.audit.last)
            if self._shown else report.down(status, 'lost meanwhile'))

    def _demonstrate(self, until_end: contextlib.ExitStack) -> None:
        status = self._status()
        self.print('Demonstration')
        terms = demo.Terms(
            events=status is None or status.events, keep=self._mode.keep,
            instances_path=self._instances_path,
            client=self._client(status.uri if status else ''))
        demo.run(self._service.driver, self, terms, until_end)

    def _follow(self) -> None:
        self.print('Events, until Ctrl-C')
        self._kept.clear()
        while True:
            self.next_event(POLL_S)
            self._watch_connection()

    def _watch_connection(self) -> None:
        status = self._status()
        if status is None:
            return
        connected = status.state is CONNECTED
        if connected == self._connected:
            return
        self._connected = connected
        if connected and not self._shown:
            self._overview()
            return
        text = (f'connected to {status.uri} again' if connected else
                f'connection lost: {status.last_error}; trying again')
        self.print(report.note(time.time(), text))

    def _status(self) -> connection_spec.ConnectionStatus | None:
        return service_module.connection_status(self._service.driver)

    def _print_all(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.print(line)
