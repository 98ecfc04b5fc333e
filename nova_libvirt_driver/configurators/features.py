# SPDX-License-Identifier: Apache-2.0

"""The facet of the machine's features, its clock and its timers."""

from nova_libvirt_driver.configurators import inputs as inputs_module
from nova_libvirt_driver.configurators import machine
from nova_libvirt_driver import exception
from nova_libvirt_driver.spec import device as device_spec
from nova_libvirt_driver.spec import policy as policy_spec
from nova_libvirt_driver.xmlmodel import domain as domain_module
from nova_libvirt_driver.xmlmodel import features as features_module

LikeNova = policy_spec.LikeNova

_SPINLOCK_RETRIES = 8191
# Not that of Hyper-V, which some drivers of graphics cards refuse.
_VENDOR = '1234567890ab'


def apply(domain: domain_module.Domain, inputs: inputs_module.Inputs) -> None:
    """Turn features of the machine on and off.

    :raises InvalidRequest: a feature lacks what it is built on
    """
    asked = inputs.spec.features
    element = domain.features
    needs_acpi = machine.needs_uefi(inputs)
    if not asked.acpi and needs_acpi:
        raise exception.InvalidRequest(
            reason=f'a guest of architecture {inputs.arch} needs ACPI')
    element.acpi = asked.acpi and (inputs.x86 or needs_acpi)
    element.apic = asked.apic and inputs.x86
    element.pmu = asked.pmu
    if asked.hide_hypervisor:
        element.kvm_hidden = True
    # The guest's memory cannot be read where it is encrypted.
    if asked.vmcoreinfo and not inputs.spec.memory.encrypted and (
            inputs.x86 or inputs.arch == 'aarch64'):
        element.vmcoreinfo = True
    # QEMU without KVM does not start with them.
    if inputs.kvm and asked.os_type is device_spec.OsType.WINDOWS:
        _enlighten(element, timers=(
            LikeNova.HYPERV_STIMER not in inputs.policy.like_nova))
        if asked.hide_hypervisor:
            element.hyperv_vendor_id_state = True
            element.hyperv_vendor_id = _VENDOR
    if inputs.policy.virt_type == 'qemu' and not inputs.in_test_driver:
        element.tb_cache = inputs.policy.tb_cache_mib
    _clock(domain, inputs)


def _enlighten(element: features_module.Features, *, timers: bool) -> None:
    """Tell Windows how to be a good guest; only KVM understands it."""
    element.hyperv_relaxed = True
    element.hyperv_vapic = True
    element.hyperv_spinlocks = True
    element.hyperv_spinlocks_retries = _SPINLOCK_RETRIES
    element.hyperv_vpindex = True
    element.hyperv_runtime = True
    element.hyperv_synic = True
    if timers:
        element.hyperv_stimer = True
    element.hyperv_reset = True
    element.hyperv_frequencies = True
    element.hyperv_tlbflush = True
    element.hyperv_ipi = True


def _clock(domain: domain_module.Domain, inputs: inputs_module.Inputs) -> None:
    """Set the clock, and how it catches up after a pause."""
    windows = inputs.spec.features.os_type is device_spec.OsType.WINDOWS
    domain.clock.offset = 'localtime' if windows else 'utc'
    if not inputs.kvm:
        return
    pit = domain.clock.timers.add()
    pit.name = 'pit'
    pit.tickpolicy = 'delay'
    rtc = domain.clock.timers.add()
    rtc.name = 'rtc'
    rtc.tickpolicy = 'catchup'
    if inputs.x86:
        hpet = domain.clock.timers.add()
        hpet.name = 'hpet'
        hpet.present = inputs.spec.features.hpet
    if windows:
        hyperv = domain.clock.timers.add()
        hyperv.name = 'hypervclock'
        hyperv.present = True
