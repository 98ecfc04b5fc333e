# SPDX-License-Identifier: Apache-2.0

"""Handles on guests of the fake hypervisor, with QEMU's errors and events.

Owns how a guest changes. The link over which a handle reaches it belongs to
the fake connection.
"""

from collections.abc import Callable
from typing import Any
from typing import Protocol

import libvirt
from lxml import etree

from nova_libvirt_driver.testing import fake_devices
from nova_libvirt_driver.testing import fake_fault
from nova_libvirt_driver.testing import fake_guest
from nova_libvirt_driver.testing import fake_xml

Guest = fake_guest.Guest

_KEEP_SAVED = libvirt.VIR_DOMAIN_UNDEFINE_MANAGED_SAVE


class Hypervisor(Protocol):
    """What a handle needs of the hypervisor."""

    guests: list[Guest]

    def new_id(self) -> int: ...

    def emit(self, event_id: int, guest: Guest, *args: object) -> None: ...

    def complete_unplugs(self, guest: Guest) -> None: ...


class Link(Protocol):
    """What a handle needs of the connection."""

    @property
    def hypervisor(self) -> Hypervisor: ...

    def enter(
        self, method: str, c_name: str, *, write: bool = False) -> None: ...


class FakeDomain:
    """Stand in for ``libvirt.virDomain``; a handle on a guest."""

    def __init__(self, link: Link, guest: Guest) -> None:
        self.guest = guest
        self._link = link
        # A handle keeps the id of the time when it was made.
        self._id = guest.id

    # What the handle knows by itself.

    def name(self) -> str:
        """Known to the handle."""
        return self.guest.name

    def UUIDString(self) -> str:
        """Known to the handle."""
        return self.guest.uuid

    def ID(self) -> int:
        """Known to the handle; -1 for a guest that did not run."""
        return self._id

    def connect(self) -> Any:
        """The connection that made the handle."""
        return self._link

    # Looking.

    def state(self, flags: int = 0) -> list[int]:
        """State and reason."""
        self._enter('state', 'virDomainGetState')
        return [self.guest.state, self.guest.reason]

    def info(self) -> list[int]:
        """State, maximal and current memory in KiB, CPUs, CPU time."""
        self._enter('info', 'virDomainGetInfo')
        guest = self.guest
        return [guest.state, guest.memory_kib, guest.memory_kib, 1, 0]

    def isActive(self) -> int:
        """1 when it runs, paused or not."""
        self._enter('isActive', 'virDomainIsActive')
        return int(self.guest.active)

    def controlInfo(self, flags: int = 0) -> list[int]:
        """Whether its monitor has a command, and since how many ms."""
        self._enter('controlInfo', 'virDomainGetControlInfo')
        if self.guest.busy:
            return [libvirt.VIR_DOMAIN_CONTROL_OCCUPIED, 0, 3_600_000]
        return [libvirt.VIR_DOMAIN_CONTROL_OK, 0, 0]

    def XMLDesc(self, flags: int = 0) -> str:
        """XML as it was defined, with ports and an id while it runs."""
        self._enter('XMLDesc', 'virDomainGetXMLDesc')
        return self.guest.xml(
            inactive=bool(flags & libvirt.VIR_DOMAIN_XML_INACTIVE))

    def metadata(self, type: int, uri: str, flags: int = 0) -> str:
        """One element of the metadata."""
        self._enter('metadata', 'virDomainGetMetadata')
        found = fake_xml.metadata(self.guest.xml(), uri)
        if found is None:
            raise fake_fault.libvirt_error(
                libvirt.VIR_ERR_NO_DOMAIN_METADATA, libvirt.VIR_FROM_DOMAIN,
                'metadata not found: Requested metadata element is not '
                'present')
        return found

    # Power.

    def create(self) -> int:
        """Start it."""
        return self._create('create', 0)

    def createWithFlags(self, flags: int = 0) -> int:
        """Start it, from its saved memory when there is any."""
        return self._create('createWithFlags', flags)

    def _create(self, method: str, flags: int) -> int:
        self._enter(method, 'virDomainCreate', write=True)
        guest = self.guest
        if guest.active:
            raise fake_fault.invalid('domain is already running')
        guest.live = guest.saved and guest.saved_xml or guest.definition
        self._id = guest.id = self._link.hypervisor.new_id()
        if guest.saved:
            guest.saved = False
            self._become(libvirt.VIR_DOMAIN_RUNNING,
                         libvirt.VIR_DOMAIN_RUNNING_RESTORED,
                         libvirt.VIR_DOMAIN_EVENT_STARTED,
                         libvirt.VIR_DOMAIN_EVENT_STARTED_RESTORED)
            self._tell(libvirt.VIR_DOMAIN_EVENT_RESUMED,
                       libvirt.VIR_DOMAIN_EVENT_RESUMED_FROM_SNAPSHOT)
        else:
            self._become(libvirt.VIR_DOMAIN_RUNNING,
                         libvirt.VIR_DOMAIN_RUNNING_BOOTED,
                         libvirt.VIR_DOMAIN_EVENT_STARTED)
        return self._pause() if flags & libvirt.VIR_DOMAIN_START_PAUSED else 0

    def destroy(self) -> int:
        """Stop it at once."""
        self._enter('destroy', 'virDomainDestroy', write=True)
        self._require_active()
        return self._stop(libvirt.VIR_DOMAIN_SHUTOFF_DESTROYED,
                          libvirt.VIR_DOMAIN_EVENT_STOPPED_DESTROYED)

    def shutdown(self) -> int:
        """Ask it to stop; it does so at once, or never."""
        return self._shut_down('shutdown')

    def shutdownFlags(self, flags: int = 0) -> int:
        """The same, in a way that the caller chooses."""
        return self._shut_down('shutdownFlags')

    def _shut_down(self, method: str) -> int:
        self._enter(method, 'virDomainShutdown', write=True)
        self._require_active()
        if self.guest.obeys:
            self._stop(libvirt.VIR_DOMAIN_SHUTOFF_SHUTDOWN,
                       libvirt.VIR_DOMAIN_EVENT_STOPPED_SHUTDOWN)
        return 0

    def reboot(self, flags: int = 0) -> int:
        """Ask it to reboot; it does so at once, or never."""
        self._enter('reboot', 'virDomainReboot', write=True)
        self._require_active()
        if self.guest.obeys:
            self._link.hypervisor.emit(
                libvirt.VIR_DOMAIN_EVENT_ID_REBOOT, self.guest)
        return 0

    def suspend(self) -> int:
        """Pause it; a paused one stays so, without an event."""
        self._enter('suspend', 'virDomainSuspend', write=True)
        self._require_active()
        return self._pause()

    def resume(self) -> int:
        """Let a paused guest run."""
        self._enter('resume', 'virDomainResume', write=True)
        self._require_active()
        if self.guest.state == libvirt.VIR_DOMAIN_RUNNING:
            raise fake_fault.invalid('domain is already running')
        self._become(libvirt.VIR_DOMAIN_RUNNING,
                     libvirt.VIR_DOMAIN_RUNNING_UNPAUSED,
                     libvirt.VIR_DOMAIN_EVENT_RESUMED)
        self._let_go()
        if self.guest.disk_errors:
            self._become(libvirt.VIR_DOMAIN_PAUSED,
                         libvirt.VIR_DOMAIN_PAUSED_IOERROR,
                         libvirt.VIR_DOMAIN_EVENT_SUSPENDED,
                         libvirt.VIR_DOMAIN_EVENT_SUSPENDED_IOERROR)
        return 0

    def diskErrors(self, flags: int = 0) -> dict[str, int]:
        """Return which disks fail, and libvirt's number for why."""
        self._enter('diskErrors', 'virDomainGetDiskErrors')
        self._require_active()
        return dict(self.guest.disk_errors)

    def injectNMI(self, flags: int = 0) -> int:
        """Interrupt it; nothing follows."""
        self._enter('injectNMI', 'virDomainInjectNMI', write=True)
        self._require_active()
        return 0

    # Memory on disk.

    def managedSave(self, flags: int = 0) -> int:
        """Save its memory and stop it."""
        self._enter('managedSave', 'virDomainManagedSave', write=True)
        self._require_active()
        if not self.guest.persistent:
            raise fake_fault.invalid(
                'cannot do managed save for transient domain')
        self._pause()
        self.guest.saved = True
        self.guest.saved_xml = fake_xml.stopped(self.guest.live)
        return self._stop(libvirt.VIR_DOMAIN_SHUTOFF_SAVED,
                          libvirt.VIR_DOMAIN_EVENT_STOPPED_SAVED)

    def managedSaveGetXMLDesc(self, flags: int = 0) -> str:
        """XML that its saved memory goes on with."""
        self._enter('managedSaveGetXMLDesc', 'virDomainManagedSaveGetXMLDesc')
        return self.guest.saved_xml

    def managedSaveDefineXML(self, dxml: str, flags: int = 0) -> int:
        """Change that XML."""
        self._enter('managedSaveDefineXML', 'virDomainManagedSaveDefineXML',
                    write=True)
        self.guest.saved_xml = dxml
        return 0

    def hasManagedSaveImage(self, flags: int = 0) -> int:
        """1 when its memory is on disk."""
        self._enter('hasManagedSaveImage', 'virDomainHasManagedSaveImage')
        return int(self.guest.saved)

    def managedSaveRemove(self, flags: int = 0) -> int:
        """Remove its memory from disk."""
        self._enter('managedSaveRemove', 'virDomainManagedSaveRemove',
                    write=True)
        if not self.guest.saved:
            raise fake_fault.libvirt_error(
                libvirt.VIR_ERR_SYSTEM_ERROR, libvirt.VIR_FROM_QEMU,
                'Failed to remove managed save file: '
                'No such file or directory')
        self.guest.saved = False
        return 0

    def abortJob(self) -> int:
        """Fail; a saved guest is saved at once."""
        self._enter('abortJob', 'virDomainAbortJob', write=True)
        raise fake_fault.invalid('no job is active on the domain')

    def jobStats(self, flags: int = 0) -> dict[str, Any]:
        """Nothing: every job is done at once. On arrival, an error."""
        self._enter('jobStats', 'virDomainGetJobStats')
        return self.guest.job_stats()

    def migrateSetMaxDowntime(self, downtime: int, flags: int = 0) -> int:
        raise fake_fault.no_support('virDomainMigrateSetMaxDowntime')

    def migrateStartPostCopy(self, flags: int = 0) -> int:
        raise fake_fault.no_support('virDomainMigrateStartPostCopy')

    def migrateToURI3(self, dconnuri: str, params: Any, flags: int = 0) -> int:
        """Be on the other host at once, if there is one."""
        self._enter('migrateToURI3', 'virDomainMigrateToURI3', write=True)
        return self.guest.leave(self._link.hypervisor.guests, flags)

    # Definition.

    def undefineFlags(self, flags: int = 0) -> int:
        """Remove the definition; a running guest goes on without one."""
        self._enter('undefineFlags', 'virDomainUndefineFlags', write=True)
        guest = self.guest
        if not guest.persistent:
            raise fake_fault.invalid('cannot undefine transient domain')
        if guest.saved and not flags & _KEEP_SAVED:
            raise fake_fault.invalid('Refusing to undefine while domain '
                                     'managed save image exists')
        guest.saved = guest.persistent = False
        guest.undefined_with = flags
        if not guest.active:
            self._link.hypervisor.guests.remove(guest)
        return self._tell(libvirt.VIR_DOMAIN_EVENT_UNDEFINED)

    def rename(self, new_name: str, flags: int = 0) -> int:
        """Give it another name."""
        self._enter('rename', 'virDomainRename', write=True)
        guest = self.guest
        if guest.active:
            raise fake_fault.invalid('cannot rename active domain')
        if any(one.name == new_name
               for one in self._link.hypervisor.guests):
            raise fake_fault.libvirt_error(
                libvirt.VIR_ERR_OPERATION_INVALID, libvirt.VIR_FROM_QEMU,
                "Requested operation is not valid: domain with name "
                f"'{new_name}' already exists")
        self._tell(libvirt.VIR_DOMAIN_EVENT_UNDEFINED,
                   libvirt.VIR_DOMAIN_EVENT_UNDEFINED_RENAMED)
        guest.definition = fake_xml.with_name(guest.definition, new_name)
        guest.name = new_name
        return self._tell(libvirt.VIR_DOMAIN_EVENT_DEFINED,
                          libvirt.VIR_DOMAIN_EVENT_DEFINED_RENAMED)

    def setMetadata(
        self, type: int, metadata: str | None, key: str | None,
        uri: str | None, flags: int = 0,
    ) -> int:
        """Replace an element of the metadata, or remove it."""
        self._enter('setMetadata', 'virDomainSetMetadata', write=True)
        guest = self.guest
        change = (metadata, key, uri or '')
        if flags & libvirt.VIR_DOMAIN_AFFECT_LIVE:
            self._require_active()
            guest.live = fake_xml.with_metadata(guest.live, *change)
        if flags & libvirt.VIR_DOMAIN_AFFECT_CONFIG or not guest.active:
            guest.definition = fake_xml.with_metadata(
                guest.definition, *change)
        return 0

    # Agent.

    def agentSetResponseTimeout(self, timeout: int, flags: int = 0) -> int:
        """Take note of the time; any guest that runs will do."""
        self._enter('agentSetResponseTimeout',
                    'virDomainAgentSetResponseTimeout', write=True)
        self._require_active()
        self.guest.agent_timeout_s = timeout
        return 0

    def interfaceAddresses(self, source: int, flags: int = 0) -> Any:
        """Say what the test has said that this source says."""
        agent = source == libvirt.VIR_DOMAIN_INTERFACE_ADDRESSES_SRC_AGENT
        (self._enter_agent if agent else self._enter)(
            'interfaceAddresses', 'virDomainInterfaceAddresses')
        return self.guest.addresses.get(source, {})

    def fsFreeze(self, mountpoints: Any = None, flags: int = 0) -> int:
        """Freeze its one file system."""
        self._enter_agent('fsFreeze', 'virDomainFSFreeze')
        self.guest.frozen = True
        return 1

    def fsThaw(self, mountpoints: Any = None, flags: int = 0) -> int:
        """Thaw its one file system."""
        self._enter_agent('fsThaw', 'virDomainFSThaw')
        thawed, self.guest.frozen = self.guest.frozen, False
        return int(thawed)

    def setUserPassword(self, user: str, password: str, flags: int = 0) -> int:
        """Take note of the password."""
        self._enter_agent('setUserPassword', 'virDomainSetUserPassword')
        self.guest.passwords[user] = password
        return 0

    # Devices.

    def attachDeviceFlags(self, xml: str, flags: int = 0) -> int:
        """Give it a device, at once, at its next start, or both."""
        self._enter('attachDeviceFlags', 'virDomainAttachDeviceFlags',
                    write=True)
        live, config = self._affected(flags)
        guest = self.guest
        changed = (fake_devices.plugged(fake_devices.named(guest.live), xml)
                   if live else '',
                   fake_devices.plugged(guest.definition, xml)
                   if config else '')
        guest.live = changed[0] or guest.live
        guest.definition = changed[1] or guest.definition
        guest.hotplug.reach('was attached')
        return 0

    def detachDeviceFlags(self, xml: str, flags: int = 0) -> int:
        """Take a device from its next start, or ask it for one."""
        self._enter('detachDeviceFlags', 'virDomainDetachDeviceFlags',
                    write=True)
        live, config = self._affected(flags)
        guest = self.guest
        if live:
            guest.hotplug.reach('asked')
            self._ask_back(fake_devices.alias_of(
                guest.xml(), xml, guest.hotplug.missing))
            guest.hotplug.reach('was asked')
        if config:
            guest.hotplug.reach('from the definition')
            guest.definition = fake_devices.unplugged(
                guest.definition, xml, guest.hotplug.missing)
        return 0

    def _affected(self, flags: int) -> tuple[bool, bool]:
        live = bool(flags & libvirt.VIR_DOMAIN_AFFECT_LIVE)
        if live:
            self._require_active()
        return live, bool(flags & libvirt.VIR_DOMAIN_AFFECT_CONFIG)

    def _ask_back(self, alias: str) -> None:
        hotplug = self.guest.hotplug
        hotplug.asked.append(alias)
        if alias in hotplug.pending:
            raise fake_fault.libvirt_error(
                libvirt.VIR_ERR_INTERNAL_ERROR, libvirt.VIR_FROM_QEMU,
                "internal error: unable to execute QEMU command "
                f"'device_del': Device {alias} is already in the process of "
                'unplug')
        if hotplug.unplug is fake_devices.Unplug.REFUSE:
            self._link.hypervisor.emit(
                libvirt.VIR_DOMAIN_EVENT_ID_DEVICE_REMOVAL_FAILED,
                self.guest, alias)
            return
        hotplug.pending.add(alias)
        if self.guest.state == libvirt.VIR_DOMAIN_RUNNING:
            self._let_go()

    def _let_go(self) -> None:
        if self.guest.hotplug.unplug is fake_devices.Unplug.OBEY:
            self._link.hypervisor.complete_unplugs(self.guest)

    # Disks.

    def blockCopy(self, disk: str, destxml: str,
                  params: dict[str, Any] | None = None, flags: int = 0) -> int:
        """Begin a copy that a test makes progress."""
        self._enter('blockCopy', 'virDomainBlockCopy', write=True)
        self._require_active()
        self._require_disk(disk)
        guest = self.guest
        if guest.persistent and not (
                flags & libvirt.VIR_DOMAIN_BLOCK_COPY_TRANSIENT_JOB):
            raise fake_fault.invalid('domain is not transient')
        if disk in guest.jobs:
            raise fake_fault.libvirt_error(
                libvirt.VIR_ERR_BLOCK_COPY_ACTIVE, libvirt.VIR_FROM_QEMU,
                f"block copy still active: disk '{disk}' already in active "
                'block job')
        source = etree.fromstring(destxml).find('source')
        assert source is not None
        guest.jobs[disk] = fake_guest.BlockJob(
            source.get('file', ''), destxml)
        return 0

    def snapshotCreateXML(self, xml: str, flags: int = 0) -> object:
        """Put a file over that of each disk of which there is a snapshot."""
        self._enter('snapshotCreateXML', 'virDomainSnapshotCreateXML',
                    write=True)
        for disk in etree.fromstring(xml).iterfind('disks/disk'):
            source = disk.find('source')
            if source is not None:
                self._rewrite(disk.get('name', ''), lambda files: [
                    source.get('file', ''), *files])
        return object()

    def blockCommit(self, disk: str, base: str | None, top: str | None,
                    bandwidth: int, flags: int = 0) -> int:
        """Merge files below a disk, at once."""
        self._enter('blockCommit', 'virDomainBlockCommit', write=True)
        self._require_active()
        return self._rewrite(disk, lambda files: [
            *files[:files.index(str(top))], *files[files.index(str(base)):]],
            libvirt.VIR_DOMAIN_BLOCK_JOB_TYPE_COMMIT)

    def blockRebase(self, disk: str, base: str | None, bandwidth: int,
                    flags: int = 0) -> int:
        """Take in what is below a disk, at once."""
        self._enter('blockRebase', 'virDomainBlockRebase', write=True)
        self._require_active()
        return self._rewrite(disk, lambda files: files[:1] + (
            files[files.index(base):] if base else []),
            libvirt.VIR_DOMAIN_BLOCK_JOB_TYPE_PULL)

    def _rewrite(self, disk: str, change: Callable[[list[str]], list[str]],
                 job: int | None = None) -> int:
        guest = self.guest
        guest.definition = fake_xml.with_files(guest.definition, disk, change)
        if guest.live is not None:
            guest.live = fake_xml.with_files(guest.live, disk, change)
        if job is not None:
            self._link.hypervisor.emit(
                libvirt.VIR_DOMAIN_EVENT_ID_BLOCK_JOB_2, guest, disk, job,
                libvirt.VIR_DOMAIN_BLOCK_JOB_COMPLETED)
        return 0

    def blockJobInfo(self, disk: str, flags: int = 0) -> dict[str, int]:
        """How far the copy is; empty when there is none."""
        self._enter('blockJobInfo', 'virDomainGetBlockJobInfo')
        self._require_active()
        self._require_disk(disk)
        job = self.guest.jobs.get(disk)
        if job is None:
            return {}
        return {'type': libvirt.VIR_DOMAIN_BLOCK_JOB_TYPE_COPY,
                'bandwidth': 0, 'cur': job.done, 'end': job.total}

    def blockJobAbort(self, disk: str, flags: int = 0) -> int:
        """End the copy."""
        self._enter('blockJobAbort', 'virDomainBlockJobAbort', write=True)
        self._require_active()
        job = self.guest.jobs.get(disk)
        if job is None:
            raise fake_fault.bad_argument(
                f'disk {disk} does not have an active block job')
        pivot = flags & libvirt.VIR_DOMAIN_BLOCK_JOB_ABORT_PIVOT
        if pivot and not job.ready:
            raise fake_fault.libvirt_error(
                libvirt.VIR_ERR_BLOCK_COPY_ACTIVE, libvirt.VIR_FROM_QEMU,
                f"block copy still active: disk '{disk}' not ready for "
                'pivot yet')
        del self.guest.jobs[disk]
        if pivot:
            self.guest.definition, live = (
                fake_xml.with_source(xml, disk, job.xml) for xml in (
                    self.guest.definition, self.guest.live or ''))
            self.guest.live = live
        return 0

    def blockInfo(self, path: str, flags: int = 0) -> list[int]:
        """Size that it sees, room taken, and end of the file."""
        self._enter('blockInfo', 'virDomainGetBlockInfo')
        self._require_disk(path)
        return [self.guest.sizes.get(path, 0)] * 3

    def blockResize(self, disk: str, size: int, flags: int = 0) -> int:
        """Take note of the size: the fake has no disk."""
        self._enter('blockResize', 'virDomainBlockResize', write=True)
        self._require_active()
        self._require_disk(disk)
        self.guest.sizes[disk] = size
        return 0

    # How it is done.

    def _enter(self, method: str, c_name: str, *, write: bool = False) -> None:
        self._link.enter(method, c_name, write=write)
        if self.guest not in self._link.hypervisor.guests:
            raise fake_fault.libvirt_error(
                libvirt.VIR_ERR_NO_DOMAIN, libvirt.VIR_FROM_QEMU,
                'Domain not found: no domain with matching uuid '
                f"'{self.guest.uuid}' ({self.guest.name})")

    def _enter_agent(self, method: str, c_name: str) -> None:
        self._enter(method, c_name, write=True)
        self._require_active()
        if not fake_xml.has_agent(self.guest.live):
            raise fake_fault.libvirt_error(
                libvirt.VIR_ERR_ARGUMENT_UNSUPPORTED, libvirt.VIR_FROM_QEMU,
                'argument unsupported: QEMU guest agent is not configured')
        if not self.guest.agent:
            raise fake_fault.libvirt_error(
                libvirt.VIR_ERR_AGENT_UNRESPONSIVE, libvirt.VIR_FROM_QEMU,
                'Guest agent is not responding: QEMU guest agent is not '
                'connected')

    def _require_active(self) -> None:
        if not self.guest.active:
            raise fake_fault.invalid('domain is not running')

    def _require_disk(self, disk: str) -> None:
        if disk not in fake_xml.disks(self.guest.live):
            raise fake_fault.bad_argument(f"disk '{disk}' not found in domain")

    def _pause(self) -> int:
        if self.guest.state == libvirt.VIR_DOMAIN_PAUSED:
            return 0
        return self._become(libvirt.VIR_DOMAIN_PAUSED,
                            libvirt.VIR_DOMAIN_PAUSED_USER,
                            libvirt.VIR_DOMAIN_EVENT_SUSPENDED)

    def _stop(self, reason: int, detail: int) -> int:
        guest = self.guest
        self._id = guest.id = -1
        guest.live = ''
        guest.jobs.clear()
        guest.hotplug.pending.clear()
        guest.frozen = False
        if not guest.persistent:
            self._link.hypervisor.guests.remove(guest)
        return self._become(libvirt.VIR_DOMAIN_SHUTOFF, reason,
                            libvirt.VIR_DOMAIN_EVENT_STOPPED, detail)

    def _become(
        self, state: int, reason: int, event: int, detail: int = 0
    ) -> int:
        self.guest.state, self.guest.reason = state, reason
        return self._tell(event, detail)

    def _tell(self, event: int, detail: int = 0) -> int:
        self._link.hypervisor.emit(
            libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE, self.guest, event, detail)
        return 0
