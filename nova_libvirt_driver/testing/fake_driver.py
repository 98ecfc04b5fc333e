# SPDX-License-Identifier: Apache-2.0

"""A driver without a hypervisor, for tests of whoever hosts a driver.

It keeps its guests in a list and is connected when told so. It refuses to
imitate libvirt: the fake session does that.
"""

from collections.abc import Collection
import time
from typing import Any

from nova_libvirt_driver import base
from nova_libvirt_driver import exception
from nova_libvirt_driver.spec import connection as connection_spec
from nova_libvirt_driver.spec import diagnostics as diagnostics_spec
from nova_libvirt_driver.spec import event as event_spec
from nova_libvirt_driver.spec import host as host_spec
from nova_libvirt_driver.spec import instance as instance_spec

URI = 'fake:///'
GUEST = instance_spec.InstanceSummary(
    uuid='5d1f7f5c-6b1e-4d8a-9c41-2f6f5e0a7b11', name='web1',
    state=instance_spec.PowerState.RUNNING, vcpus=2, memory_mib=2048)
State = connection_spec.ConnectionState


class FakeDriver(base.ComputeDriver):
    """A host with one running guest, ``web1``.

    :ivar connected: whether the hypervisor can be asked; set it at will
    :ivar instances: the guests; change them at will
    :ivar calls: names of the verbs ``init_host`` and ``cleanup_host`` in
        the order in which they were called
    :ivar tidyings: how often the image cache was looked after
    """

    def __init__(self, virtapi: Any = None) -> None:
        super().__init__(virtapi)
        self.connected = True
        self.host = 'fake-host'
        self.instances = [GUEST]
        self.calls: list[str] = []
        self.tidyings = 0

    def init_host(self, host: str) -> None:
        self.host = host
        self.calls.append('init_host')
        self.report_state()

    def cleanup_host(self, host: str) -> None:
        self.calls.append('cleanup_host')

    def manage_image_cache(
            self, image_ids: Collection[str] = (), *,
            min_age_s: float | None = None) -> list[str]:
        self.tidyings += 1
        return []

    def report_state(self) -> None:
        """Make the service's record agree with :attr:`connected`."""
        if self.virtapi is not None:
            self.virtapi.service_state.set_host_enabled(
                self.host, enabled=self.connected,
                reason='' if self.connected else 'the fake is disconnected')

    def happen(
            self, transition: event_spec.Transition,
            instance: instance_spec.InstanceSummary = GUEST) -> None:
        """Emit a lifecycle event of a guest."""
        self.emit_event(event_spec.LifecycleEvent(
            uuid=instance.uuid, name=instance.name, generation=1,
            timestamp=time.time(), transition=transition))

    def connection_status(self) -> connection_spec.ConnectionStatus:
        """Return how the connection is said to be."""
        return connection_spec.ConnectionStatus(
            state=State.CONNECTED if self.connected else State.BROKEN,
            uri=URI, read_only=False, generation=1, events=True,
            keepalive=False,
            last_error='' if self.connected else 'the fake is disconnected',
            queued_events=0, running_calls=0, abandoned_calls=0)

    def get_info(
            self, instance: instance_spec.Instance,
            use_cache: bool = True) -> instance_spec.InstanceInfo:
        for known in self._reachable():
            if known.uuid == instance.uuid:
                return instance_spec.InstanceInfo(known.state)
        raise exception.InstanceNotFound(
            instance=instance.name, host=self.host)

    def list_instances(self) -> list[str]:
        return [known.name for known in self._reachable()]

    def list_instance_uuids(self) -> list[str]:
        return [known.uuid for known in self._reachable()]

    def list_instance_summaries(self) -> list[instance_spec.InstanceSummary]:
        return sorted(self._reachable(), key=lambda known: known.name)

    def get_available_nodes(self, refresh: bool = False) -> list[str]:
        return [self.host]

    def get_available_resource(
            self, nodename: str) -> host_spec.HostResources:
        return host_spec.HostResources(
            hypervisor_hostname=nodename, hypervisor_type='FAKE',
            hypervisor_version=1_002_003, vcpus=8,
            vcpus_used=sum(known.vcpus or 0 for known in self._reachable()),
            memory_mb=16384, memory_mb_used=3072, local_gb=100,
            local_gb_used=10, disk_available_least=80,
            image_cache_bytes=1 << 30,
            running_instances=len(self.instances),
            online_cpus=frozenset(range(8)))

    def get_host_facts(self) -> host_spec.HostFacts:
        self._reachable()
        return host_spec.HostFacts(
            hostname=self.host, hypervisor_type='FAKE',
            hypervisor_version=1_002_003, libvirt_version=9_000_000,
            uri=URI, arch='x86_64', cpus=8, memory_mib=16384, cpu_model='',
            cpu_sockets=1, cpu_cores=4, cpu_threads=2)

    def get_host_offers(self) -> host_spec.HostOffers:
        self._reachable()
        return host_spec.HostOffers(
            archs=frozenset(('x86_64',)), disk_buses=frozenset(('virtio',)))

    def get_host_cpu_times(self) -> host_spec.CpuTimes:
        self._reachable()
        return host_spec.CpuTimes(
            kernel_ns=1000, user_ns=2000, idle_ns=3000, iowait_ns=4000,
            frequency_mhz=2400)

    def get_guest_figures(self) -> diagnostics_spec.GuestFigures:
        disk = diagnostics_spec.DiskDiagnostics(
            target_dev='vda', read_bytes=512, read_requests=1, write_bytes=0,
            write_requests=0)
        nic = diagnostics_spec.NicDiagnostics(
            target_dev='tap0', rx_bytes=64, tx_bytes=32)
        return {
            known.uuid: diagnostics_spec.Diagnostics(
                state=known.state.name.lower(), name=known.name,
                vcpu_times_ns=(10 ** 9,) * (known.vcpus or 1),
                memory_mib=known.memory_mib, disks=(disk,), nics=(nic,))
            for known in self._reachable()}

    def get_host_ip_addr(self) -> str:
        return '192.0.2.1'

    def get_host_uptime(self) -> str:
        return 'up 1 day'

    def _reachable(self) -> list[instance_spec.InstanceSummary]:
        if not self.connected:
            raise exception.HypervisorUnavailable(
                host=self.host, reason='the fake is disconnected')
        return self.instances
