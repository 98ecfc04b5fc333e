# SPDX-License-Identifier: Apache-2.0

"""Ports of a compute service that remember what the driver told them.

And a listener that remembers the events it was told of. Safe to use from
several threads; every wait is bounded.
"""

from collections.abc import Callable
from collections.abc import Mapping
import time
from typing import Any

from nova_libvirt_driver.calls import runtime
from nova_libvirt_driver import ports
from nova_libvirt_driver.spec import event


class RecordingNotifier:
    """Keeps every notification as (event type, payload)."""

    def __init__(self) -> None:
        self.errors: list[tuple[str, Mapping[str, object]]] = []
        self.infos: list[tuple[str, Mapping[str, object]]] = []

    def error(self, event_type: str, payload: Mapping[str, object]) -> None:
        self.errors.append((event_type, payload))

    def info(self, event_type: str, payload: Mapping[str, object]) -> None:
        self.infos.append((event_type, payload))


class RecordingServiceState:
    """Keeps every word on whether the host is enabled."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, bool, str]] = []

    def set_host_enabled(
            self, host: str, *, enabled: bool, reason: str) -> None:
        self.calls.append((host, enabled, reason))

    @property
    def enabled(self) -> bool | None:
        """The last word, None before the first."""
        return self.calls[-1][1] if self.calls else None

    @property
    def changes(self) -> list[bool]:
        """What was said, without what says the same as before."""
        words = [enabled for _, enabled, _ in list(self.calls)]
        return [word for number, word in enumerate(words)
                if not number or words[number - 1] is not word]


class RecordingListener:
    """Keeps lifecycle events in the order in which they came."""

    def __init__(self) -> None:
        self.events: list[event.LifecycleEvent] = []

    def __call__(self, item: event.LifecycleEvent) -> None:
        self.events.append(item)

    def transitions(self, name: str) -> list[str]:
        """Return what happened to one guest."""
        return [str(item.transition) for item in list(self.events)
                if item.name == name]


def virt_api(
        notifier: ports.Notifier | None = None,
        service_state: ports.ServiceState | None = None,
        images: ports.ImageSource | None = None,
        attachments: ports.AttachmentsOf | None = lambda instance: (),
        volumes: Callable[[], ports.VolumeConnector] | None = None,
        attachment: ports.AttachmentOf | None = (
            lambda instance, name, memo: None),
        *, knows_instances: bool = False,
        home: ports.HomeOf = lambda instance: None) -> ports.VirtAPI:
    """Return ports, recording ones where none are given, and no images."""
    return ports.VirtAPI(
        notifier=notifier or RecordingNotifier(),
        service_state=service_state or RecordingServiceState(),
        images=images or ports.NullImages(), attachments=attachments,
        volumes=volumes, attachment=attachment,
        knows_instances=knows_instances, home=home)


def wait_until(
        condition: Callable[[], Any], what: str, *,
        timeout_s: float = 60.0) -> Any:
    """Wait until *condition* is true and return what it returned.

    :raises AssertionError: it was not within *timeout_s*
    """
    deadline = time.monotonic() + timeout_s
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f'not within {timeout_s:g} s: {what}')
        # In an eventlet process this lets the others run.
        time.sleep(0.01)


def run_threads(
        functions: list[Callable[[], Any]], *,
        timeout_s: float = 60.0) -> list[Any]:
    """Run each function on a (green) thread of its own, at the same time.

    Returns their results; what one raised stands in place of its result.

    :raises AssertionError: one did not come to its end in time
    """
    results: list[Any] = [None] * len(functions)

    def work(number: int) -> None:
        try:
            results[number] = functions[number]()
        except Exception as error:
            results[number] = error

    started = [runtime.Thread(target=work, args=(number,), daemon=True)
               for number in range(len(functions))]
    for thread in started:
        thread.start()
    deadline = time.monotonic() + timeout_s
    for thread in started:
        thread.join(max(0.0, deadline - time.monotonic()))
    hung = sum(thread.is_alive() for thread in started)
    if hung:
        raise AssertionError(
            f'{hung} of {len(started)} threads hang after {timeout_s:g} s')
    return results
