# SPDX-License-Identifier: Apache-2.0

"""Which features a CPU has, by libvirt's names for them."""

import libvirt

from nova_libvirt_driver.calls import errors
from nova_libvirt_driver.calls import protocol
from nova_libvirt_driver import exception
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


def check(
        connection: protocol.Connection, cpu_xml: str,
        virt_type: str) -> None:
    """See whether guests can have a CPU here; one call.

    Libvirt compares only those of some architectures; others pass.

    :raises UnsupportedOperation: they cannot, with what is missing
    """
    try:
        connection.compareHypervisorCPU(
            None, None, None, virt_type, cpu_xml,
            libvirt.VIR_CONNECT_COMPARE_CPU_FAIL_INCOMPATIBLE)
    except libvirt.libvirtError as error:
        if errors.is_unsupported(error) or error.get_error_code() == (
                libvirt.VIR_ERR_OPERATION_UNSUPPORTED):
            return
        if error.get_error_code() == libvirt.VIR_ERR_CPU_INCOMPATIBLE:
            raise exception.UnsupportedOperation(
                tried='give a guest that CPU',
                reason=errors.text(error)) from error
        raise


def _named(cpu: capabilities.HostCpu) -> frozenset[str]:
    return frozenset(feature.name or '' for feature in cpu.features
                     if feature.policy in _PRESENT)
