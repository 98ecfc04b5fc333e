# SPDX-License-Identifier: Apache-2.0

"""From raw events to transitions that a listener hears of.

Events of a new session are held back until its guests have been compared
with what was known before; events of an old one are dropped. That way a
missed transition is inferred once, and before the ones that follow it.
"""

from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Mapping
import threading

from oslo_log import log as logging

from nova_libvirt_driver.connection import decode
from nova_libvirt_driver.connection import registry
from nova_libvirt_driver.spec import event

LOG = logging.getLogger(__name__)


class Router:
    """Keeps the registry and passes transitions on, in order.

    :param forward: takes each transition; must not block
    """

    def __init__(
            self, forward: Callable[[event.LifecycleEvent], None]) -> None:
        self._forward = forward
        # Held for bookkeeping only; neither libvirt nor a listener is
        # called meanwhile.
        self._lock = threading.Lock()
        self._registry = registry.Registry()
        self._generation = 0
        self._is_current = False
        self._held: list[registry.Change] = []

    @property
    def generation(self) -> int:
        """The session whose guests were compared last; 0 for none."""
        return self._generation

    @property
    def is_current(self) -> bool:
        """That session could list its guests."""
        return self._is_current

    def known(self, uuid: str) -> registry.Known | None:
        """Return what events say of a guest, None when they do not."""
        with self._lock:
            return self._registry.get(uuid) if self._is_current else None

    def touch(self, uuid: str) -> None:
        """Let what is known of a guest count as news, though it is none.

        Something was done to it of which an event may still be on its way.
        """
        with self._lock:
            self._registry.touch(uuid)

    def handle(self, change: registry.Change) -> None:
        """Take one event in the order in which libvirt sent it."""
        with self._lock:
            if change.generation > self._generation:
                self._held.append(change)
            elif change.generation == self._generation:
                self._apply(change)

    def synchronize(
            self, reports: Iterable[decode.Report] | None,
            generation: int) -> None:
        """Compare with a full listing and let held events go.

        :param reports: None when the guests could not be listed; then
            nothing is inferred, and what is known counts as outdated
        """
        with self._lock:
            if generation <= self._generation:
                return
            self._generation = generation
            self._is_current = reports is not None
            if reports is not None:
                for missed in self._registry.compare(reports, generation):
                    LOG.info('Guest %s (%s): missed event "%s".',
                             missed.name, missed.uuid, missed.transition)
                    self._forward(missed)
            held, self._held = self._held, []
            for change in self._registry.unseen(held):
                if change.generation == generation:
                    self._apply(change)

    def guests(self) -> Mapping[str, registry.Known]:
        """Return what is known of each guest now, by uuid."""
        with self._lock:
            return self._registry.guests()

    def confirm(
            self, before: Mapping[str, registry.Known],
            reports: Iterable[decode.Report], generation: int) -> None:
        """Pass on that guests are down of which no event has told.

        :param before: what was known before they were listed
        :param reports: a full listing of a session
        :param generation: of that session; one that is not the present one
            changes nothing
        """
        with self._lock:
            if generation != self._generation or not self._is_current:
                return
            for missed in self._registry.confirm(
                    before, reports, generation):
                LOG.info('Guest %s (%s): event "%s" was never sent.',
                         missed.name, missed.uuid, missed.transition)
                self._forward(missed)

    def _apply(self, change: registry.Change) -> None:
        transition = self._registry.apply(change)
        if transition is not None:
            self._forward(transition)
        elif isinstance(change, event.GuestEvent) and not isinstance(
                change, event.LifecycleEvent):
            LOG.debug('Guest %s (%s): %s', change.name, change.uuid, change)
