# SPDX-License-Identifier: Apache-2.0

"""The guests of a hypervisor, without a driver around them."""

import contextlib
from typing import Any

import fixtures
import libvirt

from nova_libvirt_driver.calls import calls as calls_module
from nova_libvirt_driver.calls import protocol
from nova_libvirt_driver.connection import link as link_module
from nova_libvirt_driver.connection import settings as settings_module
from nova_libvirt_driver.events import events as events_module
from nova_libvirt_driver import exception
from nova_libvirt_driver.guest import bulk as bulk_module
from nova_libvirt_driver.guest import guests as guests_module
from nova_libvirt_driver.guest import inventory as inventory_module
from nova_libvirt_driver.guest import reach
from nova_libvirt_driver.guest import secrets as secrets_module
from nova_libvirt_driver.guest import statistics_cache as statistics_module
from nova_libvirt_driver import ports
from nova_libvirt_driver.spec import event as event_spec
from nova_libvirt_driver.testing import fake_fault

HOST = 'here'


class Driver:
    """As much of a driver as a connection needs."""

    read_only = False
    link: link_module.Link

    def __init__(
            self, uri: str, happened: list[event_spec.LifecycleEvent],
    ) -> None:
        self._uri = uri
        self._happened = happened

    def uri(self) -> str:
        return self._uri

    def get_host_ip_addr(self) -> str:
        return '127.0.0.1'

    def set_host_enabled(self, host: str, enabled: bool) -> None:
        return

    def _connect(self, uri: str, read_only: bool) -> protocol.Connection:
        return self.link.opener.open(uri, read_only=read_only)

    def _get_new_connection(self) -> protocol.Connection:
        return self.link.attempts.renew()

    def _test_connection(self, conn: protocol.Connection) -> bool:
        return True

    def _event_lifecycle_callback(
            self, conn: object, dom: protocol.Domain, event: int,
            detail: int, opaque: object) -> None:
        self.link.attempts.receive(dom, event, detail, opaque)

    def emit_event(self, event: event_spec.LifecycleEvent) -> None:
        self._happened.append(event)


class GuestsFixture(fixtures.Fixture):
    """Guests behind a URI, as :attr:`guests`, and their :attr:`secrets`.

    :ivar events: what happened to them, in this order
    """

    guests: guests_module.Guests
    secrets: secrets_module.Secrets

    def __init__(self, uri: str, **settings: Any) -> None:
        super().__init__()
        self._uri = uri
        self._settings = settings_module.Settings(
            HOST, settings_module.Credentials('', '', ''),
            **{'connect_timeout_s': 5.0, 'reconnect_interval_s': 0.05,
               **settings})
        self.events: list[event_spec.LifecycleEvent] = []

    def _setUp(self) -> None:
        driver = Driver(self._uri, self.events)
        self.calls = calls_module.make(host=HOST, limit=16)
        events = events_module.build(driver)
        link = self.link = driver.link = link_module.Link(
            driver, self._settings, self.calls, events, ports.NullNotifier())
        self.channels, self.waits = link.channels, events.waits
        self.quarantine = link.quarantine
        ownership = reach.Ownership()
        self.guests = guests_module.Guests(link, ownership)
        bulk = bulk_module.Bulk(link)
        self.statistics = statistics_module.StatisticsCache(
            link, events.router, bulk, 60.0)
        self.inventory = inventory_module.Inventory(
            link, events.router, bulk, self.statistics, frozenset,
            ownership)
        self.secrets = secrets_module.Secrets(link)
        self.addCleanup(link.stop)
        link.attempts.start()
        with contextlib.suppress(exception.DriverError):
            link.connection()


def failure(
        code: int, text: str = 'it failed',
        domain: int = libvirt.VIR_FROM_QEMU) -> libvirt.libvirtError:
    """Return an error as libvirt raises it."""
    return fake_fault.libvirt_error(code, domain, text)
