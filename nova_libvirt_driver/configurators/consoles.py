# SPDX-License-Identifier: Apache-2.0

"""The facet of serial ports, the first of which is logged."""

from nova_libvirt_driver.configurators import checks
from nova_libvirt_driver.configurators import inputs as inputs_module
from nova_libvirt_driver import exception
from nova_libvirt_driver.spec import console as console_spec
from nova_libvirt_driver.xmlmodel.devices import character
from nova_libvirt_driver.xmlmodel import domain as domain_module

# What a PC has.
_PORTS_MAX = 4


def apply(domain: domain_module.Domain, inputs: inputs_module.Inputs) -> None:
    """Add the serial ports; libvirt adds the console to the first.

    :raises InvalidRequest: a port lacks its number, or there are too many
    """
    consoles = inputs.spec.consoles
    if len(consoles.serials) > _PORTS_MAX:
        raise exception.InvalidRequest(
            reason=f'a guest has {_PORTS_MAX} serial ports at the most')
    checks.distinct('the serial console at', (
        f'{one.listen}:{one.port}' for one in consoles.serials
        if one.kind is console_spec.SerialKind.TCP))
    for number, serial in enumerate(consoles.serials):
        element = domain.devices.serials.add()
        element.type = serial.kind.value
        if serial.kind is console_spec.SerialKind.TCP:
            _listen(element, serial)
        element.target_port = number
        if number == 0 and consoles.log:
            checks.path('the console log', inputs.console_log)
            element.log_file = inputs.console_log
            # Each start begins a log of its own.
            element.log_append = False


def _listen(
        element: character.Serial, serial: console_spec.SerialSpec) -> None:
    if serial.port is None or not 0 < serial.port < 65536:
        raise exception.InvalidRequest(
            reason=f'a serial console cannot listen at port {serial.port}')
    element.source_mode = 'bind'
    element.source_host = serial.listen
    element.source_service = serial.port
    element.protocol = 'raw'
