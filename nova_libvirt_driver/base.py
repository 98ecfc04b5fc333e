# SPDX-License-Identifier: Apache-2.0

"""The contract between a compute service and its driver.

Names, order of arguments and meaning follow Nova's contract wherever Nova
has the verb; the values are this package's own frozen types. A verb that a
driver does not support raises :class:`NotImplementedError`.
"""

from collections.abc import Mapping
from typing import Any
from typing import ClassVar

from nova_libvirt_driver import ports
from nova_libvirt_driver.spec import event as event_spec
from nova_libvirt_driver.spec import host as host_spec
from nova_libvirt_driver.spec import instance as instance_spec


class ComputeDriver:
    """Base of every driver that a compute service can load.

    :param virtapi: what the hosting service supplies; None for a driver
        that stands alone, as in a unit test
    """

    capabilities: ClassVar[Mapping[str, bool]] = {}
    """Feature flags of Nova's contract; a missing flag means False."""

    def __init__(self, virtapi: Any = None) -> None:
        self.virtapi = virtapi
        self._event_listener: ports.LifecycleListener | None = None

    def init_host(self, host: str) -> None:
        """Make ready for work; called once, before any other verb.

        :param host: name of this compute host
        """
        raise NotImplementedError()

    def cleanup_host(self, host: str) -> None:
        """Let go of everything; called once, when the service stops."""

    def get_info(
            self, instance: instance_spec.Instance,
            use_cache: bool = True) -> instance_spec.InstanceInfo:
        """Say how one guest is.

        :param use_cache: False asks the hypervisor in any case
        :raises InstanceNotFound: there is no such guest here
        :raises HypervisorUnavailable: nobody can say
        """
        raise NotImplementedError()

    def list_instances(self) -> list[str]:
        """Return the names of all guests on this host."""
        raise NotImplementedError()

    def list_instance_uuids(self) -> list[str]:
        """Return the uuids of all guests on this host."""
        raise NotImplementedError()

    def list_instance_summaries(self) -> list[instance_spec.InstanceSummary]:
        """Return one row for each guest on this host, sorted by name."""
        raise NotImplementedError()

    def get_num_instances(self) -> int:
        """Return how many guests there are on this host."""
        return len(self.list_instance_uuids())

    def instance_exists(self, instance: instance_spec.Instance) -> bool:
        """Say whether the guest is on this host.

        Never answers False because the hypervisor cannot be asked.

        :raises HypervisorUnavailable: nobody can say
        """
        return instance.uuid in self.list_instance_uuids()

    def get_available_nodes(self, refresh: bool = False) -> list[str]:
        """Return the names of the nodes this driver looks after."""
        raise NotImplementedError()

    def get_available_resource(
            self, nodename: str) -> host_spec.HostResources:
        """Audit the host: what it has and what of it is in use."""
        raise NotImplementedError()

    def get_host_facts(self) -> host_spec.HostFacts:
        """Return what the hypervisor says of its host."""
        raise NotImplementedError()

    def get_host_ip_addr(self) -> str:
        """Return the address under which other hosts know this one."""
        raise NotImplementedError()

    def get_host_uptime(self) -> str:
        """Return how long the host has been up, as ``uptime`` words it."""
        raise NotImplementedError()

    def register_event_listener(
            self, callback: ports.LifecycleListener | None) -> None:
        """Set who is told of lifecycle events; None for nobody."""
        self._event_listener = callback

    def emit_event(self, event: event_spec.LifecycleEvent) -> None:
        """Tell the listener; its errors are its own.

        Called in order per guest, on a thread where it may block.
        """
        listener = self._event_listener
        if listener is not None:
            listener(event)
