# SPDX-License-Identifier: Apache-2.0

"""Checks of what guests need, on libvirt's description of the host.

They take the XML document; reading it is all they do with it, besides
looking at the emulator's file and at ``/dev/kvm``.
"""

import os

from lxml import etree

from nova_libvirt_driver.host import check_connection
from nova_libvirt_driver.host import checks

_EMULATOR = checks.Topic('emulator')
_ACCELERATION = checks.Topic('acceleration')
_CONFINEMENT = checks.Topic('confinement')

_KVM = '/dev/kvm'
_CONFINING = ('apparmor', 'selinux')


def emulator(
        link: check_connection.Link, virt_type: str) -> checks.Check:
    """Check that there is an emulator for the host's kind of guests."""
    kind, arch = link.facts.hypervisor_type, link.facts.arch
    if kind != 'QEMU':
        return _EMULATOR.skipped(f'hypervisor {kind} has none')
    guest = _guest(link.capabilities, arch)
    path = '' if guest is None else guest.findtext('emulator') or ''
    if guest is None or not path:
        return _EMULATOR.failure(
            f'libvirt knows no emulator for {arch}',
            'install it (Debian: qemu-system-x86 or the one for the '
            'architecture), then restart the libvirt daemon')
    # About kvm, the check of the acceleration has more to say.
    if virt_type not in ('kvm', *_types(guest)):
        return _EMULATOR.failure(
            f'{path} runs no guests of virt_type {virt_type}, only '
            f'{" and ".join(_types(guest))}', 'correct [libvirt] virt_type')
    return _executable(path, link)


def acceleration(
        link: check_connection.Link, virt_type: str) -> checks.Check:
    """Check that the hardware helps, where it can."""
    if link.facts.hypervisor_type != 'QEMU':
        return _ACCELERATION.skipped(
            f'hypervisor {link.facts.hypervisor_type} has none')
    offered = 'kvm' in _types(_guest(link.capabilities, link.facts.arch))
    if virt_type == 'kvm':
        return _kvm(link, offered)
    fix = ('set [libvirt] virt_type = kvm' if offered else
           'enable virtualization in the firmware, or nested '
           'virtualization around this machine, then use virt_type = kvm')
    return _ACCELERATION.warning(
        f'guests are slow with virt_type {virt_type}', fix)


def confinement(link: check_connection.Link) -> checks.Check:
    """Check that a guest that breaks out of QEMU is still held."""
    if link.facts.hypervisor_type != 'QEMU':
        return _CONFINEMENT.skipped(
            f'hypervisor {link.facts.hypervisor_type} needs none')
    models = [
        model.text or ''
        for model in _parsed(link.capabilities).findall(
            'host/secmodel/model')]
    used = [model for model in models if model in _CONFINING]
    if used:
        return _CONFINEMENT.ok(', '.join(used))
    return _CONFINEMENT.warning(
        'no AppArmor and no SELinux around guests',
        'enable one of them, and remove security_driver = "none" from '
        'qemu.conf of libvirt')


def _kvm(link: check_connection.Link, offered: bool) -> checks.Check:
    if offered:
        return _ACCELERATION.ok('KVM')
    if check_connection.is_remote(link.status.uri) or os.path.exists(_KVM):
        return _ACCELERATION.failure(
            'libvirt does not offer KVM',
            f'see that {_KVM} works and that the user of QEMU may open it, '
            'then restart the libvirt daemon')
    return _ACCELERATION.failure(
        f'there is no {_KVM}',
        'load the module kvm_intel or kvm_amd, enable virtualization in the '
        'firmware; or set [libvirt] virt_type = qemu, which is slow')


def _executable(path: str, link: check_connection.Link) -> checks.Check:
    if check_connection.is_remote(link.status.uri) or os.access(
            path, os.X_OK):
        return _EMULATOR.ok(path)
    return _EMULATOR.failure(
        f'{path} cannot be run', 'install it again, or correct its mode')


def _guest(capabilities: str, arch: str) -> etree._Element | None:
    for found in _parsed(capabilities).findall('guest/arch'):
        if found.get('name') == arch:
            return found
    return None


def _types(guest: etree._Element | None) -> list[str]:
    if guest is None:
        return []
    return [item.get('type', '') for item in guest.findall('domain')]


def _parsed(capabilities: str) -> etree._Element:
    parser = etree.XMLParser(resolve_entities=False, no_network=True)
    return etree.fromstring(capabilities.encode(), parser)
