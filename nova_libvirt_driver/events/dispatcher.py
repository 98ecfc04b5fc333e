# SPDX-License-Identifier: Apache-2.0

"""Delivery of events to the listener, in order for each guest.

Every guest has a lane of its own. A few workers empty the lanes; they come
when there is something to deliver and go a while after. A listener that
blocks holds up its own guest's lane and one worker; one that raises costs
the event it was called for. Of a lane that has grown long the latest events
are kept: what came before them is history.
"""

import collections
from collections.abc import Callable
import threading

from oslo_log import log as logging

from nova_libvirt_driver.spec import event

LOG = logging.getLogger(__name__)

_IDLE_S = 1.0


class Dispatcher:
    """The lanes and their workers.

    :param deliver: called with each event, on a worker's (green) thread
    :param max_workers: how many listeners may block at the same time
        before all other guests wait too
    :param lane_limit: how many events of one guest may wait
    :ivar coalesced: how many were left out because more waited
    """

    def __init__(
            self, deliver: Callable[[event.LifecycleEvent], None], *,
            max_workers: int = 64, lane_limit: int = 1000) -> None:
        self.coalesced = 0
        self._deliver = deliver
        self._max_workers = max_workers
        self._lane_limit = lane_limit
        # Held for a few instructions only, never while delivering.
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._lanes: dict[str, collections.deque[event.LifecycleEvent]] = {}
        self._ready: collections.deque[str] = collections.deque()
        self._workers = 0
        self._idle = 0
        self._stopped = False

    def put(self, item: event.LifecycleEvent) -> None:
        """Queue one event behind the others of its guest; never blocks."""
        with self._lock:
            if self._stopped:
                return
            lane = self._lanes.get(item.uuid)
            if lane is not None:
                # A worker has the lane, or will have it.
                lane.append(item)
                if len(lane) > self._lane_limit + 1:
                    # The first one may be under way.
                    del lane[1]
                    self.coalesced += 1
                return
            self._lanes[item.uuid] = collections.deque((item,))
            needed = self._offer(item.uuid)
        if needed:
            self._start_worker()

    def _offer(self, uuid: str) -> bool:
        """Let a worker have a lane; say whether to start one for it.

        The caller has the lock.
        """
        self._ready.append(uuid)
        if self._idle >= len(self._ready):
            self._changed.notify()
            return False
        if self._workers >= self._max_workers:
            return False
        self._workers += 1
        return True

    def _start_worker(self) -> None:
        try:
            threading.Thread(target=self._work, name='libvirt-dispatch',
                             daemon=True).start()
        except RuntimeError:
            # The process has no thread left; the next event tries again.
            with self._lock:
                self._workers -= 1

    def size(self) -> int:
        """Return how many events wait or are being delivered."""
        with self._lock:
            return sum(len(lane) for lane in self._lanes.values())

    def start(self) -> None:
        """Take events again after :meth:`stop`."""
        with self._lock:
            self._stopped = False

    def stop(self) -> None:
        """Drop what waits and take nothing more; does not wait."""
        with self._lock:
            self._stopped = True
            self._lanes.clear()
            self._ready.clear()
            self._changed.notify_all()

    def _work(self) -> None:
        while (uuid := self._next()) is not None:
            self._empty(uuid)

    def _next(self) -> str | None:
        """Wait for a lane; None when the worker is to go."""
        with self._lock:
            if not self._ready and not self._stopped:
                # A thread for each event would take longer than to deliver.
                self._idle += 1
                try:
                    self._changed.wait(_IDLE_S)
                except BaseException:
                    # A green thread that is killed.
                    self._workers -= 1
                    raise
                finally:
                    self._idle -= 1
            if self._ready:
                return self._ready.popleft()
            # Within the lock: who puts something now starts another one.
            self._workers -= 1
            return None

    def _empty(self, uuid: str) -> None:
        """Deliver one lane's events until there are none."""
        while True:
            with self._lock:
                lane = self._lanes.get(uuid)
                if lane is None:
                    return
                item = lane[0]
            try:
                self._deliver_one(item)
            except BaseException:
                self._end_in(uuid, lane)
                raise
            with self._lock:
                if self._leave(uuid, lane):
                    return

    def _end_in(
            self, uuid: str,
            lane: collections.deque[event.LifecycleEvent]) -> None:
        """Let another worker have the lane of one that is killed."""
        with self._lock:
            self._workers -= 1
            needed = not self._leave(uuid, lane) and self._offer(uuid)
        if needed:
            self._start_worker()

    def _leave(
            self, uuid: str,
            lane: collections.deque[event.LifecycleEvent]) -> bool:
        """Take the first event out of a lane; say whether it was the last.

        The caller has the lock.
        """
        if lane is not self._lanes.get(uuid):
            return True
        lane.popleft()
        if not lane:
            del self._lanes[uuid]
        return not lane

    def _deliver_one(self, item: event.LifecycleEvent) -> None:
        try:
            self._deliver(item)
        except Exception:
            LOG.exception('The listener failed on the event "%s" of '
                          'instance %s and will not get it again',
                          item.transition, item.name,
                          instance={'uuid': item.uuid})
