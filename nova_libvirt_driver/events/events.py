# SPDX-License-Identifier: Apache-2.0

"""All that stands between libvirt's callbacks and the listener, joined."""

import dataclasses
from typing import Protocol

from nova_libvirt_driver.calls import protocol
from nova_libvirt_driver.events import dispatcher as dispatcher_module
from nova_libvirt_driver.events import expecting
from nova_libvirt_driver.events import inbox as inbox_module
from nova_libvirt_driver.events import router as router_module
from nova_libvirt_driver.spec import event as event_spec


class Driver(Protocol):
    """The driver's methods that an event passes.

    They are called through the driver, so that a subclass or a test that
    replaces one of them is obeyed.
    """

    def _event_lifecycle_callback(
            self, conn: object, dom: protocol.Domain, event: int,
            detail: int, opaque: object) -> None: ...

    def emit_event(self, event: event_spec.LifecycleEvent) -> None: ...


@dataclasses.dataclass(frozen=True, slots=True)
class Events:
    """The parts, in the order in which an event passes them."""

    subscriptions: inbox_module.Subscriptions
    reader: inbox_module.Reader
    router: router_module.Router
    waits: expecting.Waits
    restarts: router_module.Restarts
    dispatcher: dispatcher_module.Dispatcher


def build(driver: Driver) -> Events:
    """Make the parts for one driver; subscribes to nothing."""
    dispatcher = dispatcher_module.Dispatcher(
        lambda item: driver.emit_event(item))
    restarts = router_module.Restarts(dispatcher.put)
    waits = expecting.Waits()
    router = router_module.Router(restarts.take, waits)
    inbox = inbox_module.make()
    return Events(
        inbox_module.Subscriptions(
            lambda: driver._event_lifecycle_callback, inbox),
        inbox_module.Reader(inbox, router), router, waits, restarts,
        dispatcher)
