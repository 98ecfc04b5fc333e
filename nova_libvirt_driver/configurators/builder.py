# SPDX-License-Identifier: Apache-2.0

"""The XML of a guest: an ordered list of facets, each applied once."""

from collections.abc import Callable

from nova_libvirt_driver.configurators import boot
from nova_libvirt_driver.configurators import checks
from nova_libvirt_driver.configurators import consoles
from nova_libvirt_driver.configurators import controllers
from nova_libvirt_driver.configurators import cpu
from nova_libvirt_driver.configurators import devices
from nova_libvirt_driver.configurators import disks
from nova_libvirt_driver.configurators import display
from nova_libvirt_driver.configurators import features
from nova_libvirt_driver.configurators import identity
from nova_libvirt_driver.configurators import inputs as inputs_module
from nova_libvirt_driver.configurators import interfaces
from nova_libvirt_driver.configurators import memory
from nova_libvirt_driver.xmlmodel import domain as domain_module

Facet = Callable[[domain_module.Domain, inputs_module.Inputs], None]

#: In the order of the elements in libvirt's own output, as far as it goes;
#: encryption comes last because it changes what others have made.
FACETS: tuple[Facet, ...] = (
    identity.apply,
    memory.apply,
    cpu.apply,
    identity.add_firmware_tables,
    boot.apply,
    features.apply,
    disks.apply,
    controllers.add_pcie,
    controllers.add_usb,
    interfaces.apply,
    consoles.add_serial,
    consoles.add_agent,
    display.add_inputs,
    devices.add_tpm,
    consoles.add_graphics,
    devices.add_sound,
    display.add_video,
    consoles.add_redirections,
    devices.add_watchdog,
    devices.add_balloon,
    devices.add_rng,
    devices.add_iommu,
    devices.add_vsock,
    memory.encrypt,
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
