# SPDX-License-Identifier: Apache-2.0

"""Which machine a guest is: request, then host's policy, then need."""

from nova_libvirt_driver.configurators import inputs as inputs_module
from nova_libvirt_driver.spec import boot as boot_spec
from nova_libvirt_driver.spec import guest as guest_spec
from nova_libvirt_driver.spec import policy as policy_spec

# What the short names stand for; a version follows.
_FAMILIES = {'pc': 'pc-i440fx', 'q35': 'pc-q35', 'virt': 'virt'}

_UEFI = ('aarch64', 'armv7l', 'loongarch64', 'riscv64')

_DEFAULTS = {'x86_64': 'pc', 'i686': 'pc', 'aarch64': 'virt'}


def wanted(
        spec: guest_spec.GuestSpec, policy: policy_spec.GuestPolicy,
        host_arch: str) -> str:
    """Return the machine type to ask the host's capabilities for.

    Empty where libvirt knows better.
    """
    arch = spec.boot.arch or host_arch
    return (spec.boot.machine or policy.machine_types.get(arch, '')
            or _needed(spec, arch))


def canonical(inputs: inputs_module.Inputs) -> str:
    """Return the machine type with its version, where that is known.

    Written into the domain it stays when the host's software does not.
    """
    name = wanted(inputs.spec, inputs.policy, inputs.host.arch)
    known = inputs.host.capabilities.machine
    family = _FAMILIES.get(name, name)
    if known.startswith(f'{family}-') or not name:
        return known
    return name


def is_q35(inputs: inputs_module.Inputs) -> bool:
    """Say whether the machine is a PC with PCI Express."""
    name = canonical(inputs)
    return name == 'q35' or name.startswith('pc-q35-')


def has_pcie(inputs: inputs_module.Inputs) -> bool:
    """Say whether the machine has PCI Express."""
    name = canonical(inputs)
    return is_q35(inputs) or name == 'virt' or name.startswith('virt-')


def firmware(inputs: inputs_module.Inputs) -> boot_spec.Firmware:
    """Return the kind of firmware.

    A BIOS is also that of a machine which QEMU gives firmware of its own, as
    those of POWER and of IBM Z have.
    """
    asked = inputs.spec.boot.firmware
    if asked is not None:
        return asked
    return (boot_spec.Firmware.UEFI if needs_uefi(inputs)
            else boot_spec.Firmware.BIOS)


def needs_uefi(inputs: inputs_module.Inputs) -> bool:
    """Say whether the machine has no other firmware."""
    return inputs.arch in _UEFI


def _needed(spec: guest_spec.GuestSpec, arch: str) -> str:
    """Return the simplest machine that can do what is asked of it."""
    default = _DEFAULTS.get(arch, '')
    if default == 'pc' and (
            spec.boot.secure_boot or spec.devices.iommu is not None
            or spec.memory.encrypted):
        return 'q35'
    return default


def is_version_of(machine: str, name: str) -> bool:
    """Say whether a machine type is one of those that a name stands for.

    The empty name stands for any.
    """
    return not name or machine.startswith(f'{_FAMILIES.get(name, name)}-')
