# SPDX-License-Identifier: Apache-2.0

"""What a CPU has, by libvirt's names of features."""

import libvirt
from lxml import etree

from nova_libvirt_driver.connection import errors
from nova_libvirt_driver.connection import protocol
from nova_libvirt_driver.host import host_capabilities


def expanded(
        connection: protocol.Connection,
        cpu: etree._Element | None) -> frozenset[str]:
    """Return the features of a CPU, those of its model among them.

    One call.

    :param cpu: element ``cpu``, as it is in the capabilities
    """
    if cpu is None or cpu.find('model') is None:
        return _named(cpu)
    try:
        xml = connection.baselineCPU(
            [etree.tostring(cpu, encoding='unicode')],
            libvirt.VIR_CONNECT_BASELINE_CPU_EXPAND_FEATURES)
    except libvirt.libvirtError as error:
        if errors.is_unsupported(error):
            return _named(cpu)
        raise
    return _named(host_capabilities.parse_xml(xml))


def of_model(
        connection: protocol.Connection, arch: str,
        model: str) -> frozenset[str]:
    """Return the features of a CPU model; one call."""
    cpu = etree.Element('cpu')
    etree.SubElement(cpu, 'arch').text = arch
    etree.SubElement(cpu, 'model').text = model
    return expanded(connection, cpu)


def _named(cpu: etree._Element | None) -> frozenset[str]:
    if cpu is None:
        return frozenset()
    return frozenset(
        feature.get('name', '') for feature in cpu.iterfind('feature'))
