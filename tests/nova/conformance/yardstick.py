# SPDX-License-Identifier: Apache-2.0

"""The same tests over Nova's own driver, to compare; no part of the suite."""

from nova.tests import fixtures as nova_fixtures
from nova.virt.libvirt import host

from tests.nova.conformance import base
from tests.nova.conformance import qemu

_init_events = host.Host._init_events


class YardstickTest(qemu.QemuTest):

    driver_module = base.NOVAS
    left_out = {}

    def _setup_fakelibvirt(self) -> None:
        super()._setup_fakelibvirt()
        self.stub_out(
            'nova.virt.libvirt.host.Host._init_events', _init_events)
        # As root, within this process.
        self.useFixture(nova_fixtures.PrivsepFixture())
        # Two never end, and Nova's tests wait for them, one in each mode; the
        # third comes when the test is over. Nova leaves them out, too.
        for name in ('Host._conn_event_thread', 'Host._event_emit_delayed',
                     '_EventletLibvirtEventHandler._dispatch_thread'):
            self.stub_out(f'nova.virt.libvirt.host.{name}',
                          lambda *arguments: None)
