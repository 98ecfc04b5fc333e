# SPDX-License-Identifier: Apache-2.0

"""The facet of firmware tables, by which a guest knows where it is."""

from nova_libvirt_driver.configurators import inputs as inputs_module
from nova_libvirt_driver.configurators import text
from nova_libvirt_driver.xmlmodel import domain as domain_module

# Cloud-init takes these for the sign of an OpenStack.
MANUFACTURER = 'OpenStack Foundation'
PRODUCT = 'OpenStack Nova'
FAMILY = 'Virtual Machine'


def apply(domain: domain_module.Domain, inputs: inputs_module.Inputs) -> None:
    """Fill the SMBIOS tables in."""
    domain.os.smbios_mode = 'sysinfo'
    domain.sysinfo.type = 'smbios'
    version = text.clean(inputs.spec.metadata.package_version)
    for name, value in (
            ('manufacturer', MANUFACTURER), ('product', PRODUCT),
            ('version', version), ('serial', _serial(inputs)),
            ('uuid', inputs.spec.uuid), ('family', FAMILY)):
        if value:
            entry = domain.sysinfo.system_entries.add()
            entry.name = name
            entry.value = value


def _serial(inputs: inputs_module.Inputs) -> str:
    """Return the serial number; empty for none."""
    host = inputs.host
    return {
        'unique': inputs.spec.uuid,
        'os': host.machine_id,
        'hardware': host.host_uuid,
        'auto': host.machine_id or host.host_uuid,
    }.get(inputs.policy.sysinfo_serial, '')
