# SPDX-License-Identifier: Apache-2.0

"""Features and clock of the machine."""

from nova_libvirt_driver.xmlmodel import element
from nova_libvirt_driver.xmlmodel import fields


class Features(element.Element):
    """Features of the machine."""

    TAG = 'features'
    acpi = fields.Flag('acpi')
    apic = fields.Flag('apic')
    pae = fields.Flag('pae')
    smm = fields.OnOff('smm/@state')
    kvm_hidden = fields.OnOff('kvm/hidden/@state')
    pmu = fields.OnOff('pmu/@state')
    vmcoreinfo = fields.OnOff('vmcoreinfo/@state')
    ioapic_driver = fields.Text('ioapic/@driver')
    hyperv_relaxed = fields.OnOff('hyperv/relaxed/@state')
    hyperv_vapic = fields.OnOff('hyperv/vapic/@state')
    hyperv_spinlocks = fields.OnOff('hyperv/spinlocks/@state')
    hyperv_spinlocks_retries = fields.Integer('hyperv/spinlocks/@retries')
    hyperv_vpindex = fields.OnOff('hyperv/vpindex/@state')
    hyperv_runtime = fields.OnOff('hyperv/runtime/@state')
    hyperv_synic = fields.OnOff('hyperv/synic/@state')
    hyperv_stimer = fields.OnOff('hyperv/stimer/@state')
    hyperv_reset = fields.OnOff('hyperv/reset/@state')
    hyperv_vendor_id_state = fields.OnOff('hyperv/vendor_id/@state')
    hyperv_vendor_id = fields.Text('hyperv/vendor_id/@value')
    hyperv_frequencies = fields.OnOff('hyperv/frequencies/@state')
    hyperv_tlbflush = fields.OnOff('hyperv/tlbflush/@state')
    hyperv_ipi = fields.OnOff('hyperv/ipi/@state')
    tb_cache = fields.Size('tcg/tb-cache', 'MiB')


class Timer(element.Element):
    """One timer."""

    TAG = 'timer'
    name = fields.Text('@name')
    tickpolicy = fields.Text('@tickpolicy')
    present = fields.YesNo('@present')


class Clock(element.Element):
    """The clock."""

    TAG = 'clock'
    offset = fields.Text('@offset')
    timers = fields.Children(Timer)
