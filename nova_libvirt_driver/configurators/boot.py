# SPDX-License-Identifier: Apache-2.0

"""The facet of booting: machine, firmware, kernel."""

import re

from nova_libvirt_driver.configurators import checks
from nova_libvirt_driver.configurators import inputs as inputs_module
from nova_libvirt_driver.configurators import machine
from nova_libvirt_driver import exception
from nova_libvirt_driver.spec import boot as boot_spec
from nova_libvirt_driver.spec import policy as policy_spec
from nova_libvirt_driver.xmlmodel import domain as domain_module
from nova_libvirt_driver.xmlmodel import os as os_module

_CONSOLES = ('console=tty0', 'console=ttyS0', 'console=hvc0')

# Firmware that insists on signatures, by the names distributions use.
_SIGNED = re.compile(r'secboot|secure|snakeoil|\.ms\.')


def apply(domain: domain_module.Domain, inputs: inputs_module.Inputs) -> None:
    """Say how the guest starts.

    :raises InvalidRequest: firmware or kernel contradict themselves
    :raises UnsupportedOperation: the host has no such firmware
    """
    boot = inputs.spec.boot
    element = domain.os
    element.arch = inputs.arch
    element.machine = machine.canonical(inputs) or None
    element.type = 'hvm'
    if machine.firmware(inputs) is boot_spec.Firmware.UEFI:
        _uefi(domain, inputs)
    elif machine.needs_uefi(inputs):
        raise exception.UnsupportedOperation(
            tried=f'start a guest of architecture {inputs.arch} with a BIOS',
            reason='it has none')
    elif boot.secure_boot:
        # A BIOS keeps no state, whatever is asked about that (LP 2158967).
        raise exception.InvalidRequest(reason='secure boot needs UEFI')
    if boot.menu:
        element.bootmenu_enable = True
    _kernel(element, boot, inputs)


def _uefi(domain: domain_module.Domain, inputs: inputs_module.Inputs) -> None:
    boot = inputs.spec.boot
    known = inputs.host.capabilities
    if not (known.uefi or inputs.in_test_driver):
        raise _lacks('UEFI', 'install its firmware (ovmf, edk2)')
    if boot.stateless_firmware:
        _stateless(domain.os, inputs)
        return
    domain.os.firmware = 'efi'
    possible = machine.is_q35(inputs) and (
        known.secure_boot or inputs.in_test_driver)
    secure = boot.secure_boot or boot.secure_boot_if_possible and possible
    # Without these libvirt takes the first firmware that it finds.
    names = ['enrolled-keys', 'secure-boot']
    if not secure and (
            policy_spec.LikeNova.FIRMWARE_KEYS in inputs.policy.like_nova):
        names.remove('enrolled-keys')
    for name in names:
        feature = domain.os.firmware_features.add()
        feature.enabled = secure
        feature.name = name
    if secure:
        if not possible:
            raise _lacks('secure boot', 'it needs a machine of type q35 and '
                         'firmware for it')
        domain.os.loader_secure = True
        domain.features.smm = True


def _stateless(
        element: os_module.Os, inputs: inputs_module.Inputs) -> None:
    """Name the firmware's file: libvirt 9.0 finds none by itself.

    Packages of firmware do not declare it to be usable that way.
    """
    if inputs.spec.boot.secure_boot:
        raise exception.InvalidRequest(
            reason='secure boot keeps its keys in the variables that '
            'firmware without state does not have')
    known = inputs.host.capabilities
    loaders = [path for path in known.loaders if not _SIGNED.search(path)]
    if not (known.stateless_firmware and loaders):
        raise _lacks('firmware without state',
                     'it needs libvirt 8.6 and firmware without secure boot')
    element.loader = loaders[0]
    element.loader_readonly = True
    element.loader_type = 'pflash'
    element.loader_stateless = True


def _kernel(element: os_module.Os, boot: boot_spec.BootSpec,
            inputs: inputs_module.Inputs) -> None:
    kernel = boot.kernel
    if kernel is None:
        if boot.kernel_image_id or boot.ramdisk_image_id:
            raise exception.InvalidRequest(
                reason='the image of the kernel was not fetched')
        return
    checks.path('the kernel', kernel.kernel)
    element.kernel = kernel.kernel
    if kernel.initrd:
        checks.path('the initial ramdisk', kernel.initrd)
        element.initrd = kernel.initrd
    element.cmdline = kernel.cmdline or (
        _cmdline(inputs) if boot.kernel_image_id else None)


def _cmdline(inputs: inputs_module.Inputs) -> str:
    """Return the command line where the image names none; as in Nova."""
    words = [f'root=/dev/{disk.target_dev}' for disk in inputs.disks[:1]]
    words += _CONSOLES
    if inputs.policy.virt_type == 'qemu':
        # An emulated timer may be too late for the kernel's test of it.
        words.append('no_timer_check')
    return ' '.join(words)


def _lacks(what: str, advice: str) -> exception.UnsupportedOperation:
    return exception.UnsupportedOperation(
        tried=f'start a guest with {what}',
        reason=f'this host does not offer it: {advice}')
