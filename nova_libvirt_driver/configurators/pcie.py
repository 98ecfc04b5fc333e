# SPDX-License-Identifier: Apache-2.0

"""The facet of PCI Express ports, for devices that are plugged in later."""

from nova_libvirt_driver.configurators import inputs as inputs_module
from nova_libvirt_driver.configurators import machine
from nova_libvirt_driver.xmlmodel import domain as domain_module


def apply(domain: domain_module.Domain, inputs: inputs_module.Inputs) -> None:
    """Add the ports of the host's policy, where the machine has such."""
    if not inputs.policy.pcie_ports or not machine.has_pcie(inputs):
        return
    root = domain.devices.controllers.add()
    root.type = 'pci'
    root.index = 0
    root.model = 'pcie-root'
    for index in range(inputs.policy.pcie_ports):
        port = domain.devices.controllers.add()
        port.type = 'pci'
        port.index = index + 1
        port.model = 'pcie-root-port'
