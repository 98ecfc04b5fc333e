# SPDX-License-Identifier: Apache-2.0

"""Looks once more, a while after a connection was made, who is still there.

A daemon that has been started again lists guests as running before it has
reached their QEMU processes. Of one that it finds dead then it sends no event
(seen with libvirt 9.0: the domain is off, or gone).
"""

from collections.abc import Sequence
import threading

from oslo_log import log as logging

from nova_libvirt_driver.calls import runtime as runtime_module
from nova_libvirt_driver.calls import worker as worker_module
from nova_libvirt_driver.connection import supervisor as supervisor_module
from nova_libvirt_driver.events import decode
from nova_libvirt_driver.events import router as router_module
from nova_libvirt_driver import exception

LOG = logging.getLogger(__name__)

DELAYS_S = (3.0, 10.0, 30.0)
"""How long after a connection was made, each time.

A daemon needs a moment for each guest, and more when its host is busy.
"""

_STOP_S = 0.1


class Recheck:
    """Compares what is known of guests with what libvirt says later.

    It looks for what would show nowhere else: guests that are down or gone
    without an event.
    """

    def __init__(
            self, supervisor: supervisor_module.Supervisor,
            router: router_module.Router, *,
            delays_s: Sequence[float] = DELAYS_S,
            runtime: runtime_module.Runtime = runtime_module.PROCESS,
    ) -> None:
        self._supervisor = supervisor
        self._router = router
        self._delays_s = delays_s
        self._runtime = runtime
        self._lock = threading.Lock()
        self._worker: worker_module.Worker | None = None
        self._generation = 0

    def start(self) -> None:
        """Look after each :meth:`wake` from now on."""
        self.stop()
        with self._lock:
            self._worker = worker_module.Worker(
                'libvirt-recheck', self._runtime)
            self._generation = 0

    def stop(self) -> None:
        """Look no more; hardly waits for a look that is under way."""
        with self._lock:
            worker, self._worker = self._worker, None
        if worker is not None:
            worker.stop(_STOP_S)

    def wake(self) -> None:
        """Take note that there may be another connection; never blocks."""
        generation = self._supervisor.generation
        with self._lock:
            worker = self._worker
            if worker is None or generation == self._generation:
                return
            self._generation = generation
        for delay_s in self._delays_s:
            self._plan(worker, delay_s, generation)

    def _plan(
            self, worker: worker_module.Worker, delay_s: float,
            generation: int) -> None:
        # Only jobs of a worker may have something done later.
        worker.submit(lambda: worker.later(
            delay_s, lambda: self._look(generation)))

    def _look(self, generation: int) -> None:
        # Another connection has a plan of its own.
        if generation != self._generation:
            return
        try:
            before = self._router.guests()
            reports = self._supervisor.look(
                'see which guests are still there', decode.reports)
        except exception.DriverError as error:
            LOG.debug('Guests were not looked for again: %s', error)
            return
        self._router.confirm(before, reports, generation)
