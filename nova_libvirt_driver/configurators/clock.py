# SPDX-License-Identifier: Apache-2.0

"""The facet of the clock and its timers."""

from nova_libvirt_driver.configurators import inputs as inputs_module
from nova_libvirt_driver.spec import device as device_spec
from nova_libvirt_driver.xmlmodel import domain as domain_module


def apply(domain: domain_module.Domain, inputs: inputs_module.Inputs) -> None:
    """Set the clock, and how it catches up after a pause."""
    windows = inputs.spec.features.os_type is device_spec.OsType.WINDOWS
    domain.clock.offset = 'localtime' if windows else 'utc'
    if not inputs.x86:
        return
    pit = domain.clock.timers.add()
    pit.name = 'pit'
    pit.tickpolicy = 'delay'
    rtc = domain.clock.timers.add()
    rtc.name = 'rtc'
    rtc.tickpolicy = 'catchup'
    hpet = domain.clock.timers.add()
    hpet.name = 'hpet'
    hpet.present = inputs.spec.features.hpet
    if windows and inputs.kvm:
        hyperv = domain.clock.timers.add()
        hyperv.name = 'hypervclock'
        hyperv.present = True
