# SPDX-License-Identifier: Apache-2.0

"""Where the operations on guests are made and joined.

A second half of ``assembly``, which hands it the values of the options.
"""

from collections.abc import Callable
import dataclasses

from nova_libvirt_driver.guest import guests as guests_module
from nova_libvirt_driver.guest import restarts as restarts_module
from nova_libvirt_driver.guest import secrets as secrets_module
from nova_libvirt_driver.guest import snapshots as snapshots_module
from nova_libvirt_driver.host import capabilities as capabilities_module
from nova_libvirt_driver.operations import admin_password
from nova_libvirt_driver.operations import console_output
from nova_libvirt_driver.operations import consoles
from nova_libvirt_driver.operations import crash_dump
from nova_libvirt_driver.operations import destroy
from nova_libvirt_driver.operations import diagnostics
from nova_libvirt_driver.operations import image_cache
from nova_libvirt_driver.operations import pause
from nova_libvirt_driver.operations import power_off
from nova_libvirt_driver.operations import power_on
from nova_libvirt_driver.operations import quiesce
from nova_libvirt_driver.operations import reboot
from nova_libvirt_driver.operations import recovery
from nova_libvirt_driver.operations import rename
from nova_libvirt_driver.operations import rescue
from nova_libvirt_driver.operations import resize_disk
from nova_libvirt_driver.operations import snapshot
from nova_libvirt_driver.operations import spawn
from nova_libvirt_driver.operations.steps import disk_copy
from nova_libvirt_driver.operations.steps import domains as domains_module
from nova_libvirt_driver.operations.steps import exclusive as exclusive_module
from nova_libvirt_driver.operations.steps import files as files_module
from nova_libvirt_driver.operations.steps import rebuild as rebuild_module
from nova_libvirt_driver.operations.steps import shutdown as shutdown_module
from nova_libvirt_driver.operations import suspend
from nova_libvirt_driver.storage import journal as journal_module
from nova_libvirt_driver.storage import qemu_img as qemu_img_module
from nova_libvirt_driver.storage import scratch as scratch_module
from nova_libvirt_driver.storage import tool as tool_module
from nova_libvirt_driver.storage import usage as usage_module


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """How the verbs reach libvirt."""

    guests: guests_module.Guests
    secrets: secrets_module.Secrets
    capabilities: capabilities_module.Capabilities
    restarts: restarts_module.Restarts
    snapshots: snapshots_module.Snapshots
    touched: Callable[[str], None]
    """Takes the uuid of each instance to which something was done."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Values of options."""

    host: str
    my_address: str
    policies: files_module.Policies
    serial_ports: range
    job_timeout_s: float
    soft_reboot_timeout_s: float


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Verbs:
    """The operations, named after what they do."""

    files: files_module.Files
    spawn: spawn.Spawn
    destroy: destroy.Destroy
    recovery: recovery.Recovery
    power_on: power_on.PowerOn
    power_off: power_off.PowerOff
    reboot: reboot.Reboot
    pause: pause.Pause
    suspend: suspend.Suspend
    rescue: rescue.Rescue
    snapshot: snapshot.Snapshot
    resize_disk: resize_disk.ResizeDisk
    quiesce: quiesce.Quiesce
    rename: rename.Rename
    console_output: console_output.ConsoleOutput
    consoles: consoles.Consoles
    diagnostics: diagnostics.Diagnostics
    admin_password: admin_password.AdminPassword
    crash_dump: crash_dump.CrashDump
    image_care: image_cache.ImageCare
    usage: usage_module.Usage
    secrets: secrets_module.Secrets


def build(link: Link, settings: Settings) -> Verbs:
    """Make the operations of one driver; touches nothing."""
    storage = settings.policies.storage
    guests = link.guests
    tool = tool_module.Tool(storage)
    qemu_img = qemu_img_module.QemuImg(tool, storage)
    domains = domains_module.Domains(
        guests, link.capabilities, settings.policies.guest,
        settings.serial_ports)
    files = files_module.Files(
        settings.policies, tool, qemu_img, domains.group_id, settings.host)
    path = storage.instances_path
    exclusive = exclusive_module.Exclusive(path, link.touched)
    journal = journal_module.Journal(path)
    scratch = scratch_module.Scratch(path, domains.group_id)
    rebuild = rebuild_module.Rebuild(domains, files)
    shutdown = shutdown_module.Shutdown()
    copier = disk_copy.DiskCopy(
        guests, files, qemu_img, storage, timeout_s=settings.job_timeout_s)
    rescuer = rescue.Rescue(
        domains, files, rebuild, exclusive, journal, link.restarts)
    return Verbs(
        files=files,
        spawn=spawn.Spawn(domains, files, exclusive, journal, settings.host),
        destroy=destroy.Destroy(domains, files, exclusive),
        recovery=recovery.Recovery(
            domains, files, rescuer, recovery.Remains(journal, scratch),
            exclusive),
        power_on=power_on.PowerOn(domains, rebuild, exclusive),
        power_off=power_off.PowerOff(guests, exclusive, shutdown),
        reboot=reboot.Reboot(
            domains, rebuild, exclusive, shutdown, link.restarts,
            timeout_s=settings.soft_reboot_timeout_s),
        pause=pause.Pause(guests, exclusive),
        suspend=suspend.Suspend(
            guests, exclusive, timeout_s=settings.job_timeout_s),
        rescue=rescuer,
        snapshot=snapshot.Snapshot(copier, scratch, exclusive, journal),
        resize_disk=resize_disk.ResizeDisk(copier, files, exclusive),
        quiesce=quiesce.Quiesce(guests),
        rename=rename.Rename(guests, exclusive, files.note_display_name),
        console_output=console_output.ConsoleOutput(
            guests, lambda instance: files.folder(instance).console_log),
        consoles=consoles.Consoles(guests, my_address=settings.my_address),
        diagnostics=diagnostics.Diagnostics(
            link.snapshots, files, settings.host),
        admin_password=admin_password.AdminPassword(guests),
        crash_dump=crash_dump.CrashDump(guests),
        image_care=image_cache.ImageCare(guests, files, path),
        usage=usage_module.Usage(path),
        secrets=link.secrets)
