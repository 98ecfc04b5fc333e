# SPDX-License-Identifier: Apache-2.0

"""The driver: a switchboard between the contract and its parts.

Every method hands over to the part that does the work. The methods with an
underscore are the vocabulary of the connection; its parts call them through
the driver, so that replacing one of them here changes what happens.
"""

from collections.abc import Callable
from collections.abc import Collection
from collections.abc import Mapping
from collections.abc import Sequence
import contextlib
import threading
from typing import Any

from nova_libvirt_driver import assembly
from nova_libvirt_driver import base
from nova_libvirt_driver.calls import protocol
from nova_libvirt_driver import conf
from nova_libvirt_driver.connection import session as session_module
from nova_libvirt_driver.guest import addresses
from nova_libvirt_driver.guest import freeze
from nova_libvirt_driver.guest import unmanaged
from nova_libvirt_driver.host import cpu_features
from nova_libvirt_driver.host import uptime
from nova_libvirt_driver import ports
from nova_libvirt_driver.spec import agent as agent_spec
from nova_libvirt_driver.spec import connection as connection_spec
from nova_libvirt_driver.spec import console as console_spec
from nova_libvirt_driver.spec import device as device_spec
from nova_libvirt_driver.spec import diagnostics as diagnostics_spec
from nova_libvirt_driver.spec import disk as disk_spec
from nova_libvirt_driver.spec import guest as guest_spec
from nova_libvirt_driver.spec import host as host_spec
from nova_libvirt_driver.spec import image as image_spec
from nova_libvirt_driver.spec import instance as instance_spec
from nova_libvirt_driver.spec import live_migration as migration_spec
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
    :param config: options of this driver alone, as ``{'libvirt':
        {'virt_type': 'qemu'}}`` or as a ``ConfigOpts``; without it, those of
        the process, ``oslo_config.cfg.CONF``
    :raises InvalidConfiguration: there is no such option, or a value makes
        no sense
    """

    def __init__(
            self, virtapi: Any = None, read_only: bool = False, *,
            config: conf.Options | None = None) -> None:
        super().__init__(virtapi)
        self.read_only = read_only
        self._config = conf.of(config)
        self._parts = assembly.build(self, virtapi, self._config)

    # The connection.

    def uri(self) -> str:
        """Return the URI to connect to."""
        return assembly.uri(self._config)

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
        return self._parts.link.connection()

    @property
    def _conn(self) -> protocol.Connection:
        return self._get_connection()

    def _test_connection(self, conn: protocol.Connection) -> bool:
        """Say whether a connection works; raises for any other error."""
        return session_module.works(conn)

    @property
    def _wrapped_conn(self) -> protocol.Connection | None:
        session = self._parts.link.current.session
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
        """Connect and stay connected; see Link.start."""
        self._parts.link.start()
        self._parts.operations.recovery.start()
        self._parts.storage.console_logs.start()

    def cleanup_host(self, host: str) -> None:
        """Close the connection and stop every thread, in four seconds."""
        self._parts.storage.console_logs.stop()
        self._parts.operations.recovery.stop()
        self._parts.link.stop()

    def set_host_enabled(self, host: str, enabled: bool) -> None:
        """Make the compute service's record agree with the connection."""
        self._parts.virtapi.service_state.set_host_enabled(
            host, enabled=enabled,
            reason=self._parts.link.attempts.current.last_error)

    def get_host_ip_addr(self) -> str:
        return str(self._config.my_ip)

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
        guests = self._parts.guests
        return guests.definition(instance) if inactive else (
            guests.xml(instance))

    def get_capabilities(self, uri: str = '') -> str:
        """Return how libvirt describes a host, as XML.

        :param uri: of another host than this
        :raises HypervisorUnavailable: that host cannot be asked
        """
        def read(connection: protocol.Connection) -> str:
            return connection.getCapabilities()

        tried = 'read the capabilities of the host'
        if uri:
            return self._parts.link.look_elsewhere(uri, tried, read)
        return self._parts.link.call(tried, read)

    def list_addresses(self) -> dict[str, list[nic_spec.FoundAddress]]:
        """Return the addresses of all guests that the host knows, by uuid.

        No guest is asked.
        """
        return self._parts.link.call(
            'list the addresses of guests',
            lambda connection: addresses.of_all(
                connection.listAllDomains(0)))

    def get_addresses(
            self, instance: instance_spec.Instance,
    ) -> list[nic_spec.FoundAddress]:
        """Return the addresses of a guest: from leases, its agent, or ARP."""
        return self._parts.guests.find(instance).addresses()

    def execute_in_guest(
            self, instance: instance_spec.Instance, words: Sequence[str], *,
            timeout_s: float, progress: ports.Progress = base.NO_PROGRESS,
    ) -> agent_spec.Outcome:
        """Run a program in a guest, through its agent; wait for its end."""
        return self._parts.guests.find(instance).agent.execute(
            words, timeout_s=timeout_s, watch=lambda: progress.advance(0, 0))

    def list_networks(self) -> list[tuple[str, bool]]:
        """Return libvirt's networks by name, and whether each is active."""
        active, stopped = self._parts.link.call(
            'list the networks', lambda connection: (
                connection.listNetworks(), connection.listDefinedNetworks()))
        return [(name, name in active) for name in sorted(active + stopped)]

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
            retry_interval_s: float = 0, *,
            progress: ports.Progress = base.NO_PROGRESS) -> None:
        self._parts.operations.power_off.power_off(
            instance, timeout_s, retry_interval_s, progress)

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
            self._parts.storage.autostart.stopped(instance)

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

    def set_autostart(
            self, instance: instance_spec.Instance, *,
            enabled: bool) -> None:
        """Let the stand-alone service start a guest when it starts itself."""
        marks = self._parts.storage.autostart
        # One that is down now was stopped: the mark is for the next boot.
        was_stopped = (enabled and not marks.is_set(instance) and not
                       self._parts.guests.find(instance).is_active())
        marks.set(instance, enabled=enabled)
        if was_stopped:
            marks.stopped(instance)

    def note_autostart(
            self, instance: instance_spec.Instance, *,
            stopped: bool) -> None:
        """Note that a guest was stopped or started, by whatever way."""
        marks = self._parts.storage.autostart
        (marks.stopped if stopped else marks.started)(instance)

    def note_autostart_lost(self, instance: instance_spec.Instance) -> None:
        """Note that a guest is off without being asked to."""
        self._parts.storage.autostart.lost(instance)

    def is_autostart_lost(self, instance: instance_spec.Instance) -> bool:
        """Say whether that is the last that was noted of a guest."""
        return self._parts.storage.autostart.is_lost(instance)

    def get_autostart(self, instance: instance_spec.Instance) -> bool:
        """Say whether :meth:`set_autostart` has marked a guest."""
        return self._parts.storage.autostart.is_set(instance)

    def is_autostart_due(self, instance: instance_spec.Instance) -> bool:
        """Say whether to start a guest that does not run.

        That is a marked one, unless it was stopped on purpose since the host
        was booted.
        """
        return self._parts.storage.autostart.is_due(instance)

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

    # Migration of a stopped guest.

    def migrate_disk_and_power_off(
            self, instance: instance_spec.Instance, *,
            carrier: ports.Carrier | None = None, image_id: str = '',
            images: ports.ImageSource | None = None, timeout_s: float = 0,
            retry_interval_s: float = 0,
            attachments: ports.Attachments = (),
            progress: ports.Progress = base.NO_PROGRESS
    ) -> list[disk_spec.DiskUse]:
        return self._parts.operations.moves.departure.depart(
            instance, carrier, attachments, images=self._images(images),
            image_id=image_id, timeout_s=timeout_s,
            retry_interval_s=retry_interval_s, progress=progress)

    def finish_migration(
            self, spec: guest_spec.GuestSpec, *,
            images: ports.ImageSource | None = None,
            formats: Mapping[str, str] | None = None, power_on: bool = True,
            attachments: ports.Attachments = (),
            config_drive: ports.DriveOf | None = None,
            progress: ports.Progress = base.NO_PROGRESS) -> None:
        self._parts.operations.moves.arrival.arrive(
            spec, self._images(images), attachments, formats=formats or {},
            power_on=power_on, config_drive=config_drive, progress=progress)

    def confirm_migration(
            self, instance: instance_spec.Instance, *,
            is_here: bool) -> None:
        self._parts.operations.moves.departure.confirm(
            instance, is_here=is_here)

    def finish_revert_migration(
            self, spec: guest_spec.Described, *,
            images: ports.ImageSource | None = None, power_on: bool = True,
            attachments: ports.Attachments = (),
            progress: ports.Progress = base.NO_PROGRESS) -> None:
        self._parts.operations.moves.arrival.revert(
            spec, self._images(images), attachments, power_on=power_on,
            progress=progress)

    def pre_live_migration(
            self, spec: guest_spec.GuestSpec, *,
            disks: Sequence[migration_spec.MovedDisk] | None = None,
            images: ports.ImageSource | None = None,
            attachments: ports.Attachments = (),
            progress: ports.Progress = base.NO_PROGRESS
    ) -> guest_spec.GuestSpec:
        return self._parts.operations.moves.live_arrival.prepare(
            spec, self._images(images), attachments, disks=disks,
            progress=progress)

    def get_arrival_place(self, marker: str) -> migration_spec.Place:
        """Say where guests are kept that come to this host.

        :param marker: name of a file that the host from which they come has
            put beside the folders of its instances
        """
        return self._parts.storage.folders.place(marker)

    def check_cpu(self, cpu_xml: str, virt_type: str) -> None:
        """See whether a guest that comes can have its CPU on this host.

        :param cpu_xml: the CPU, as in the XML of a running guest
        :param virt_type: ``kvm`` or ``qemu``
        :raises UnsupportedOperation: it cannot, with what is missing
        """
        self._parts.link.call(
            'compare a CPU', lambda connection: cpu_features.check(
                connection, cpu_xml, virt_type))

    def check_can_live_migrate_source(
            self, instance: instance_spec.Instance) -> None:
        self._parts.operations.moves.live_departure.check(instance)

    def live_migration(
            self, spec: guest_spec.GuestSpec,
            destination: migration_spec.Destination, *,
            carrier: ports.Carrier | None = None,
            attachments: ports.Attachments = (),
            report: Callable[[migration_spec.Figures], object] = (
                base.no_report),
            progress: ports.Progress = base.NO_PROGRESS) -> None:
        self._parts.operations.moves.live_departure.migrate(
            spec, destination, carrier, attachments, report=report,
            progress=progress)

    def live_migration_abort(self, instance: instance_spec.Instance) -> None:
        self._parts.operations.moves.live_departure.abort(instance)

    def live_migration_force_complete(
            self, instance: instance_spec.Instance) -> None:
        self._parts.operations.moves.live_departure.force_complete(instance)

    def post_live_migration(
            self, instance: instance_spec.Instance, *,
            attachments: ports.Attachments = ()) -> None:
        self._parts.operations.moves.live_departure.disconnect(
            instance, attachments)

    def post_live_migration_at_source(
            self, instance: instance_spec.Instance, *,
            attachments: ports.Attachments = ()) -> None:
        self._parts.operations.moves.live_departure.forget(
            instance, attachments)

    def post_live_migration_at_destination(
            self, spec: guest_spec.GuestSpec, *,
            progress: ports.Progress = base.NO_PROGRESS) -> None:
        self._parts.operations.moves.live_arrival.finish(spec, progress)

    def announce(
            self, instance: instance_spec.Instance, *, count: int = 1,
            interval_s: float = 1.0) -> None:
        """Have QEMU tell the network again where a guest is.

        Blocks until the last time, or until the guest is gone; what fails is
        logged.

        :raises InstanceNotFound: it is not here
        """
        self._parts.operations.moves.announcement.announce(
            instance, count=count, interval_s=interval_s)

    def rollback_live_migration_at_destination(
            self, instance: instance_spec.Instance, *,
            attachments: ports.Attachments = (),
            progress: ports.Progress = base.NO_PROGRESS) -> None:
        self._parts.operations.moves.live_arrival.undo(
            instance, attachments, progress)

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

    def snapshot_disk(
            self, instance: instance_spec.Instance,
            disk: disk_spec.DiskKey, name: str, *,
            require_quiesce: bool = False,
            progress: ports.Progress = base.NO_PROGRESS) -> None:
        """Let a guest write to a file over that of its volume from now on.

        What it has written until then stays as it is. On failure the guest
        goes on with the file that it had.

        :param name: of a qcow2 file in the same folder, which is there
            already and is based on the one that the guest has
        :param require_quiesce: its file systems have to be frozen meanwhile;
            else they are if they can be
        :raises AgentUnavailable: they cannot be
        :raises InvalidRequest: it has no such disk, or that is not a file
        """
        self._parts.operations.disk_snapshot.snapshot(
            instance, disk, name, progress, require_quiesce=require_quiesce)

    def merge_disk(
            self, instance: instance_spec.Instance,
            disk: disk_spec.DiskKey, *, base_name: str = '',
            top_name: str = '',
            progress: ports.Progress = base.NO_PROGRESS) -> None:
        """Merge files that a volume consists of, each over the one before.

        May take hours; a guest that runs goes on meanwhile. While it is
        stopped, a program does it, within ``image_tool_timeout``. On failure,
        the guest has all that it had.

        :param base_name: the file that stays below the guest's, which takes
            in all between; empty if none is to stay
        :param top_name: a file that is taken in by the one of *base_name*
            instead, and is not in use any more
        :raises InvalidRequest: it has no such disk, or no such file
        :raises StorageFailure: they could not be merged
        :raises WrongState: the guest is suspended to disk
        """
        self._parts.operations.disk_snapshot.merge(
            instance, disk, base_name, top_name, progress)

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

    def get_guest_figures(self) -> diagnostics_spec.GuestFigures:
        return self._parts.operations.diagnostics.get_guest_figures()

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

    def read_tpm_secret(
            self, instance: instance_spec.Instance
    ) -> device_spec.TpmSecret | None:
        return self._parts.secrets.read(instance)

    def delete_tpm_secret(self, instance: instance_spec.Instance) -> None:
        self._parts.secrets.delete(instance)

    # Volumes.

    def volume_attachment(
            self, instance: instance_spec.Instance,
            volumes: Sequence[volume_spec.Volume],
            connector: ports.VolumeConnector, *,
            keep_secrets: bool = False, force: bool = True,
            own: bool = False) -> ports.VolumeAttachment:
        return volumes_module.Volumes(
            self._parts.volumes, instance, volumes, connector,
            self._parts.operations.left_volumes.note,
            keep_secrets=keep_secrets, force=force, own=own)

    # Images.

    def cache_image(
            self, image_id: str, *, images: ports.ImageSource | None = None,
            progress: ports.Progress = base.NO_PROGRESS) -> bool:
        return self._parts.storage.cache.bring(
            image_id, self._images(images), progress)

    def manage_image_cache(
            self, image_ids: Collection[str] = (), *,
            min_age_s: float | None = None) -> list[str]:
        return self._parts.operations.image_care.sweep(image_ids, min_age_s)

    def _images(
            self, images: ports.ImageSource | None) -> ports.ImageSource:
        return self._parts.virtapi.images if images is None else images

    # Events.

    def register_event_listener(
            self, callback: ports.LifecycleListener | None) -> None:
        super().register_event_listener(callback)
        self._parts.link.attempts.listen()
