# SPDX-License-Identifier: Apache-2.0

"""One tiny transient guest that shows that the machine can run guests.

Steps: make a folder with a boot disk (QEMU only), start the guest, wait for
its ``started`` event, wait for its line on the serial console (QEMU only),
destroy it, wait for its ``stopped`` event, remove the folder. Whatever goes
wrong, and when interrupted, the guest and the folder are removed.
"""

from collections.abc import Callable
from collections.abc import Iterator
import contextlib
import os
import tempfile
import time
from typing import Any
from typing import Protocol
from typing import TypeVar

from oslo_log import log as logging

from nova_libvirt_driver import base
from nova_libvirt_driver import exception
from nova_libvirt_driver.spec import event as event_spec
from nova_libvirt_driver.spec import host as host_spec
from nova_libvirt_driver.testing import guests

LOG = logging.getLogger(__name__)

T = TypeVar('T')

MESSAGE = 'Hello from a guest of nova-libvirt-driver.'
EVENT_TIMEOUT_S = 15.0
CONSOLE_TIMEOUT_S = 30.0
POLL_S = 0.1
TEST_DRIVER = 'TEST'
AUTO_DESTROY = 2
"""Libvirt's flag for a guest that ends with its connection."""
NOT_FOUND = 42
"""Libvirt's number for a domain that does not exist."""


class Audience(Protocol):
    """Who watches the demonstration."""

    def next_event(
            self, timeout_s: float) -> event_spec.LifecycleEvent | None:
        """Return the next event; raises when the end is asked for."""

    def wait_for(self, work: Callable[[], T]) -> T:
        """Do the work; raises when the end is asked for meanwhile."""

    def print(self, line: str) -> None:
        """Write a line."""


def run(
        driver: base.ComputeDriver, audience: Audience, *,
        with_events: bool) -> None:
    """Show the life of one guest.

    Blocks for some seconds; every wait has an end.

    :param with_events: False when the connection delivers none
    :raises DriverError: a step failed; nothing is left behind
    """
    name = f'demo-{os.getpid()}'
    connection = driver._conn  # type: ignore[attr-defined]
    facts = driver.get_host_facts()
    with contextlib.ExitStack() as stack:
        console, xml = _prepare(facts, name, stack)
        flags = AUTO_DESTROY if _can_auto_destroy(facts) else 0
        # Whatever happens while it is being started, it does not stay.
        stack.callback(_destroy, connection, name)
        with _translated('start the demo guest'):
            audience.wait_for(lambda: connection.createXML(xml, flags))
        watch = _Watch(audience, name, with_events)
        watch.expect(event_spec.Transition.STARTED)
        if console:
            _show_console(console, audience)
        with _translated('destroy the demo guest'):
            audience.wait_for(connection.lookupByName(name).destroy)
        watch.expect(event_spec.Transition.STOPPED)


class _Watch:
    def __init__(
            self, audience: Audience, name: str, with_events: bool) -> None:
        self._audience = audience
        self._name = name
        self._with_events = with_events

    def expect(self, transition: event_spec.Transition) -> None:
        deadline = time.monotonic() + EVENT_TIMEOUT_S
        while self._with_events and time.monotonic() < deadline:
            event = self._audience.next_event(POLL_S)
            if event is not None and event.name == self._name and (
                    event.transition is transition):
                return
        if self._with_events:
            raise exception.WaitTimeout(
                awaited=f'the event {transition.value!r} of guest '
                f'{self._name}', timeout_s=EVENT_TIMEOUT_S)


def _prepare(
        facts: host_spec.HostFacts, name: str,
        stack: contextlib.ExitStack) -> tuple[str, str]:
    if facts.hypervisor_type.upper() == TEST_DRIVER:
        return '', guests.guest_xml_for_test_driver(name)
    folder = stack.enter_context(
        tempfile.TemporaryDirectory(prefix='nova-libvirt-demo-'))
    # The emulator may run as another user.
    os.chmod(folder, 0o755)
    disk = os.path.join(folder, 'disk')
    with open(disk, 'wb') as file:
        file.write(guests.boot_sector(MESSAGE))
    console = os.path.join(folder, 'console')
    return console, guests.boot_guest_xml(name, disk, console)


def _can_auto_destroy(facts: host_spec.HostFacts) -> bool:
    # An embedded QEMU driver takes its guests along anyway.
    return facts.hypervisor_type.upper() == 'QEMU' and (
        ':///embed' not in facts.uri)


def _show_console(path: str, audience: Audience) -> None:
    deadline = time.monotonic() + CONSOLE_TIMEOUT_S
    while time.monotonic() < deadline:
        if MESSAGE in _text(path):
            audience.print(f'  console   {MESSAGE}')
            return
        audience.next_event(POLL_S)
    raise exception.WaitTimeout(
        awaited="the guest's line on its console",
        timeout_s=CONSOLE_TIMEOUT_S)


def _text(path: str) -> str:
    try:
        with open(path, encoding='ascii', errors='replace') as file:
            return file.read()
    except FileNotFoundError:
        return ''


def _destroy(connection: Any, name: str) -> None:
    # A transient guest that was destroyed is not found any more.
    try:
        connection.lookupByName(name).destroy()
    except Exception as error:
        if getattr(error, 'get_error_code', int)() != NOT_FOUND:
            LOG.warning('The demo guest could not be destroyed: %s', error)


@contextlib.contextmanager
def _translated(tried: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        if type(error).__name__ != 'libvirtError':
            raise
        # Only a process that has libvirt gets here.
        from nova_libvirt_driver.connection import errors
        raise errors.translate(error, host='', tried=tried) from error
