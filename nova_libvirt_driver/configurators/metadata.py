# SPDX-License-Identifier: Apache-2.0

"""The facet of metadata: what the domain remembers of its instance.

All of it was named by users; it is data here and an identifier nowhere.
"""

import ipaddress

from nova_libvirt_driver.configurators import inputs as inputs_module
from nova_libvirt_driver.configurators import text
from nova_libvirt_driver import exception
from nova_libvirt_driver.spec import flavor as flavor_spec
from nova_libvirt_driver.spec import nic as nic_spec
from nova_libvirt_driver.xmlmodel import domain as domain_module
from nova_libvirt_driver.xmlmodel import metadata as metadata_module


def apply(domain: domain_module.Domain, inputs: inputs_module.Inputs) -> None:
    """Write the instance down, in Nova's namespace.

    :raises InvalidRequest: an address is none
    """
    spec = inputs.spec.metadata
    element = domain.instance
    element.package_version = text.clean(spec.package_version)
    element.display_name = text.clean(spec.display_name)
    # Nova's form of it has a blank in the middle.
    element.creation_time = text.clean(spec.created_at).replace('T', ' ')
    _flavor(element.flavor, spec.flavor)
    if spec.owner is not None:
        element.user = text.clean(spec.owner.user_name)
        element.user_uuid = text.clean(spec.owner.user_id)
        element.project = text.clean(spec.owner.project_name)
        element.project_uuid = text.clean(spec.owner.project_id)
    if spec.image_id:
        element.root_type = 'image'
        element.root_uuid = text.clean(spec.image_id)
    for nic in inputs.spec.nics:
        if nic.id:
            _port(element.ports.add(), nic)


def _flavor(
        element: metadata_module.Flavor, flavor: flavor_spec.Flavor) -> None:
    element.name = text.clean(flavor.name)
    element.id = text.clean(flavor.id) or None
    element.memory_mib = flavor.memory_mib
    element.disk_gib = flavor.root_gib
    element.swap_mib = flavor.swap_mib
    element.ephemeral_gib = flavor.ephemeral_gib
    element.vcpus = flavor.vcpus
    for name, value in sorted(flavor.extra_specs.items()):
        extra = element.extra_specs.add()
        extra.name = text.clean(name)
        extra.value = text.clean(value)


def _port(element: metadata_module.Port, nic: nic_spec.NicSpec) -> None:
    element.uuid = nic.id
    for one in nic.addresses:
        try:
            version = ipaddress.ip_address(one.address).version
        except ValueError as error:
            raise exception.InvalidRequest(
                reason=f'{one.address!r} is no address') from error
        ip = element.ips.add()
        ip.type = 'fixed'
        ip.address = one.address
        ip.version = str(version)
