# SPDX-License-Identifier: Apache-2.0

"""The contract between a compute service and its driver.

Names, order of arguments and meaning follow Nova's contract wherever Nova
has the verb; the values are this package's own frozen types. A verb that a
driver does not support raises :class:`NotImplementedError`.
"""

from collections.abc import Mapping
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

NO_PROGRESS = ports.NullProgress()


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
            network: ports.Network | None = None) -> None:
        """Make a guest and start it.

        Blocks until the domain runs; an image that is not in the cache is
        fetched first. On failure nothing of the guest is left behind.

        :param images: where images come from; None is the service's own
        :param power_on: False leaves the guest defined but stopped
        :param progress: is told of each step; may cancel by raising
        :param network: connects its interfaces; None leaves that to libvirt
        :raises InstanceExists: its name or uuid is taken
        :raises ImageNotFound: there is no such image
        :raises ImageRefused: the image is not what it is declared to be
        :raises FlavorTooSmall: it does not fit
        :raises StorageFailure: a disk could not be made
        """
        raise NotImplementedError()

    def destroy(
            self, instance: instance_spec.Instance, *,
            destroy_disks: bool = True) -> None:
        """Stop a guest at once and remove it with all that belongs to it.

        Idempotent; a guest that does not exist is no error.

        :param destroy_disks: False keeps its files, and what the firmware
            and the TPM remember
        :raises ForeignDomain: the domain was not made by this driver
        """
        raise NotImplementedError()

    def cleanup(
            self, instance: instance_spec.Instance, *,
            destroy_disks: bool = True) -> None:
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

    def get_guest_xml(self, spec: guest_spec.GuestSpec) -> str:
        """Return the XML that spawn would define; makes nothing."""
        raise NotImplementedError()

    # Power.

    def power_on(
            self, spec: guest_spec.GuestSpec, *,
            progress: ports.Progress = NO_PROGRESS) -> None:
        """Start a stopped guest, from a domain made anew."""
        raise NotImplementedError()

    def power_off(
            self, instance: instance_spec.Instance, timeout_s: float = 0,
            retry_interval_s: float = 0) -> None:
        """Stop a guest; one that is stopped already is no error.

        :param timeout_s: how long the guest may take to shut down by
            itself before its power is cut; 0 cuts it at once
        :param retry_interval_s: how often it is asked again meanwhile
        """
        raise NotImplementedError()

    def reboot(
            self, spec: guest_spec.GuestSpec,
            reboot_type: guest_spec.RebootType, *,
            progress: ports.Progress = NO_PROGRESS) -> None:
        """Reboot a guest.

        A soft reboot that the guest does not obey becomes a hard one,
        which cuts its power and defines the domain anew from the spec. The
        saved memory of a suspended guest is lost by a hard one.

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

    def resume(self, spec: guest_spec.GuestSpec) -> None:
        """Let a suspended guest go on from its saved memory."""
        raise NotImplementedError()

    def resume_state_on_host_boot(self, spec: guest_spec.GuestSpec) -> None:
        """Start a guest that ran before the host went down.

        One that is up already is left alone.
        """
        raise NotImplementedError()

    # Rescue and snapshots.

    def rescue(
            self, spec: guest_spec.GuestSpec, image_id: str, *,
            images: ports.ImageSource | None = None,
            stable_device: bool = False,
            progress: ports.Progress = NO_PROGRESS) -> None:
        """Start a guest from another image, with its own disk beside it.

        On failure the guest is as it was before.

        :param image_id: image to start from
        :param stable_device: all disks keep their names, and the rescue
            disk is added last and started from
        """
        raise NotImplementedError()

    def unrescue(self, instance: instance_spec.Instance) -> None:
        """Start a rescued guest from its own disk again."""
        raise NotImplementedError()

    def snapshot(
            self, instance: instance_spec.Instance, image_id: str, *,
            images: ports.ImageSource | None = None, name: str = '',
            progress: ports.Progress = NO_PROGRESS) -> None:
        """Keep the root disk of a guest as a new image.

        A running guest goes on running; its file systems are frozen for a
        moment when its agent answers. On failure there is no image, and
        the guest is as it was.

        :param image_id: identifier of the image to make
        :param name: name of the image
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

    def get_disk_counters(self) -> diagnostics_spec.DiskCounters:
        """Return the counters of all disks of all guests.

        They may be ``stats_max_age`` old.
        """
        raise NotImplementedError()

    def set_admin_password(
            self, instance: instance_spec.Instance, new_pass: str) -> None:
        """Set the administrator's password through the guest agent.

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

    def delete_tpm_secret(self, instance: instance_spec.Instance) -> None:
        """Remove the secret that the hypervisor has; idempotent."""
        raise NotImplementedError()

    # Images.

    def cache_image(
            self, image_id: str, *, images: ports.ImageSource | None = None,
            progress: ports.Progress = NO_PROGRESS) -> bool:
        """Bring an image into the cache.

        :returns: True when it was not there yet
        """
        raise NotImplementedError()

    def manage_image_cache(self) -> list[str]:
        """Remove cached images that nobody has used for long.

        :returns: the paths that were removed
        """
        raise NotImplementedError()

    # Events.

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
