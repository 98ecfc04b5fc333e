# SPDX-License-Identifier: Apache-2.0

"""The contract between a compute service and its driver.

Names, order of arguments and meaning follow Nova's contract wherever Nova
has the verb; the values are this package's own frozen types. A verb that a
driver does not support raises :class:`NotImplementedError`.
"""

from collections.abc import Callable
from collections.abc import Collection
from collections.abc import Mapping
from collections.abc import Sequence
import contextlib
from typing import Any
from typing import ClassVar

from nova_libvirt_driver import ports
from nova_libvirt_driver.spec import console as console_spec
from nova_libvirt_driver.spec import device as device_spec
from nova_libvirt_driver.spec import diagnostics as diagnostics_spec
from nova_libvirt_driver.spec import disk as disk_spec
from nova_libvirt_driver.spec import event as event_spec
from nova_libvirt_driver.spec import guest as guest_spec
from nova_libvirt_driver.spec import host as host_spec
from nova_libvirt_driver.spec import instance as instance_spec
from nova_libvirt_driver.spec import live_migration as migration_spec
from nova_libvirt_driver.spec import nic as nic_spec
from nova_libvirt_driver.spec import volume as volume_spec

NO_PROGRESS = ports.NullProgress()


def no_report(figures: migration_spec.Figures) -> None:
    """Take no note of how far a migration is."""


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
        :raises HypervisorUnavailable: it cannot be asked
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

        :raises HypervisorUnavailable: it cannot be asked
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

    def get_host_offers(self) -> host_spec.HostOffers:
        """Return what guests of any machine type can have."""
        raise NotImplementedError()

    def get_host_cpu_times(self) -> host_spec.CpuTimes:
        """Return what the CPUs did since the host was started."""
        raise NotImplementedError()

    def get_host_ip_addr(self) -> str:
        """Return the address under which other hosts know this one."""
        raise NotImplementedError()

    def get_host_uptime(self) -> str:
        """Return how long the host has been up, as ``uptime`` words it."""
        raise NotImplementedError()

    # Making and removing.

    def spawn(
            self, spec: guest_spec.GuestSpec, *,
            images: ports.ImageSource | None = None,
            power_on: bool = True,
            progress: ports.Progress = NO_PROGRESS,
            attachments: ports.Attachments = (),
            config_drive: ports.DriveOf | None = None) -> None:
        """Make a guest and start it.

        Blocks until the domain runs; an image that is not in the cache is
        fetched first. On failure nothing of the guest is left behind.

        :param images: where images come from; None is the service's own
        :param power_on: False leaves the guest defined but stopped
        :param progress: gets each step; may cancel by raising
        :param attachments: what the guest is connected to but for what
            libvirt connects by itself; here and in every verb that starts
            or removes a guest
        :param config_drive: called once when the domain is defined, and
            before it starts; what it returns replaces that of the spec
        :raises InstanceExists: its name or uuid is taken
        :raises ImageNotFound: there is no such image
        :raises ImageRefused: the image is not what it is declared to be
        :raises FlavorTooSmall: it does not fit
        :raises StorageFailure: a disk could not be made
        """
        raise NotImplementedError()

    def destroy(
            self, instance: instance_spec.Instance, *,
            destroy_disks: bool = True,
            attachments: ports.Attachments = (),
            progress: ports.Progress = NO_PROGRESS) -> None:
        """Stop a guest at once and remove it with all that belongs to it.

        Idempotent; the guest need not exist.

        :param destroy_disks: False keeps its files, and what the firmware
            and the TPM remember
        :param attachments: what it is disconnected from
        :raises ForeignDomain: the domain was not made by this driver
        """
        raise NotImplementedError()

    def cleanup(
            self, instance: instance_spec.Instance, *,
            destroy_disks: bool = True,
            attachments: ports.Attachments = (),
            progress: ports.Progress = NO_PROGRESS) -> None:
        """Remove what is left of a guest that does not run; idempotent."""
        raise NotImplementedError()

    def instance_on_disk(self, instance: instance_spec.Instance) -> bool:
        """Say whether the files of the guest are on this host."""
        raise NotImplementedError()

    def get_instance_disk_info(
            self, instance: instance_spec.Instance
    ) -> list[disk_spec.DiskUse]:
        """Return the disks in the folder of the guest, and their sizes."""
        raise NotImplementedError()

    def delete_instance_files(
            self, instance: instance_spec.Instance) -> bool:
        """Remove the files of a guest that has no domain any more.

        :returns: True when nothing of them is left
        """
        raise NotImplementedError()

    def get_spec(
            self, instance: instance_spec.Instance) -> guest_spec.GuestSpec:
        """Return what the guest was made from, as its folder records it.

        :raises InstanceNotFound: there is no such record
        """
        raise NotImplementedError()

    def get_domain_xml(
            self, instance: instance_spec.Instance, *,
            inactive: bool = False) -> str:
        """Return the XML of the instance's domain, without secrets.

        :param inactive: how it will be at its next start
        :raises InstanceNotFound: there is no domain
        """
        raise NotImplementedError

    def get_guest_xml(self, spec: guest_spec.GuestSpec) -> str:
        """Return the XML that spawn would define; makes nothing."""
        raise NotImplementedError()

    # Power.

    def power_on(
            self, spec: guest_spec.Described, *,
            images: ports.ImageSource | None = None,
            progress: ports.Progress = NO_PROGRESS,
            attachments: ports.Attachments = ()) -> None:
        """Start a stopped guest, from a domain that is defined again.

        An image that its disk is based on and that is gone from the cache
        is fetched again, here and by every verb that starts a guest.

        :param spec: describes the guest. A caller that would read it from
            the record passes the instance instead, here and in the verbs
            below: the record is then read under the instance's lock, after
            any verb that changes it
        :param images: where images come from; None is the service's own
        :raises StorageFailure: a disk is gone, or what it is based on
        """
        raise NotImplementedError()

    def power_off(
            self, instance: instance_spec.Instance, timeout_s: float = 0,
            retry_interval_s: float = 0, *,
            progress: ports.Progress = NO_PROGRESS) -> None:
        """Stop a guest; one that is stopped already is fine.

        :param timeout_s: how long the guest may take to shut down by
            itself before its power is cut; 0 cuts it at once
        :param retry_interval_s: how often it is asked again meanwhile
        """
        raise NotImplementedError()

    def reboot(
            self, spec: guest_spec.Described,
            reboot_type: guest_spec.RebootType, *,
            images: ports.ImageSource | None = None,
            progress: ports.Progress = NO_PROGRESS,
            attachments: ports.Attachments = ()) -> None:
        """Reboot a guest.

        A soft reboot that the guest does not obey becomes a hard one,
        which cuts its power and defines the domain from the spec again. The
        saved memory of a suspended guest is lost by a hard one. One whose
        disks are not complete is left as it is.

        :raises WrongState: a soft one of a suspended guest
        """
        raise NotImplementedError()

    def pause(self, instance: instance_spec.Instance) -> None:
        """Stop a guest's CPUs and keep its memory."""
        raise NotImplementedError()

    def unpause(self, instance: instance_spec.Instance) -> None:
        """Let a paused guest go on."""
        raise NotImplementedError()

    def suspend(self, instance: instance_spec.Instance) -> None:
        """Save a guest's memory to disk and stop it."""
        raise NotImplementedError()

    def resume(
            self, spec: guest_spec.Described, *,
            images: ports.ImageSource | None = None,
            attachments: ports.Attachments = ()) -> None:
        """Let a suspended guest go on from its saved memory."""
        raise NotImplementedError()

    def resume_state_on_host_boot(
            self, spec: guest_spec.Described, *,
            images: ports.ImageSource | None = None,
            attachments: ports.Attachments = ()) -> None:
        """Start a guest that ran before the host went down.

        One that is up already is left alone.
        """
        raise NotImplementedError()

    # Rescue and snapshots.

    def rescue(
            self, spec: guest_spec.Described, image_id: str, *,
            images: ports.ImageSource | None = None,
            stable_device: disk_spec.RescueDevice | None = None,
            progress: ports.Progress = NO_PROGRESS,
            attachments: ports.Attachments = ()) -> None:
        """Start a guest from another image, with its own disk beside it.

        On failure the guest is as it was before.

        :param image_id: image to start from
        :param stable_device: all disks keep their names, and the rescue
            disk is added last as this device, and started from; None puts
            the rescue disk first, and of the others keeps the root disk only
        """
        raise NotImplementedError()

    def unrescue(
            self, spec: guest_spec.Described, *,
            images: ports.ImageSource | None = None,
            attachments: ports.Attachments = ()) -> None:
        """Start a rescued guest from its own disk again."""
        raise NotImplementedError()

    def snapshot(
            self, instance: instance_spec.Instance, image_id: str, *,
            images: ports.ImageSource | None = None, name: str = '',
            require_quiesce: bool | None = None,
            progress: ports.Progress = NO_PROGRESS) -> None:
        """Keep the root disk of a guest as a new image.

        A running guest goes on running; its file systems are frozen for a
        moment when its agent answers. On failure there is no image, and
        the guest is as it was.

        :param image_id: identifier of the image to make
        :param name: name of the image
        :param require_quiesce: a running guest whose file systems cannot be
            frozen gets no snapshot; None is what the record of the guest says
        :raises AgentUnavailable: they have to be frozen and cannot be
        """
        raise NotImplementedError()

    def quiesce(self, instance: instance_spec.Instance) -> None:
        """Freeze the file systems of a guest through its agent.

        :raises AgentUnavailable: there is no agent that could
        """
        raise NotImplementedError()

    def unquiesce(self, instance: instance_spec.Instance) -> None:
        """Thaw the file systems of a guest."""
        raise NotImplementedError()

    def resize_root_disk(
            self, instance: instance_spec.Instance, size_gib: int, *,
            progress: ports.Progress = NO_PROGRESS) -> None:
        """Make the root disk of a guest larger, also while it runs.

        On failure its recorded size is as it was.

        :raises InvalidRequest: it would become smaller
        """
        raise NotImplementedError()

    # Migration of a stopped guest, and a resize on its host.

    def migrate_disk_and_power_off(
            self, instance: instance_spec.Instance, *,
            carrier: ports.Carrier | None = None, image_id: str = '',
            images: ports.ImageSource | None = None, timeout_s: float = 0,
            retry_interval_s: float = 0,
            attachments: ports.Attachments = (),
            progress: ports.Progress = NO_PROGRESS
    ) -> list[disk_spec.DiskUse]:
        """Stop a guest and copy its files to where it is to start.

        Its own files are set aside until the migration is confirmed or
        reverted. Its domain is undefined, unless it stays on this host. On
        failure files and domain are as before, but the guest is stopped and
        disconnected if it came to that.

        :param carrier: takes the files to the other host; None when the
            guest stays on this one, for instance with another size
        :param image_id: image that the other host can fetch, unless it is
            gone from *images*; disks that are based on anything else go with
            what they are based on
        :param timeout_s: how long the guest may take to shut down by itself
        :param retry_interval_s: until it is asked again
        :returns: its disks, as they were
        :raises WrongState: it is rescued or suspended
        :raises UnsupportedOperation: something of it could not follow
        :raises StorageFailure: files cannot be copied
        """
        raise NotImplementedError()

    def finish_migration(
            self, spec: guest_spec.GuestSpec, *,
            images: ports.ImageSource | None = None,
            formats: Mapping[str, str] | None = None, power_on: bool = True,
            attachments: ports.Attachments = (),
            config_drive: ports.DriveOf | None = None,
            progress: ports.Progress = NO_PROGRESS) -> None:
        """Define a guest whose files have come, and start it.

        Its disks grow to the sizes of the spec and never become smaller.
        On failure the files stay and the guest is disconnected.

        :param formats: that each disk had for the guest on its former host,
            by name; counts more than the record that has come with them
        :param config_drive: called once when the domain is defined, if the
            config drive has not come with the other files
        :raises StorageFailure: a file has not come
        :raises WrongState: the guest is up, or comes while it runs
        """
        raise NotImplementedError()

    def confirm_migration(
            self, instance: instance_spec.Instance, *,
            is_here: bool) -> None:
        """Remove what was set aside of a guest; idempotent.

        :param is_here: the guest is on this host, with another size
        :raises WrongState: it is not here, and runs here all the same
        """
        raise NotImplementedError()

    def finish_revert_migration(
            self, spec: guest_spec.Described, *,
            images: ports.ImageSource | None = None, power_on: bool = True,
            attachments: ports.Attachments = (),
            progress: ports.Progress = NO_PROGRESS) -> None:
        """Take a guest back that was to go, and start it as it was.

        Where nothing was set aside, its files are taken as they are, and a
        guest that runs is left as it is. May be repeated until it succeeds.
        """
        raise NotImplementedError()

    # Migration of a running guest.

    def pre_live_migration(
            self, spec: guest_spec.GuestSpec, *,
            disks: Sequence[migration_spec.MovedDisk] | None = None,
            images: ports.ImageSource | None = None,
            attachments: ports.Attachments = (),
            progress: ports.Progress = NO_PROGRESS) -> guest_spec.GuestSpec:
        """Make this host ready for a guest that is to come while it runs.

        On failure nothing is left. Afterwards it has to be finished or rolled
        back; what is not done within a quarter of an hour is decided by
        the guest, which is here or comes, or is not.

        :param disks: those whose bytes come with the guest; None when its
            folder is the one of the host from which it comes
        :param attachments: what the guest will be connected to here
        :returns: the guest as it will be here, for :meth:`live_migration`
        :raises InstanceExists: there is such a guest here
        :raises StorageFailure: a disk cannot be made, or is in the way
        """
        raise NotImplementedError()

    def check_can_live_migrate_source(
            self, instance: instance_spec.Instance) -> None:
        """See whether a guest is one that can go while it runs.

        :raises WrongState: it is not, and why
        """
        raise NotImplementedError()

    def live_migration(
            self, spec: guest_spec.GuestSpec,
            destination: migration_spec.Destination, *,
            carrier: ports.Carrier | None = None,
            attachments: ports.Attachments = (),
            report: Callable[[migration_spec.Figures], object] = no_report,
            progress: ports.Progress = NO_PROGRESS) -> None:
        """Let a running or paused guest go to a host that is ready for it.

        Blocks until it is there. On failure it runs on here.

        :param spec: the guest as it will be there
        :param carrier: takes files there that libvirt does not copy
        :param attachments: what it is connected to here
        :param report: gets from time to time how far it is
        :raises MigrationCancelled: it was aborted
        :raises MigrationFailed: libvirt could not do it; the guest is here
        :raises MigrationUnclear: where it is cannot be seen now; it is looked
            at again in the background
        :raises WrongState: it is rescued, suspended or stopped
        :raises UnsupportedOperation: its disks cannot be copied this way
        """
        raise NotImplementedError()

    def live_migration_abort(self, instance: instance_spec.Instance) -> None:
        """End the live migration of a guest, which stays here.

        Returns at once. When it is too late, the guest moves all the same.

        :raises WrongState: it is not being migrated, or runs on the other
            host already
        """
        raise NotImplementedError()

    def live_migration_force_complete(
            self, instance: instance_spec.Instance) -> None:
        """Bring the live migration of a guest to its end.

        :raises WrongState: it is not being migrated
        """
        raise NotImplementedError()

    def post_live_migration(
            self, instance: instance_spec.Instance, *,
            attachments: ports.Attachments = ()) -> None:
        """Disconnect this host from what a guest had that has moved.

        :raises WrongState: it is here
        """
        raise NotImplementedError()

    def post_live_migration_at_source(
            self, instance: instance_spec.Instance, *,
            attachments: ports.Attachments = ()) -> None:
        """Remove all that is here of a guest that has moved.

        Its files go unless they are shared with the host to which it went.

        :raises WrongState: it is here, or has not moved
        """
        raise NotImplementedError()

    def post_live_migration_at_destination(
            self, spec: guest_spec.GuestSpec, *,
            progress: ports.Progress = NO_PROGRESS) -> None:
        """Take a guest that has come as one of this host; may be repeated.

        :raises InstanceNotFound: it is not here
        """
        raise NotImplementedError()

    def rollback_live_migration_at_destination(
            self, instance: instance_spec.Instance, *,
            attachments: ports.Attachments = (),
            progress: ports.Progress = NO_PROGRESS) -> None:
        """Remove what was prepared for a guest that does not come.

        Idempotent. Files that are shared with the other host stay.

        :raises WrongState: the guest runs here
        """
        raise NotImplementedError()

    # Devices of a guest that is there, running or stopped.

    def attach_disk(
            self, spec: guest_spec.GuestSpec, disk: disk_spec.DiskSpec, *,
            attachments: ports.Attachments = (),
            progress: ports.Progress = NO_PROGRESS) -> disk_spec.DiskSpec:
        """Give a guest one more disk, at once and for its next starts.

        On failure the guest has none of it, and nothing is connected; if
        the guest does not give it back, that follows when it does.

        :param spec: the guest, with or without the disk
        :param disk: without a name it gets the next free one; its source
            may be left to the attachments
        :param attachments: what the disk needs of the host, and nothing
            else
        :returns: the disk as it was attached
        :raises DeviceAttachFailed: the guest has no place for it
        :raises InvalidRequest: it contradicts itself, or its name is taken
        :raises WrongState: the guest has it already, or is suspended or
            rescued
        """
        raise NotImplementedError()

    def detach_disk(
            self, instance: instance_spec.Instance,
            disk: disk_spec.DiskKey, *,
            attachments: ports.Attachments = (),
            progress: ports.Progress = NO_PROGRESS) -> None:
        """Take a disk from a guest, and disconnect it from the host then.

        Blocks until the guest has let go of it, as long as the options
        ``device_detach_attempts`` and ``device_detach_timeout`` say. A disk
        that the guest does not have is only disconnected. When it fails,
        and the guest lets go later, the disk is disconnected then.

        :param attachments: what the disk needs of the host
        :raises DeviceDetachFailed: the guest has it still, and everything
            stays connected
        :raises WrongState: the guest is suspended, or is rescued and had the
            disk before
        """
        raise NotImplementedError()

    def extend_disk(
            self, instance: instance_spec.Instance,
            disk: disk_spec.DiskKey, size_bytes: int, *,
            volume: ports.VolumeAttachment | None = None,
            progress: ports.Progress = NO_PROGRESS) -> None:
        """Let a guest see that its disk has become larger.

        What it is kept in has become so before. A guest that does not run
        sees it at its start. May be repeated.

        :param volume: what the disk is on the host, which has to see it
            first; it says then how much of it the guest can see
        :raises InvalidRequest: the guest has no such disk, or the disk
            would shrink
        :raises VolumeFailure: the host does not see it
        """
        raise NotImplementedError()

    def swap_disk(
            self, spec: guest_spec.GuestSpec, disk: disk_spec.DiskKey,
            wanted: disk_spec.DiskSpec, *, old: ports.Attachment,
            new: ports.Attachment, size_bytes: int = 0,
            progress: ports.Progress = NO_PROGRESS) -> None:
        """Move a guest that runs from one volume to another.

        It goes on with the other one, and keeps name and serial number of
        the first until its next start. May take hours. On failure it has
        the first one, and the host is not connected to the other one.

        :param wanted: the other one; its source may be left to *new*
        :param old: what the first one needs of the host
        :param size_bytes: what it is to have then; 0 for what it has
        :raises UnsupportedOperation: QEMU decrypts one of them
        :raises WrongState: the guest does not run, or has no such disk
        :raises WaitTimeout: the copying makes no progress
        """
        raise NotImplementedError()

    def attach_nic(
            self, spec: guest_spec.GuestSpec, nic: nic_spec.NicSpec, *,
            attachments: ports.Attachments = (),
            progress: ports.Progress = NO_PROGRESS) -> None:
        """Give a guest one more interface; otherwise like attach_disk."""
        raise NotImplementedError()

    def detach_nic(
            self, instance: instance_spec.Instance,
            nic: nic_spec.NicKey, *,
            attachments: ports.Attachments = (), later: bool = False,
            progress: ports.Progress = NO_PROGRESS) -> None:
        """Take an interface from a guest; otherwise like detach_disk.

        :param later: what a suspended or rescued guest would have again is
            taken from it, and disconnected, after that; the call ends at once
        """
        raise NotImplementedError()

    # Consoles and figures.

    def get_console_output(
            self, instance: instance_spec.Instance) -> bytes:
        """Return the end of what the guest printed, bounded in length.

        :raises ConsoleUnavailable: nothing is recorded
        """
        raise NotImplementedError()

    def get_vnc_console(
            self, instance: instance_spec.Instance
    ) -> console_spec.ConsoleAddress:
        """Say where the VNC console answers now.

        :raises ConsoleUnavailable: there is none, or the guest is stopped
        """
        raise NotImplementedError()

    def get_spice_console(
            self, instance: instance_spec.Instance
    ) -> console_spec.ConsoleAddress:
        """Say where the SPICE console answers now."""
        raise NotImplementedError()

    def get_serial_console(
            self, instance: instance_spec.Instance
    ) -> console_spec.ConsoleAddress:
        """Say where the first serial port answers now over TCP."""
        raise NotImplementedError()

    def get_diagnostics(
            self, instance: instance_spec.Instance
    ) -> diagnostics_spec.Diagnostics:
        """Return the figures of one guest.

        They may be ``stats_max_age`` old, unless something was done to the
        guest since.

        :raises InstanceNotFound: there is no such guest
        """
        raise NotImplementedError()

    def get_guest_figures(self) -> diagnostics_spec.GuestFigures:
        """Return the figures of all guests, without addresses of cards.

        They may be some seconds old, see ``stats_max_age``.
        """
        raise NotImplementedError()

    def get_disk_counters(self) -> diagnostics_spec.DiskCounters:
        """Return the counters of all disks of all guests.

        They may be ``stats_max_age`` old.
        """
        raise NotImplementedError()

    def set_admin_password(
            self, instance: instance_spec.Instance, new_pass: str, *,
            user: str = '') -> None:
        """Set the administrator's password through the guest agent.

        :param user: the administrator; empty for the one that the record of
            the guest names, or that its operating system has
        :raises AgentUnavailable: there is no agent that could
        """
        raise NotImplementedError()

    def trigger_crash_dump(self, instance: instance_spec.Instance) -> None:
        """Send a guest the interrupt that makes it dump its memory."""
        raise NotImplementedError()

    # Secrets.

    def holding_tpm_secret(
            self, instance: instance_spec.Instance,
            secret: device_spec.TpmSecret
    ) -> contextlib.AbstractContextManager[None]:
        """Let the hypervisor have the secret of a TPM within a context.

        The guest whose TPM has it is started there. One that is kept stays
        unless the context ends with an exception.
        """
        raise NotImplementedError()

    def find_tpm_secret(
            self, instance: instance_spec.Instance) -> str | None:
        """Return the uuid of the secret that the hypervisor has, or None."""
        raise NotImplementedError()

    def read_tpm_secret(
            self, instance: instance_spec.Instance
    ) -> device_spec.TpmSecret | None:
        """Return the secret that the hypervisor keeps, or None.

        It goes with a guest that is live-migrated.

        :raises LibvirtFailure: it is not one that is kept
        """
        raise NotImplementedError()

    def delete_tpm_secret(self, instance: instance_spec.Instance) -> None:
        """Remove the secret that the hypervisor has; idempotent."""
        raise NotImplementedError()

    # Volumes.

    def volume_attachment(
            self, instance: instance_spec.Instance,
            volumes: Sequence[volume_spec.Volume],
            connector: ports.VolumeConnector, *,
            keep_secrets: bool = False, force: bool = True,
            own: bool = False) -> ports.VolumeAttachment:
        """Return what connects a guest to volumes; touches nothing.

        For a verb that makes, starts or removes the guest, or for one that
        gives it the one volume or takes that away. Volumes that are not
        required and cannot be connected are left out by verbs that start it.

        :param keep_secrets: passphrases of volumes stay with the hypervisor
            when the guest is removed
        :param force: they are disconnected also when data are lost by it
            that were not written yet; what does not let go is tried again
            later, and no error
        :param own: only those are disconnected that this driver has
            connected: what is said of them may be about another host
        """
        raise NotImplementedError()

    # Images.

    def cache_image(
            self, image_id: str, *, images: ports.ImageSource | None = None,
            progress: ports.Progress = NO_PROGRESS) -> bool:
        """Fetch an image into the cache.

        :returns: True when it was not there yet
        """
        raise NotImplementedError()

    def manage_image_cache(
            self, image_ids: Collection[str] = (), *,
            min_age_s: float | None = None) -> list[str]:
        """Remove cached images that no disk has used for long.

        :param image_ids: images that stay in any case, for example those of
            instances on other hosts that share the cache
        :param min_age_s: for how long no disk has used them; None is what is
            configured, also that none is removed at all
        :returns: the paths that were removed
        :raises StorageFailure: what is used cannot be seen; all images stay
        """
        raise NotImplementedError()

    # Events.

    def register_event_listener(
            self, callback: ports.LifecycleListener | None) -> None:
        """Set who gets lifecycle events; None ends that."""
        self._event_listener = callback

    def emit_event(self, event: event_spec.LifecycleEvent) -> None:
        """Pass an event to the listener; its errors are its own.

        Called in order per guest, on a thread where it may block.
        """
        listener = self._event_listener
        if listener is not None:
            listener(event)
