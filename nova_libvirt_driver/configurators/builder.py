# SPDX-License-Identifier: Apache-2.0

"""The XML of a guest: an ordered list of facets, each applied once."""

from collections.abc import Callable

from nova_libvirt_driver.configurators import agent
from nova_libvirt_driver.configurators import balloon
from nova_libvirt_driver.configurators import boot
from nova_libvirt_driver.configurators import checks
from nova_libvirt_driver.configurators import clock
from nova_libvirt_driver.configurators import consoles
from nova_libvirt_driver.configurators import cpu
from nova_libvirt_driver.configurators import disks
from nova_libvirt_driver.configurators import encryption
from nova_libvirt_driver.configurators import features
from nova_libvirt_driver.configurators import graphics
from nova_libvirt_driver.configurators import identity
from nova_libvirt_driver.configurators import input_devices
from nova_libvirt_driver.configurators import inputs as inputs_module
from nova_libvirt_driver.configurators import interfaces
from nova_libvirt_driver.configurators import iommu
from nova_libvirt_driver.configurators import memory
from nova_libvirt_driver.configurators import metadata
from nova_libvirt_driver.configurators import numa
from nova_libvirt_driver.configurators import pcie
from nova_libvirt_driver.configurators import pinning
from nova_libvirt_driver.configurators import redirection
from nova_libvirt_driver.configurators import rng
from nova_libvirt_driver.configurators import sound
from nova_libvirt_driver.configurators import sysinfo
from nova_libvirt_driver.configurators import tpm
from nova_libvirt_driver.configurators import usb
from nova_libvirt_driver.configurators import video
from nova_libvirt_driver.configurators import vsock
from nova_libvirt_driver.configurators import watchdog
from nova_libvirt_driver.xmlmodel import domain as domain_module

Facet = Callable[[domain_module.Domain, inputs_module.Inputs], None]

#: In the order of the elements in libvirt's own output, as far as it goes;
#: encryption comes last because it changes what others have made.
FACETS: tuple[Facet, ...] = (
    identity.apply,
    metadata.apply,
    memory.apply,
    cpu.apply,
    numa.apply,
    pinning.apply,
    sysinfo.apply,
    boot.apply,
    features.apply,
    clock.apply,
    pcie.apply,
    usb.apply,
    disks.apply,
    interfaces.apply,
    consoles.apply,
    agent.apply,
    input_devices.apply,
    tpm.apply,
    graphics.apply,
    sound.apply,
    video.apply,
    redirection.apply,
    watchdog.apply,
    balloon.apply,
    rng.apply,
    iommu.apply,
    vsock.apply,
    encryption.apply,
)


def build(inputs: inputs_module.Inputs) -> domain_module.Domain:
    """Return the domain of a guest.

    :raises InvalidRequest: the request contradicts itself
    :raises UnsupportedOperation: the host cannot do what is asked for
    """
    checks.plain_texts(inputs)
    domain = domain_module.Domain()
    for facet in FACETS:
        facet(domain, inputs)
    return domain
