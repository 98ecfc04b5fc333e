# SPDX-License-Identifier: Apache-2.0

"""Nova's conformance tests of drivers, with nothing of libvirt replaced."""

from collections.abc import Callable
from collections.abc import Mapping
import functools
import inspect
import os
import traceback
from typing import Any, ClassVar

import fixtures
import libvirt
from nova.network import model as network_model
from nova import test
from nova.tests.unit import utils as test_utils
from nova.tests.unit.virt import test_virt_drivers
from nova.virt import driver
import psutil

OURS = 'nova_libvirt_driver.nova_plugin.driver.NovaLibvirtDriver'
NOVAS = 'nova.virt.libvirt.LibvirtDriver'

REFUSED = 'the driver refuses it, and says why'

ON_NO_LIBVIRT = {
    'test_live_migration_force_complete':
        "it looks into an attribute of Nova's own driver",
    'test_live_migration_abort': 'its guest is not being migrated',
    'test_resume_unsuspended_instance':
        "only Nova's fake libvirt starts a guest that runs",
    'test_unrescue_unrescued_instance':
        'refused, as nothing is there to go back to',
    'test_set_admin_password': 'it needs a guest agent that answers',
    'test_migrate_disk_and_power_off': 'it names a host that is not there',
    'test_block_stats': 'its guest has no disk of that name',
    'test_attach_detach_different_power_states': REFUSED,
    'test_attach_detach_volume': REFUSED,
    'test_swap_volume': REFUSED,
}
"""What Nova's own driver does not pass either with a real libvirt, but for
the first."""

BRIDGE = f'qbr{test_utils.FAKE_VIF_UUID[:11]}'

_swallower = test_virt_drivers.catch_notimplementederror(
    lambda: None).__code__
_network = test_utils.get_test_network_info
_uname = os.uname
_addresses = psutil.net_if_addrs


def wrapped(method: Any) -> Any:
    """Return the test inside of what swallows NotImplementedError.

    Nova 31 and 32 leave it no attribute.
    """
    return inspect.getclosurevars(method).nonlocals['f']


def network_on_a_bridge(count: int = 1) -> Any:
    """Return Nova's network for tests, with a bridge before Open vSwitch.

    All that libvirt needs then is the bridge: no Open vSwitch runs.
    """
    network = _network(count)
    for vif in network:
        vif['details'] = {
            network_model.VIF_DETAILS_OVS_HYBRID_PLUG: True,
            network_model.VIF_DETAILS_PORT_FILTER: True}
        vif['devname'] = f'tap{vif["id"][:11]}'
        vif['ovs_interfaceid'] = vif['id']
    return network


def allow_sys(case: test.TestCase) -> None:
    """Lift a ban that Nova's own tests are under; call it before their setUp.

    The driver asks in /sys which CPUs are online, also when libvirt is a
    simulation.
    """
    case.useFixture(fixtures.MonkeyPatch(
        'nova.tests.fixtures.SysFsPoisonFixture', fixtures.Fixture))


def allow_interfaces(case: test.TestCase) -> None:
    """Lift another ban, on looking at this machine's addresses."""
    case.useFixture(fixtures.MonkeyPatch('psutil.net_if_addrs', _addresses))


def allow_connector(case: test.TestCase) -> None:
    """Let os-brick say what the host has; it would start a helper as root."""
    def properties(
            root_helper: str, my_ip: str, multipath: bool,
            enforce_multipath: bool, host: str) -> dict[str, Any]:
        return {'ip': my_ip, 'host': host, 'multipath': multipath,
                'initiator': 'iqn.2026-11.example:here'}

    case.useFixture(fixtures.MonkeyPatch(
        'os_brick.initiator.connector.get_connector_properties', properties))


class ConformanceTest(
        test_virt_drivers._VirtDriverTestCase,  # type: ignore[misc]
        test.TestCase):  # type: ignore[misc]
    """All of them over one driver and one libvirt.

    A verb that the driver does not have is a skip.
    """

    driver_module = OURS
    virt_type = 'qemu'
    REQUIRES_LOCKING = True
    left_out: ClassVar[Mapping[str, str]] = ON_NO_LIBVIRT
    """Reasons by the names of tests."""

    def uri(self) -> str:
        """Return which libvirt the driver is for."""
        raise NotImplementedError

    def setUp(self) -> None:
        name = self._testMethodName
        if name in self.left_out:
            self.skipTest(self.left_out[name])
        allow_sys(self)
        super().setUp()
        allow_connector(self)
        self.stub_out('nova.context.get_admin_context',
                      lambda **options: self.ctxt)
        method = getattr(type(self), name)
        if getattr(method, '__code__', None) is _swallower:
            method = wrapped(method)
        setattr(self, name, functools.partial(self._run_or_skip, method))
        self.connection.init_host('myhostname')
        self.addCleanup(self.connection.cleanup_host, 'myhostname')

    def test_get_spice_console(self) -> None:
        # A guest has the graphics that were on when it was made.
        self.flags(enabled=True, group='spice')
        wrapped(super().test_get_spice_console)(self)

    def test_unrescue_rescued_instance(self) -> None:
        # Without the patch of os.unlink, which would keep an entry of the
        # journal that has ended.
        wrapped(super().test_unrescue_rescued_instance).__wrapped__(
            self, None)

    def _run_or_skip(self, method: Callable[[Any], object]) -> None:
        try:
            method(self)
        except NotImplementedError as error:
            # One from elsewhere is a fault: Nova's objects raise it, too,
            # when something of them is not set.
            if _origin(error) != driver.__file__:
                raise
            self.skipTest('the driver has no such verb')

    def _setup_fakelibvirt(self) -> None:
        self.flags(
            connection_uri=self.uri(), virt_type=self.virt_type,
            cpu_mode='none', sysinfo_serial='none', tb_cache_size=32,
            wait_soft_reboot_seconds=1, device_detach_attempts=1,
            device_detach_timeout=1, group='libvirt')
        self.flags(vif_plugging_timeout=0)
        self.stub_out('os.uname', _uname)
        self.stub_out('psutil.net_if_addrs', _addresses)
        self.stub_out('nova.tests.unit.utils.get_test_network_info',
                      network_on_a_bridge)
        # The bridge is the host's of the test, not this machine's.
        for verb in ('plug', 'unplug'):
            self.stub_out(f'os_vif.{verb}', lambda vif, instance: None)

    def _teardown_fakelibvirt(self) -> None:
        pass


def _origin(error: BaseException) -> str:
    return traceback.extract_tb(error.__traceback__)[-1].filename


def remove_guests(uri: str) -> None:
    """Leave a libvirt that outlives a test without guests."""
    connection = libvirt.open(uri)
    try:
        for domain in connection.listAllDomains():
            if domain.isActive():
                domain.destroy()
            domain.undefineFlags(
                libvirt.VIR_DOMAIN_UNDEFINE_MANAGED_SAVE
                | libvirt.VIR_DOMAIN_UNDEFINE_NVRAM)
    finally:
        connection.close()
