# SPDX-License-Identifier: Apache-2.0

"""Nova's own tests of servers, with the driver in its compute service."""

import pathlib
from typing import Any

import fixtures
from nova.tests.functional import test_servers
import os_vif

from nova_libvirt_driver.nova_plugin import driver as driver_module
from nova_libvirt_driver.spec import instance as instance_spec
from tests.nova.conformance import base

_FAKED = "it replaces a method of Nova's fake driver"

LEFT_OUT = {
    'test_create_server_with_error': _FAKED,
    'test_create_server_with_error_with_no_retries': _FAKED,
    'test_create_server_with_error_with_retries': _FAKED,
    'test_create_server_with_image_type_filter':
        'its image is of a kind that the driver takes',
    'test_unshelve_offloaded_overquota':
        "Nova's Glance for tests keeps no bytes of a snapshot",
}
"""Reasons by the names of tests."""


class SimulatedDriver(driver_module.NovaLibvirtDriver):
    """The driver, on a host for which there are images.

    Nova has no name for the guests of libvirt's test driver.
    """

    def get_available_resource(self, nodename: str) -> dict[str, Any]:
        found = super().get_available_resource(nodename)
        return {**found, 'supported_instances': [['x86_64', 'qemu', 'hvm']]}

    def domain_xml(self, uuid: str) -> str:
        """Return the XML of a guest."""
        return self._core.get_domain_xml(
            instance_spec.InstanceRef(uuid, uuid))


class ServersTest(test_servers.ServersTest):  # type: ignore[misc]

    def setUp(self) -> None:
        if self._testMethodName in LEFT_OUT:
            self.skipTest(LEFT_OUT[self._testMethodName])
        folder = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        node = folder / 'node.xml'
        node.write_text('<node/>')
        self.loaded: list[Any] = []

        def load(virtapi: Any, compute_driver: str | None = None) -> Any:
            self.flags(
                connection_uri=f'test://{node}', virt_type='qemu',
                group='libvirt')
            base.allow_interfaces(self)
            self.loaded.append(SimulatedDriver(virtapi))
            return self.loaded[-1]

        self.useFixture(fixtures.MonkeyPatch(
            'nova.virt.driver.load_compute_driver', load))
        self.flags(
            instances_path=str(folder / 'instances'), vif_plugging_timeout=0)
        # nova-compute does it before it loads the driver.
        os_vif.initialize()
        # No switch runs here.
        for verb in ('plug', 'unplug'):
            self.useFixture(fixtures.MonkeyPatch(
                f'os_vif.{verb}', lambda vif, instance: None))
        base.allow_sys(self)
        super().setUp()

    def tearDown(self) -> None:
        super().tearDown()
        for driver in self.loaded:
            driver.cleanup_host(None)
