# SPDX-License-Identifier: Apache-2.0

"""Which features a CPU has, by libvirt's names for them."""

import libvirt

from nova_libvirt_driver.calls import errors
from nova_libvirt_driver.calls import protocol
from nova_libvirt_driver.xmlmodel import capabilities

# The CPU of a host states no policies. An optional feature may be missing.
_PRESENT = (None, 'force', 'require')


def expanded(
        connection: protocol.Connection,
        cpu: capabilities.HostCpu) -> frozenset[str]:
    """Return the features of a CPU, those of its model among them.

    One call. A feature that libvirt lists as disabled, as version 11 does
    for what a host lacks of its CPU's model, is not one of them.
    """
    if cpu.model is None:
        return _named(cpu)
    try:
        xml = connection.baselineCPU(
            [cpu.to_xml(pretty=False)],
            libvirt.VIR_CONNECT_BASELINE_CPU_EXPAND_FEATURES)
    except libvirt.libvirtError as error:
        if errors.is_unsupported(error):
            return _named(cpu)
        raise
    return _named(capabilities.HostCpu.parse(xml))


def of_model(
        connection: protocol.Connection, arch: str,
        model: str) -> frozenset[str]:
    """Return the features of a CPU model; one call."""
    cpu = capabilities.HostCpu()
    cpu.arch = arch
    cpu.model = model
    return expanded(connection, cpu)


def _named(cpu: capabilities.HostCpu) -> frozenset[str]:
    return frozenset(feature.name or '' for feature in cpu.features
                     if feature.policy in _PRESENT)
