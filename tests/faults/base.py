# SPDX-License-Identifier: Apache-2.0

"""What the tests of faults share.

Each asserts how long what it looks at may take. The bounds are the deadlines
of ``tests.functional.base.FAST``, added up, and a margin for a machine that
others use, too. At its end nothing may be left in this process.
"""

from collections.abc import Iterator
import contextlib
import time
from typing import Any

from nova_libvirt_driver import driver as driver_module
from nova_libvirt_driver import exception
from nova_libvirt_driver.spec import connection as connection_spec
from nova_libvirt_driver.testing import fake_ports
from nova_libvirt_driver.testing import leaks
from nova_libvirt_driver.testing import relay
from tests.functional import base
from tests.functional import guest_base

MARGIN_S = 30.0
"""What a loaded machine may add."""
FOUND_S = 3 + 5 + MARGIN_S
"""Until a daemon that hangs is found out: keepalive, and a deadline."""
BACK_S = 5 + 1 + MARGIN_S
"""Until there is a connection again: a late attempt, a pause."""
EVENT_S = 1 + MARGIN_S

State = connection_spec.ConnectionState
wait_until = fake_ports.wait_until


@contextlib.contextmanager
def within(bound_s: float) -> Iterator[None]:
    """Fail when the block takes longer."""
    started = time.monotonic()
    yield
    took_s = time.monotonic() - started
    if took_s > bound_s:
        raise AssertionError(f'took {took_s:.1f} s, not {bound_s:g} s')


def kind_of(result: object) -> type:
    """Return the class of a result; of an error, the one that callers know."""
    known = exception.HypervisorUnavailable
    return known if isinstance(result, known) else type(result)


class ConnectionFaultTestCase(base.PrivateHostTestCase):
    """Has a host whose daemon may hang or die, and looks for leaks."""

    def setUp(self) -> None:
        # Its look comes after all other cleanups.
        self.leaks = self.useFixture(leaks.LeakCheck(self.host.uri))
        super().setUp()
        self.addCleanup(self.host.resume_daemon)

    def connect(
            self, uri: str = '', **options: Any
    ) -> driver_module.LibvirtDriver:
        """Return a driver that stays connected."""
        driver = self.make_driver(uri or self.host.uri, **options)
        driver.init_host('here')
        return driver

    @contextlib.contextmanager
    def relayed(self) -> Iterator[relay.Relay]:
        """Put a relay between clients and the daemon."""
        path = self.host.directory / 'relay'
        self.addCleanup(path.unlink)
        with relay.Relay(
                self.host.directory / 's' / 'libvirt-sock', path) as link:
            yield link

    def wait_disabled(self) -> None:
        """Wait until the record says that the host is of no use."""
        wait_until(lambda: self.service_state.enabled is False,
                   'the host to be disabled', timeout_s=FOUND_S)

    def assert_recovers(
            self, driver: driver_module.LibvirtDriver,
            *names: str) -> None:
        """Fail unless all is well soon.

        There is a connection, the record says so, no call hangs any more,
        and exactly the named guests are there.
        """
        assert_recovers(driver, self.service_state, *names)


class GuestFaultTestCase(guest_base.GuestTestCase):
    """Has a driver with folders and images, too."""

    def setUp(self) -> None:
        self.leaks = self.useFixture(leaks.LeakCheck(self.host.uri))
        # An inbox has files, which go with the driver.
        self.addCleanup(lambda: vars(self).pop('driver', None))
        super().setUp()
        self.addCleanup(self.host.resume_daemon)

    def assert_recovers(self, *names: str) -> None:
        """Fail unless all is well soon, see ConnectionFaultTestCase."""
        assert_recovers(self.driver, self.service_state, *names)


def assert_recovers(
        driver: driver_module.LibvirtDriver,
        service_state: fake_ports.RecordingServiceState,
        *names: str) -> None:
    """Fail unless all is well soon, see ConnectionFaultTestCase."""
    status = driver.connection_status

    def well() -> bool:
        return (status().state is State.CONNECTED
                and service_state.enabled is True
                and not status().abandoned_calls)

    try:
        wait_until(well, 'a connection', timeout_s=BACK_S)
    except AssertionError as error:
        raise AssertionError(
            f'{error}: {status()}, the record says '
            f'{service_state.calls[-1:]}') from error
    if sorted(driver.list_instances()) != sorted(names):
        raise AssertionError(f'there are not the guests {names}')
