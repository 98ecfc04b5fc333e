# SPDX-License-Identifier: Apache-2.0

"""A whole driver on a hypervisor that is a fake."""

from collections.abc import Callable
from typing import Any

import fixtures as fixtures_library

from nova_libvirt_driver import conf
from nova_libvirt_driver import driver as driver_module
from nova_libvirt_driver.spec import connection as connection_spec
from nova_libvirt_driver.spec import instance as instance_spec
from nova_libvirt_driver.testing import fake_libvirt
from nova_libvirt_driver.testing import fake_ports
from nova_libvirt_driver.testing import fixtures
from tests import base

wait_until = fake_ports.wait_until


class FakeHostTestCase(base.TestCase):
    """Has a fake hypervisor that every URI leads to."""

    hypervisor_class = fake_libvirt.FakeHypervisor

    def setUp(self) -> None:
        super().setUp()
        conf.register_opts(self.config.conf)
        self.hypervisor = self.useFixture(
            fixtures.FakeLibvirt(self.hypervisor_class())).hypervisor
        self.log = self.useFixture(fixtures_library.FakeLogger())
        self.listener = fake_ports.RecordingListener()
        self.instances_path = self.useFixture(
            fixtures_library.TempDir()).path

    def make_driver(
            self, *, knows_instances: bool = False,
            **options: Any) -> driver_module.LibvirtDriver:
        """Return a driver that is connected, and cleaned up afterwards."""
        self.config.config(host='here', instances_path=self.instances_path)
        self.config.config(group='libvirt', connection_uri='fake:///')
        self.config.config(
            group='nova_libvirt_driver',
            **{'reconnect_interval': 0.05, 'connect_timeout': 5, **options})
        driver = driver_module.LibvirtDriver(
            fake_ports.virt_api(knows_instances=knows_instances))
        driver.register_event_listener(self.listener)
        self.addCleanup(driver.cleanup_host, 'here')
        driver.init_host('here')
        return driver

    def add_guests(
            self, number: int, **options: Any) -> list[fake_libvirt.Guest]:
        """Make guests; sends no event."""
        return [self.hypervisor.add_guest(f'guest{index:03}', **options)
                for index in range(number)]

    def calls_of(self, function: Callable[[], object]) -> dict[str, int]:
        """Return which calls a function makes, and how often."""
        before = self.hypervisor.calls
        function()
        return {name: number - before.get(name, 0)
                for name, number in self.hypervisor.calls.items()
                if number > before.get(name, 0)}

    def wait_told(self, driver: driver_module.LibvirtDriver) -> None:
        """Wait until it has compared the guests, and events count."""
        guest = self.hypervisor.guests[0]
        one = instance_spec.InstanceRef(guest.uuid, guest.name)
        wait_until(lambda: not self.calls_of(lambda: driver.get_info(one)),
                   'the listing of the guests')

    def reconnect(self, driver: driver_module.LibvirtDriver) -> None:
        """Lose the connection and wait for the next one."""
        generation = driver.connection_status().generation
        self.hypervisor.break_connections()
        wait_until(
            lambda: driver.connection_status().generation > generation
            and driver.connection_status().state
            == connection_spec.ConnectionState.CONNECTED, 'reconnected')
