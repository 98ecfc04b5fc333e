# SPDX-License-Identifier: Apache-2.0

"""The driver: a switchboard between the contract and its parts.

Every method hands over to the part that does the work. The methods with an
underscore are the vocabulary of the connection; its parts call them through
the driver, so that replacing one of them here changes what happens.
"""

import contextlib
import threading
from typing import Any

from nova_libvirt_driver import assembly
from nova_libvirt_driver import base
from nova_libvirt_driver.connection import probe
from nova_libvirt_driver.connection import protocol
from nova_libvirt_driver.host import uptime
from nova_libvirt_driver import ports
from nova_libvirt_driver.spec import connection as connection_spec
from nova_libvirt_driver.spec import console as console_spec
from nova_libvirt_driver.spec import device as device_spec
from nova_libvirt_driver.spec import diagnostics as diagnostics_spec
from nova_libvirt_driver.spec import disk as disk_spec
from nova_libvirt_driver.spec import guest as guest_spec
from nova_libvirt_driver.spec import host as host_spec
from nova_libvirt_driver.spec import image as image_spec
from nova_libvirt_driver.spec import instance as instance_spec


class LibvirtDriver(base.ComputeDriver):
    """Makes guests with libvirt and looks after them.

    Making one opens nothing: the first access to the connection does, or
    :meth:`init_host`.

    :param virtapi: a :class:`~nova_libvirt_driver.ports.VirtAPI`; with
        anything else the driver notifies by itself and keeps no service
        record
    :param read_only: ask libvirt for a connection that only looks
    """

    def __init__(self, virtapi: Any = None, read_only: bool = False) -> None:
        super().__init__(virtapi)
        self.read_only = read_only
        self._parts = assembly.build(self, virtapi)

    # The connection.

    def uri(self) -> str:
        """Return the URI to connect to."""
        return self._parts.uri()

    def _connect(self, uri: str, read_only: bool) -> protocol.Connection:
        """Open a connection on a native thread, within a deadline.

        :raises HypervisorUnavailable: it failed, which was logged; the
            first failure of an outage was notified
        """
        return self._parts.opener.open(uri, read_only=read_only)

    def _get_new_connection(self) -> protocol.Connection:
        """Replace the connection, and set the host enabled or disabled."""
        return self._parts.supervisor.renew()

    def _get_connection(self) -> protocol.Connection:
        """Return a usable connection, or raise HypervisorUnavailable."""
        return self._parts.supervisor.connection()

    @property
    def _conn(self) -> protocol.Connection:
        return self._get_connection()

    def _test_connection(self, conn: protocol.Connection) -> bool:
        """Say whether a connection works; raises for any other error."""
        return probe.works(conn, host=self._parts.host)

    @property
    def _wrapped_conn(self) -> protocol.Connection | None:
        session = self._parts.supervisor.session
        return None if session is None else session.connection

    @_wrapped_conn.setter
    def _wrapped_conn(self, conn: protocol.Connection | None) -> None:
        self._parts.supervisor.install(conn)

    @property
    def _wrapped_conn_lock(self) -> threading.Lock:
        return self._parts.supervisor.lock

    def _event_lifecycle_callback(
            self, conn: object, dom: protocol.Domain, event: int,
            detail: int, opaque: object) -> None:
        """Take a lifecycle event; on libvirt's thread, never blocks."""
        self._parts.lifecycle.receive(dom, event, detail, opaque)

    def connection_status(self) -> connection_spec.ConnectionStatus:
        """Say how the connection is, without asking libvirt."""
        parts = self._parts
        session = parts.supervisor.session
        return connection_spec.ConnectionStatus(
            state=parts.supervisor.state, uri=self.uri(),
            read_only=self.read_only,
            generation=parts.supervisor.generation,
            events=session is not None and session.events,
            keepalive=session is not None and session.keepalive,
            last_error=parts.supervisor.last_error,
            queued_events=parts.inbox.size() + parts.dispatcher.size(),
            running_calls=parts.calls.running(),
            abandoned_calls=parts.calls.abandoned(),
            coalesced_events=parts.dispatcher.coalesced,
            unresponsive=parts.link.quarantine.uuids(),
            in_process=session is not None and not session.turn.needed,
            call_limit=parts.calls.limit(), breaker=parts.supervisor.breaker,
            reconnects=parts.supervisor.reconnects,
            state_age_s=round(parts.supervisor.state_age_s, 3),
            lost_for_s=parts.supervisor.lost_for_s)

    def observe_calls(self, observer: ports.Observer | None) -> None:
        """Tell *observer* of each call into libvirt; None ends that."""
        self._parts.calls.observation.observer = observer

    # The host.

    def init_host(self, host: str) -> None:
        """Connect and stay connected; see Supervisor.start."""
        self._parts.dispatcher.start()
        self._parts.recheck.start()
        self._parts.supervisor.start()
        self._parts.verbs.recovery.start()

    def cleanup_host(self, host: str) -> None:
        """Close the connection and stop every thread, in two seconds."""
        self._parts.verbs.recovery.stop()
        self._parts.recheck.stop()
        self._parts.supervisor.stop()
        self._parts.link.channels.close()
        self._parts.dispatcher.stop()

    def set_host_enabled(self, host: str, enabled: bool) -> None:
        """Make the compute service's record agree with the connection."""
        self._parts.virtapi.service_state.set_host_enabled(
            host, enabled=enabled, reason=self._parts.supervisor.last_error)

    def get_host_ip_addr(self) -> str:
        return self._parts.my_ip()

    def get_host_uptime(self) -> str:
        return uptime.text()

    def get_host_facts(self) -> host_spec.HostFacts:
        return self._parts.facts.get()

    def get_host_offers(self) -> host_spec.HostOffers:
        return self._parts.offers.get()

    def get_host_cpu_times(self) -> host_spec.CpuTimes:
        return self._parts.audit.cpu_times()

    def get_available_nodes(self, refresh: bool = False) -> list[str]:
        return [self._parts.facts.get().hostname]

    def get_available_resource(
            self, nodename: str) -> host_spec.HostResources:
        return self._parts.audit.run()

    # Guests.

    def get_info(
            self, instance: instance_spec.Instance,
            use_cache: bool = True) -> instance_spec.InstanceInfo:
        return self._parts.inventory.info(instance, use_cache=use_cache)

    def list_instances(self) -> list[str]:
        return [item.name for item in self._parts.inventory.reports()]

    def list_instance_uuids(self) -> list[str]:
        return [item.uuid for item in self._parts.inventory.reports()]

    def list_instance_summaries(self) -> list[instance_spec.InstanceSummary]:
        return self._parts.inventory.summaries()

    # Making and removing guests.

    def spawn(
            self, spec: guest_spec.GuestSpec, *,
            images: ports.ImageSource | None = None, power_on: bool = True,
            progress: ports.Progress = base.NO_PROGRESS,
            network: ports.Network | None = None) -> None:
        self._parts.verbs.spawn.spawn(
            spec, self._images(images), power_on=power_on, progress=progress,
            network=network)

    def destroy(
            self, instance: instance_spec.Instance, *,
            destroy_disks: bool = True) -> None:
        self._parts.verbs.destroy.destroy(
            instance, destroy_disks=destroy_disks)

    def cleanup(
            self, instance: instance_spec.Instance, *,
            destroy_disks: bool = True) -> None:
        self._parts.verbs.destroy.destroy(
            instance, destroy_disks=destroy_disks)

    def instance_on_disk(self, instance: instance_spec.Instance) -> bool:
        return self._parts.verbs.files.has_disk(instance)

    def get_instance_disk_info(
            self, instance: instance_spec.Instance
    ) -> list[disk_spec.DiskUse]:
        return self._parts.verbs.usage.disks(instance.uuid)

    def delete_instance_files(
            self, instance: instance_spec.Instance) -> bool:
        return self._parts.verbs.destroy.delete_files(instance)

    def get_spec(
            self, instance: instance_spec.Instance) -> guest_spec.GuestSpec:
        return self._parts.verbs.files.read_spec(instance)

    def get_guest_xml(self, spec: guest_spec.GuestSpec) -> str:
        return self._parts.verbs.spawn.xml(spec)

    def get_domain_xml(
            self, instance: instance_spec.Instance, *,
            inactive: bool = False) -> str:
        """Return the XML of a domain, without secrets.

        :param inactive: how it will be at its next start
        """
        return self._parts.guests.find(instance).xml(inactive=inactive)

    def rename(
            self, instance: instance_spec.Instance,
            display_name: str) -> None:
        """Give an instance another display name, also while it runs."""
        self._parts.verbs.rename.rename(instance, display_name)

    # Power.

    def power_on(
            self, spec: guest_spec.GuestSpec, *,
            progress: ports.Progress = base.NO_PROGRESS) -> None:
        self._parts.verbs.power_on.power_on(spec, progress)

    def power_off(
            self, instance: instance_spec.Instance, timeout_s: float = 0,
            retry_interval_s: float = 0) -> None:
        self._parts.verbs.power_off.power_off(
            instance, timeout_s, retry_interval_s)

    def reboot(
            self, spec: guest_spec.GuestSpec,
            reboot_type: guest_spec.RebootType, *,
            progress: ports.Progress = base.NO_PROGRESS) -> None:
        self._parts.verbs.reboot.reboot(spec, reboot_type, progress)

    def pause(self, instance: instance_spec.Instance) -> None:
        self._parts.verbs.pause.pause(instance)

    def unpause(self, instance: instance_spec.Instance) -> None:
        self._parts.verbs.pause.unpause(instance)

    def suspend(self, instance: instance_spec.Instance) -> None:
        self._parts.verbs.suspend.suspend(instance)

    def resume(self, spec: guest_spec.GuestSpec) -> None:
        self._parts.verbs.power_on.resume(spec)

    def resume_state_on_host_boot(self, spec: guest_spec.GuestSpec) -> None:
        self._parts.verbs.power_on.resume_state_on_host_boot(spec)

    # Rescue and snapshots.

    def rescue(
            self, spec: guest_spec.GuestSpec, image_id: str, *,
            images: ports.ImageSource | None = None,
            stable_device: bool = False,
            progress: ports.Progress = base.NO_PROGRESS) -> None:
        self._parts.verbs.rescue.rescue(
            spec, image_id, self._images(images),
            stable_device=stable_device, progress=progress)

    def unrescue(self, instance: instance_spec.Instance) -> None:
        self._parts.verbs.rescue.unrescue(instance)

    def snapshot(
            self, instance: instance_spec.Instance, image_id: str, *,
            images: ports.ImageSource | None = None, name: str = '',
            progress: ports.Progress = base.NO_PROGRESS) -> None:
        self._parts.verbs.snapshot.snapshot(
            instance, image_spec.Wanted(image_id, name),
            self._images(images), progress)

    def quiesce(self, instance: instance_spec.Instance) -> None:
        self._parts.verbs.quiesce.quiesce(instance)

    def unquiesce(self, instance: instance_spec.Instance) -> None:
        self._parts.verbs.quiesce.unquiesce(instance)

    def resize_root_disk(
            self, instance: instance_spec.Instance, size_gib: int, *,
            progress: ports.Progress = base.NO_PROGRESS) -> None:
        self._parts.verbs.resize_disk.resize(instance, size_gib, progress)

    # Consoles and figures.

    def get_console_output(
            self, instance: instance_spec.Instance) -> bytes:
        return self._parts.verbs.console_output.get_console_output(instance)

    def get_vnc_console(
            self, instance: instance_spec.Instance
    ) -> console_spec.ConsoleAddress:
        return self._parts.verbs.consoles.get_vnc_console(instance)

    def get_spice_console(
            self, instance: instance_spec.Instance
    ) -> console_spec.ConsoleAddress:
        return self._parts.verbs.consoles.get_spice_console(instance)

    def get_serial_console(
            self, instance: instance_spec.Instance
    ) -> console_spec.ConsoleAddress:
        return self._parts.verbs.consoles.get_serial_console(instance)

    def get_diagnostics(
            self, instance: instance_spec.Instance
    ) -> diagnostics_spec.Diagnostics:
        return self._parts.verbs.diagnostics.get_diagnostics(instance)

    def get_disk_counters(self) -> diagnostics_spec.DiskCounters:
        return self._parts.verbs.diagnostics.get_disk_counters()

    def set_admin_password(
            self, instance: instance_spec.Instance, new_pass: str) -> None:
        self._parts.verbs.admin_password.set_admin_password(
            instance, new_pass)

    def trigger_crash_dump(self, instance: instance_spec.Instance) -> None:
        self._parts.verbs.crash_dump.trigger_crash_dump(instance)

    # Secrets.

    def holding_tpm_secret(
            self, instance: instance_spec.Instance,
            secret: device_spec.TpmSecret
    ) -> contextlib.AbstractContextManager[None]:
        return self._parts.verbs.secrets.holding(instance, secret)

    def find_tpm_secret(
            self, instance: instance_spec.Instance) -> str | None:
        return self._parts.verbs.secrets.find(instance)

    def delete_tpm_secret(self, instance: instance_spec.Instance) -> None:
        self._parts.verbs.secrets.delete(instance)

    # Images.

    def cache_image(
            self, image_id: str, *, images: ports.ImageSource | None = None,
            progress: ports.Progress = base.NO_PROGRESS) -> bool:
        return self._parts.verbs.files.cache_image(
            image_id, self._images(images), progress)

    def manage_image_cache(self) -> list[str]:
        return self._parts.verbs.image_care.sweep()

    def _images(
            self, images: ports.ImageSource | None) -> ports.ImageSource:
        return self._parts.virtapi.images if images is None else images

    # Events.

    def register_event_listener(
            self, callback: ports.LifecycleListener | None) -> None:
        super().register_event_listener(callback)
        self._parts.supervisor.listen()
