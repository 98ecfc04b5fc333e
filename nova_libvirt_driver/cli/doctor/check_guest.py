# SPDX-License-Identifier: Apache-2.0

"""Checks of what guests need, on libvirt's description of the host.

They only read it, besides looking at the emulator's file and at ``/dev/kvm``.
"""

from collections.abc import Callable
from collections.abc import Iterable
import os

from nova_libvirt_driver.cli.doctor import check_connection
from nova_libvirt_driver.cli.doctor import checks
from nova_libvirt_driver.compute import kvm
from nova_libvirt_driver.spec import instance as instance_spec
from nova_libvirt_driver.storage import folder
from nova_libvirt_driver.storage import spec_record
from nova_libvirt_driver.storage import spec_recovery
from nova_libvirt_driver.xmlmodel import capabilities
from nova_libvirt_driver.xmlmodel import domain as domain_model

_EMULATOR = checks.Topic('emulator')
_ACCELERATION = checks.Topic('acceleration')
_CONFINEMENT = checks.Topic('confinement')
_DISKS = checks.Topic('guest disks')
_RECORDS = checks.Topic('guest records')

_CONFINING = ('apparmor', 'selinux')


def emulator(
        link: check_connection.Link, virt_type: str) -> checks.Check:
    """Check that there is an emulator for the host's kind of guests."""
    kind, arch = link.facts.hypervisor_type, link.facts.arch
    if kind != 'QEMU':
        return _EMULATOR.skipped(f'hypervisor {kind} has none')
    guest = _guest(link.capabilities, arch)
    path = guest.emulator if guest else None
    if guest is None or not path:
        return _EMULATOR.failure(
            f'libvirt knows no emulator for {arch}',
            'install it (Debian: qemu-system-x86 or the one for the '
            f'architecture){_then_restart(link)}')
    # About kvm, the check of the acceleration has more to say.
    if virt_type not in ('kvm', *_types(guest)):
        return _EMULATOR.failure(
            f'{path} runs no guests of virt_type {virt_type}, only '
            f'{" and ".join(_types(guest))}', 'correct [libvirt] virt_type')
    return _executable(path, link)


def acceleration(
        link: check_connection.Link, virt_type: str,
        trial: Callable[[], kvm.Verdict]) -> checks.Check:
    """Check that the hardware helps, where it can.

    :param trial: finds out whether KVM runs a guest on this machine
    """
    if link.facts.hypervisor_type != 'QEMU':
        return _ACCELERATION.skipped(
            f'hypervisor {link.facts.hypervisor_type} has none')
    broken = not check_connection.is_remote(link.status.uri) and (
        trial() is kvm.Verdict.BROKEN)
    if broken:
        return _broken(virt_type)
    offered = 'kvm' in _types(_guest(link.capabilities, link.facts.arch))
    if virt_type == 'kvm':
        return _kvm(link, offered)
    fix = ('set [libvirt] virt_type = kvm' if offered else
           'enable virtualization in the firmware, or nested '
           'virtualization around this machine, then use virt_type = kvm')
    return _ACCELERATION.warning(
        f'guests are slow with virt_type {virt_type}', fix)


def confinement(
        link: check_connection.Link,
        user_id: int | None = None) -> checks.Check:
    """Check that a guest that breaks out of QEMU is still held.

    :param user_id: of whom to think; default is that of this process
    """
    if link.facts.hypervisor_type != 'QEMU':
        return _CONFINEMENT.skipped(
            f'hypervisor {link.facts.hypervisor_type} needs none')
    used = [one.model for one in link.capabilities.security_models
            if one.model in _CONFINING]
    if used:
        return _CONFINEMENT.ok(', '.join(used))
    uri, lacking = link.status.uri, 'no AppArmor and no SELinux around guests'
    if check_connection.is_in_process(uri) or check_connection.is_of_user(
            uri, user_id):
        return _CONFINEMENT.warning(
            f'{lacking}: one that breaks out may do what this user may',
            'have guests that you do not trust on the libvirt daemon of the '
            'system: --uri qemu:///system')
    where = 'on that host' if check_connection.is_remote(uri) else 'here'
    return _CONFINEMENT.warning(
        lacking, f'enable one of them {where}; if /etc/libvirt/qemu.conf says '
        'security_driver = "none", remove that; restart the libvirt daemon')


def disks(
        instances: Iterable[instance_spec.InstanceSummary]) -> checks.Check:
    """Check that QEMU has paused no guest because of its disk."""
    stopped = [instance.name for instance in instances
               if instance.stopped_by_storage]
    if not stopped:
        return _DISKS.ok('no guest is paused by an I/O error')
    return _DISKS.warning(
        f'paused by an I/O error: {", ".join(sorted(stopped))}',
        'make room on the file system of their disks or repair the storage, '
        'then unpause them')


def records(
        instances: Iterable[instance_spec.InstanceSummary],
        instances_path: str,
        domain_xml: Callable[[instance_spec.InstanceSummary], str],
) -> checks.Check:
    """Check that the record of each guest can be read.

    :param domain_xml: returns the XML of a guest; is asked of those only
        whose record cannot be; those that Nova has made have none
    """
    lost = [
        path for row in instances if row.owned and spec_record.is_lost(
            path := folder.InstanceFolder(instances_path, row.uuid).spec)
        and spec_recovery.is_recoverable(
            domain_model.Domain.parse(domain_xml(row)))]
    if not lost:
        return _RECORDS.ok('of each guest it is known what made it')
    return _RECORDS.warning(
        f'lost or damaged: {", ".join(sorted(lost))}',
        'nothing needs to be done: the next verb that changes one makes it '
        'again from the domain, without what was on the config drive')


def _broken(virt_type: str) -> checks.Check:
    found = (f'{kvm.DEVICE} is there, but a tiny guest does not run with it '
             f'within {kvm.TRIAL_TIMEOUT_S:g} s')
    if virt_type == 'kvm':
        return _ACCELERATION.failure(
            found, 'enable nested virtualization around this machine in '
            'full, or set [libvirt] virt_type = qemu, which is slow')
    return _ACCELERATION.warning(
        f'{found}; guests are slow with virt_type {virt_type}',
        'enable nested virtualization around this machine in full, then '
        'use virt_type = kvm')


def _kvm(link: check_connection.Link, offered: bool) -> checks.Check:
    if offered:
        return _ACCELERATION.ok('KVM')
    if check_connection.is_remote(link.status.uri) or os.path.exists(
            kvm.DEVICE):
        return _ACCELERATION.failure(
            'libvirt does not offer KVM',
            f'see that {kvm.DEVICE} works and that the user of QEMU may open '
            f'it{_then_restart(link)}')
    return _ACCELERATION.failure(
        f'there is no {kvm.DEVICE}',
        'load the module kvm_intel or kvm_amd, enable virtualization in the '
        'firmware; or set [libvirt] virt_type = qemu, which is slow')


def _then_restart(link: check_connection.Link) -> str:
    return ('' if check_connection.is_in_process(link.status.uri)
            else ', then restart the libvirt daemon')


def _executable(path: str, link: check_connection.Link) -> checks.Check:
    if check_connection.is_remote(link.status.uri) or os.access(
            path, os.X_OK):
        return _EMULATOR.ok(path)
    return _EMULATOR.failure(
        f'{path} cannot be run', 'install it again, or correct its mode')


def _guest(
        said: capabilities.Capabilities,
        arch: str) -> capabilities.GuestArch | None:
    return next((one for one in said.guests if one.arch == arch), None)


def _types(guest: capabilities.GuestArch | None) -> list[str]:
    return [one.type or '' for one in guest.virtualizations] if guest else []
