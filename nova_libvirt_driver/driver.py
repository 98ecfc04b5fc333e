# SPDX-License-Identifier: Apache-2.0

"""The driver: a switchboard between the contract and its parts.

Every method hands over to the part that does the work. The methods with an
underscore are the vocabulary of the connection; its parts call them through
the driver, so that replacing one of them here changes what happens.
"""

from collections.abc import Collection
from collections.abc import Sequence
import contextlib
import threading
from typing import Any

from nova_libvirt_driver import assembly
from nova_libvirt_driver import base
from nova_libvirt_driver.calls import protocol
from nova_libvirt_driver.connection import session as session_module
from nova_libvirt_driver.guest import freeze
from nova_libvirt_driver.guest import unmanaged
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
from nova_libvirt_driver.spec import nic as nic_spec
from nova_libvirt_driver.spec import volume as volume_spec
from nova_libvirt_driver.storage import usage
from nova_libvirt_driver.volumes import attachment as volumes_module


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
        return assembly.uri()

    def _connect(self, uri: str, read_only: bool) -> protocol.Connection:
        """Open a connection on a native thread, within a deadline.

        :raises HypervisorUnavailable: it failed, which was logged; the
            first failure of an outage was notified
        """
        return self._parts.link.opener.open(uri, read_only=read_only)

    def _get_new_connection(self) -> protocol.Connection:
        """Replace the connection, and set the host enabled or disabled."""
        return self._parts.link.attempts.renew()

    def _get_connection(self) -> protocol.Connection:
        """Return a usable connection, or raise HypervisorUnavailable."""
        return self._parts.link.supervisor.connection()

    @property
    def _conn(self) -> protocol.Connection:
        return self._get_connection()

    def _test_connection(self, conn: protocol.Connection) -> bool:
        """Say whether a connection works; raises for any other error."""
        return session_module.works(conn, host=self._parts.link.host)

    @property
    def _wrapped_conn(self) -> protocol.Connection | None:
        session = self._parts.link.supervisor.session
        return None if session is None else session.connection

    @_wrapped_conn.setter
    def _wrapped_conn(self, conn: protocol.Connection | None) -> None:
        self._parts.link.attempts.install(conn)

    @property
    def _wrapped_conn_lock(self) -> threading.Lock:
        return self._parts.link.attempts.current.lock

    def _event_lifecycle_callback(
            self, conn: object, dom: protocol.Domain, event: int,
            detail: int, opaque: object) -> None:
        """Take a lifecycle event; on libvirt's thread, never blocks."""
        self._parts.link.attempts.receive(dom, event, detail, opaque)

    def connection_status(self) -> connection_spec.ConnectionStatus:
        """Say how the connection is, without asking libvirt."""
        return self._parts.link.status()

    def observe_calls(self, observer: ports.Observer | None) -> None:
        """Report each call into libvirt to *observer*; None ends that."""
        self._parts.calls.observation.observer = observer

    # The host.

    def init_host(self, host: str) -> None:
        """Connect and stay connected; see Supervisor.start."""
        self._parts.link.start()
        self._parts.operations.recovery.start()
        self._parts.storage.console_logs.start()

    def cleanup_host(self, host: str) -> None:
        """Close the connection and stop every thread, in two seconds."""
        self._parts.storage.console_logs.stop()
        self._parts.operations.recovery.stop()
        self._parts.link.stop()

    def set_host_enabled(self, host: str, enabled: bool) -> None:
        """Make the compute service's record agree with the connection."""
        self._parts.virtapi.service_state.set_host_enabled(
            host, enabled=enabled,
            reason=self._parts.link.attempts.current.last_error)

    def get_host_ip_addr(self) -> str:
        return assembly.my_ip()

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
            attachments: ports.Attachments = (),
            config_drive: ports.DriveOf | None = None) -> None:
        self._parts.operations.spawn.spawn(
            spec, self._images(images), attachments, power_on=power_on,
            progress=progress, config_drive=config_drive)

    def destroy(
            self, instance: instance_spec.Instance, *,
            destroy_disks: bool = True,
            attachments: ports.Attachments = (),
            progress: ports.Progress = base.NO_PROGRESS) -> None:
        self._parts.operations.destroy.destroy(
            instance, attachments, destroy_disks=destroy_disks,
            progress=progress)

    cleanup = destroy

    def instance_on_disk(self, instance: instance_spec.Instance) -> bool:
        return self._parts.storage.folders.of(instance).has_disk()

    def get_instance_disk_info(
            self, instance: instance_spec.Instance
    ) -> list[disk_spec.DiskUse]:
        return usage.disks(self._parts.storage.folders.of(instance).path)

    def delete_instance_files(
            self, instance: instance_spec.Instance) -> bool:
        return self._parts.operations.destroy.delete_files(instance)

    def clean_up_operation(
            self, uuid: str, operation_id: str, *, force: bool) -> None:
        """Finish or undo an interrupted operation on an instance.

        :param force: also one of another host
        """
        self._parts.operations.recovery.clean_up(
            uuid, operation_id, force=force)

    def get_spec(
            self, instance: instance_spec.Instance) -> guest_spec.GuestSpec:
        return self._parts.storage.specs.read(instance)

    def get_guest_xml(self, spec: guest_spec.GuestSpec) -> str:
        return self._parts.operations.spawn.xml(spec)

    def get_domain_xml(
            self, instance: instance_spec.Instance, *,
            inactive: bool = False) -> str:
        """Return the XML of a domain, without secrets.

        :param inactive: how it will be at its next start
        """
        return self._parts.guests.find(instance).xml(inactive=inactive)

    def get_unmanaged_devices(
            self, instance: instance_spec.Instance
    ) -> list[device_spec.Unmanaged]:
        """Return the devices of a guest that it has from elsewhere."""
        return unmanaged.findings(
            self.get_domain_xml(instance, inactive=True),
            self._parts.storage.specs.find(instance),
            folder=self._parts.storage.folders.of(instance).path)

    def rename(
            self, instance: instance_spec.Instance,
            display_name: str) -> None:
        """Give an instance another display name, also while it runs."""
        self._parts.operations.rename.rename(instance, display_name)

    # Power.

    def power_on(
            self, spec: guest_spec.Described, *,
            images: ports.ImageSource | None = None,
            progress: ports.Progress = base.NO_PROGRESS,
            attachments: ports.Attachments = ()) -> None:
        self._parts.operations.power_on.power_on(
            spec, self._images(images), progress, attachments)

    def power_off(
            self, instance: instance_spec.Instance, timeout_s: float = 0,
            retry_interval_s: float = 0) -> None:
        self._parts.operations.power_off.power_off(
            instance, timeout_s, retry_interval_s)

    def reboot(
            self, spec: guest_spec.Described,
            reboot_type: guest_spec.RebootType, *,
            images: ports.ImageSource | None = None,
            progress: ports.Progress = base.NO_PROGRESS,
            attachments: ports.Attachments = ()) -> None:
        self._parts.operations.reboot.reboot(
            spec, reboot_type, self._images(images), progress, attachments)

    def pause(self, instance: instance_spec.Instance) -> None:
        with self._parts.operations.exclusive.hold(instance, 'pause'):
            self._parts.guests.find(instance).pause()

    def unpause(self, instance: instance_spec.Instance) -> None:
        with self._parts.operations.exclusive.hold(instance, 'unpause'):
            self._parts.guests.find(instance).unpause()

    def suspend(self, instance: instance_spec.Instance) -> None:
        with self._parts.operations.exclusive.hold(instance, 'suspend'):
            self._parts.guests.find(instance).save()

    def resume(
            self, spec: guest_spec.Described, *,
            images: ports.ImageSource | None = None,
            attachments: ports.Attachments = ()) -> None:
        self._parts.operations.power_on.resume(
            spec, self._images(images), attachments)

    def resume_state_on_host_boot(
            self, spec: guest_spec.Described, *,
            images: ports.ImageSource | None = None,
            attachments: ports.Attachments = ()) -> None:
        self._parts.operations.power_on.resume_state_on_host_boot(
            spec, self._images(images), attachments)

    # Rescue and snapshots.

    def rescue(
            self, spec: guest_spec.Described, image_id: str, *,
            images: ports.ImageSource | None = None,
            stable_device: disk_spec.RescueDevice | None = None,
            progress: ports.Progress = base.NO_PROGRESS,
            attachments: ports.Attachments = ()) -> None:
        self._parts.operations.rescue.rescue(
            spec, image_id, self._images(images), attachments,
            stable_device=stable_device, progress=progress)

    def unrescue(
            self, spec: guest_spec.Described, *,
            images: ports.ImageSource | None = None,
            attachments: ports.Attachments = ()) -> None:
        self._parts.operations.rescue.unrescue(
            spec, self._images(images), attachments)

    def snapshot(
            self, instance: instance_spec.Instance, image_id: str, *,
            images: ports.ImageSource | None = None, name: str = '',
            require_quiesce: bool | None = None,
            progress: ports.Progress = base.NO_PROGRESS) -> None:
        self._parts.operations.snapshot.snapshot(
            instance, image_spec.Wanted(image_id, name),
            self._images(images), progress, require_quiesce=require_quiesce)

    def quiesce(self, instance: instance_spec.Instance) -> None:
        freeze.freeze(self._parts.guests.find(instance))

    def unquiesce(self, instance: instance_spec.Instance) -> None:
        freeze.thaw(self._parts.guests.find(instance))

    def resize_root_disk(
            self, instance: instance_spec.Instance, size_gib: int, *,
            progress: ports.Progress = base.NO_PROGRESS) -> None:
        self._parts.operations.resize_disk.resize(instance, size_gib, progress)

    # Devices.

    def attach_disk(
            self, spec: guest_spec.GuestSpec, disk: disk_spec.DiskSpec, *,
            attachments: ports.Attachments = (),
            progress: ports.Progress = base.NO_PROGRESS
    ) -> disk_spec.DiskSpec:
        return self._parts.operations.attach.disk(
            spec, disk, attachments, progress)

    def detach_disk(
            self, instance: instance_spec.Instance,
            disk: disk_spec.DiskKey, *,
            attachments: ports.Attachments = (),
            progress: ports.Progress = base.NO_PROGRESS) -> None:
        self._parts.operations.detach.detach(
            instance, disk, attachments, progress)

    def extend_disk(
            self, instance: instance_spec.Instance,
            disk: disk_spec.DiskKey, size_bytes: int, *,
            volume: ports.VolumeAttachment | None = None,
            progress: ports.Progress = base.NO_PROGRESS) -> None:
        self._parts.operations.resize_disk.extend(
            instance, disk, size_bytes, volume, progress)

    def swap_disk(
            self, spec: guest_spec.GuestSpec, disk: disk_spec.DiskKey,
            wanted: disk_spec.DiskSpec, *, old: ports.Attachment,
            new: ports.Attachment, size_bytes: int = 0,
            progress: ports.Progress = base.NO_PROGRESS) -> None:
        self._parts.operations.swap_disk.swap(
            spec, disk, wanted, size_bytes, old, new, progress)

    def attach_nic(
            self, spec: guest_spec.GuestSpec, nic: nic_spec.NicSpec, *,
            attachments: ports.Attachments = (),
            progress: ports.Progress = base.NO_PROGRESS) -> None:
        self._parts.operations.attach.nic(spec, nic, attachments, progress)

    def detach_nic(
            self, instance: instance_spec.Instance,
            nic: nic_spec.NicKey, *,
            attachments: ports.Attachments = (), later: bool = False,
            progress: ports.Progress = base.NO_PROGRESS) -> None:
        self._parts.operations.detach.detach(
            instance, nic, attachments, progress, later=later)

    # Consoles and figures.

    def get_console_output(
            self, instance: instance_spec.Instance) -> bytes:
        self._parts.guests.find(instance)
        return self._parts.storage.console_logs.read(instance)

    def get_vnc_console(
            self, instance: instance_spec.Instance
    ) -> console_spec.ConsoleAddress:
        return self._parts.guests.find(instance).console(
            console_spec.GraphicsKind.VNC, self.get_host_ip_addr())

    def get_spice_console(
            self, instance: instance_spec.Instance
    ) -> console_spec.ConsoleAddress:
        return self._parts.guests.find(instance).console(
            console_spec.GraphicsKind.SPICE, self.get_host_ip_addr())

    def get_serial_console(
            self, instance: instance_spec.Instance
    ) -> console_spec.ConsoleAddress:
        return self._parts.guests.find(instance).console(
            'serial', self.get_host_ip_addr())

    def get_diagnostics(
            self, instance: instance_spec.Instance
    ) -> diagnostics_spec.Diagnostics:
        return self._parts.operations.diagnostics.get_diagnostics(instance)

    def get_disk_counters(self) -> diagnostics_spec.DiskCounters:
        return self._parts.operations.diagnostics.get_disk_counters()

    def set_admin_password(
            self, instance: instance_spec.Instance, new_pass: str, *,
            user: str = '') -> None:
        self._parts.guests.find(instance).agent.set_user_password(
            user or self._parts.storage.specs.features(instance).administrator,
            new_pass)

    def trigger_crash_dump(self, instance: instance_spec.Instance) -> None:
        self._parts.guests.find(instance).inject_nmi()

    # Secrets.

    def holding_tpm_secret(
            self, instance: instance_spec.Instance,
            secret: device_spec.TpmSecret
    ) -> contextlib.AbstractContextManager[None]:
        return self._parts.secrets.holding(instance, secret)

    def find_tpm_secret(
            self, instance: instance_spec.Instance) -> str | None:
        return self._parts.secrets.find(instance)

    def delete_tpm_secret(self, instance: instance_spec.Instance) -> None:
        self._parts.secrets.delete(instance)

    # Volumes.

    def volume_attachment(
            self, instance: instance_spec.Instance,
            volumes: Sequence[volume_spec.Volume],
            connector: ports.VolumeConnector, *,
            keep_secrets: bool = False,
            force: bool = True) -> ports.VolumeAttachment:
        return volumes_module.Volumes(
            self._parts.volumes, instance, volumes, connector,
            self._parts.operations.left_volumes.note,
            keep_secrets=keep_secrets, force=force)

    # Images.

    def cache_image(
            self, image_id: str, *, images: ports.ImageSource | None = None,
            progress: ports.Progress = base.NO_PROGRESS) -> bool:
        return self._parts.storage.cache.bring(
            image_id, self._images(images), progress)

    def manage_image_cache(
            self, image_ids: Collection[str] = ()) -> list[str]:
        return self._parts.operations.image_care.sweep(image_ids)

    def _images(
            self, images: ports.ImageSource | None) -> ports.ImageSource:
        return self._parts.virtapi.images if images is None else images

    # Events.

    def register_event_listener(
            self, callback: ports.LifecycleListener | None) -> None:
        super().register_event_listener(callback)
        self._parts.link.attempts.listen()
