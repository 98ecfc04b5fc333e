# SPDX-License-Identifier: Apache-2.0

"""The guests of a hypervisor, without a driver around them."""

from typing import Any

import fixtures
import libvirt

from nova_libvirt_driver.connection import auth
from nova_libvirt_driver.connection import calls as calls_module
from nova_libvirt_driver.connection import channels as channels_module
from nova_libvirt_driver.connection import decode
from nova_libvirt_driver.connection import herald as herald_module
from nova_libvirt_driver.connection import inbox as inbox_module
from nova_libvirt_driver.connection import link as link_module
from nova_libvirt_driver.connection import opener as opener_module
from nova_libvirt_driver.connection import protocol
from nova_libvirt_driver.connection import quarantine
from nova_libvirt_driver.connection import router as router_module
from nova_libvirt_driver.connection import settings as settings_module
from nova_libvirt_driver.connection import subscription
from nova_libvirt_driver.connection import supervisor as supervisor_module
from nova_libvirt_driver.guest import bulk as bulk_module
from nova_libvirt_driver.guest import guests as guests_module
from nova_libvirt_driver.guest import secrets as secrets_module
from nova_libvirt_driver.guest import snapshots as snapshots_module
from nova_libvirt_driver import ports
from nova_libvirt_driver.spec import event as event_spec
from nova_libvirt_driver.testing import fake_fault

HOST = 'here'


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
            HOST, auth.Credentials('', '', ''),
            **{'connect_timeout_s': 5.0, 'reconnect_interval_s': 0.05,
               **settings})
        self.events: list[event_spec.LifecycleEvent] = []

    def _setUp(self) -> None:
        router = router_module.Router(self.events.append)
        calls = self.calls = calls_module.make(host=HOST, limit=16)
        herald = herald_module.Herald()
        outage = opener_module.Outage(
            ports.NullNotifier(), herald, lambda: '127.0.0.1')
        opener = opener_module.Opener(self._settings, calls, outage)
        self.inbox = inbox_module.make()
        self.supervisor = supervisor_module.Supervisor(
            supervisor_module.Hooks(
                connect=lambda: opener.open(self._uri, read_only=False),
                get_new_connection=lambda: self.supervisor.renew(),
                test_connection=lambda connection: True,
                set_host_enabled=lambda enabled: None,
                uri=lambda: self._uri),
            self._settings, supervisor_module.Plumbing(
                calls=calls, outage=outage, herald=herald,
                router=router,
                subscriptions=subscription.Subscriptions(
                    lambda: self._receive, self.inbox)))
        self.channels = channels_module.Channels(
            lambda: opener.open_raw(self._uri, read_only=False), calls,
            self._settings)
        self.quarantine = quarantine.Quarantine()
        link = link_module.Link(
            self.supervisor, self.channels, self.quarantine, HOST,
            self._settings.look_timeout_s)
        self.guests = guests_module.Guests(link)
        self.snapshots = snapshots_module.Snapshots(
            link, router, bulk_module.Bulk(link), 60.0)
        self.secrets = secrets_module.Secrets(link)
        self.addCleanup(self._stop)
        self.supervisor.start()

    def _stop(self) -> None:
        self.supervisor.stop()
        self.channels.close()

    def _receive(
            self, connection: object, domain: protocol.Domain, number: int,
            detail: int, generation: int) -> None:
        change = decode.lifecycle(domain, number, detail, generation)
        if change is not None:
            self.inbox.put(change)


def failure(
        code: int, text: str = 'it failed',
        domain: int = libvirt.VIR_FROM_QEMU) -> libvirt.libvirtError:
    """Return an error as libvirt raises it."""
    return fake_fault.libvirt_error(code, domain, text)
