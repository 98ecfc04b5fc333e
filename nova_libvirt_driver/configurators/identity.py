# SPDX-License-Identifier: Apache-2.0

"""Who a guest is: in libvirt, in its metadata, in its firmware tables.

Names are data that users have chosen; in the metadata they are
identifiers nowhere.
"""

import ipaddress

from nova_libvirt_driver.configurators import checks
from nova_libvirt_driver.configurators import inputs as inputs_module
from nova_libvirt_driver import exception
from nova_libvirt_driver.spec import flavor as flavor_spec
from nova_libvirt_driver.spec import guest as guest_spec
from nova_libvirt_driver.spec import instance as instance_spec
from nova_libvirt_driver.spec import nic as nic_spec
from nova_libvirt_driver.xmlmodel import domain as domain_module

# Libvirt makes file names of it.
_NAME_MAX = 200
# Cloud-init takes these for the sign of an OpenStack.
MANUFACTURER = 'OpenStack Foundation'
PRODUCT = 'OpenStack Nova'
FAMILY = 'Virtual Machine'

_SMBIOS = ('aarch64', 'armv7l', 'i686', 'loongarch64', 'x86_64')
"""Architectures for which QEMU makes these tables. For others it refuses to
start, as it did for riscv64 before release 9.0."""


def apply(domain: domain_module.Domain, inputs: inputs_module.Inputs) -> None:
    """Name the guest, and write its instance down.

    :raises InvalidRequest: name or uuid cannot be a domain's, or an address
        is none
    """
    spec = inputs.spec
    _check_name(spec.name)
    if not instance_spec.is_uuid(spec.uuid):
        raise exception.InvalidRequest(
            reason=f'{spec.uuid!r} is no uuid in its canonical form')
    domain.type = inputs.policy.virt_type
    domain.name = spec.name
    domain.uuid = spec.uuid
    _metadata(domain, inputs)


def _check_name(name: str) -> None:
    if not name.strip() or name != name.strip() or name in ('.', '..'):
        raise exception.InvalidRequest(
            reason=f'{name!r} cannot be the name of a domain')
    if '/' in name or len(name.encode()) > _NAME_MAX:
        raise exception.InvalidRequest(
            reason=f'the name {name!r} of a domain has a slash, or more '
            f'than {_NAME_MAX} bytes')


def _metadata(
        domain: domain_module.Domain, inputs: inputs_module.Inputs) -> None:
    """Write the instance down, in Nova's namespace.

    :raises InvalidRequest: an address is none
    """
    spec = inputs.spec.metadata
    element = domain.instance
    element.package_version = checks.clean(spec.package_version)
    element.display_name = checks.clean(spec.display_name)
    # Nova's form of it has a blank in the middle.
    element.creation_time = checks.clean(spec.created_at).replace('T', ' ')
    _flavor(element.flavor, spec.flavor)
    if spec.owner is not None:
        element.user = checks.clean(spec.owner.user_name)
        element.user_uuid = checks.clean(spec.owner.user_id)
        element.project = checks.clean(spec.owner.project_name)
        element.project_uuid = checks.clean(spec.owner.project_id)
    if spec.image_id:
        element.root_type = 'image'
        element.root_uuid = checks.clean(spec.image_id)
    if spec.image is not None:
        _image(element, spec.image_id, spec.image)
    for nic in inputs.spec.nics:
        if nic.id:
            _port(element.ports.add(), nic)


def _flavor(
        element: domain_module.Flavor, flavor: flavor_spec.Flavor) -> None:
    element.name = checks.clean(flavor.name)
    element.id = checks.clean(flavor.id) or None
    element.memory_mib = flavor.memory_mib
    element.disk_gib = flavor.root_gib
    element.swap_mib = flavor.swap_mib
    element.ephemeral_gib = flavor.ephemeral_gib
    element.vcpus = flavor.vcpus
    for name, value in sorted(flavor.extra_specs.items()):
        extra = element.extra_specs.add()
        extra.name = checks.clean(name)
        extra.value = checks.clean(value)


def _image(
        element: domain_module.Instance, image_id: str,
        image: guest_spec.ImageNote) -> None:
    element.image_uuid = checks.clean(image_id)
    element.image_container_format = image.fields.get('containerFormat')
    element.image_disk_format = image.fields.get('diskFormat')
    element.image_min_disk = image.fields.get('minDisk')
    element.image_min_ram = image.fields.get('minRam')
    for name, value in image.properties.items():
        entry = element.image_properties.add()
        entry.name = checks.clean(name)
        entry.value = checks.clean(value)


def _port(element: domain_module.Port, nic: nic_spec.NicSpec) -> None:
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


def add_firmware_tables(
        domain: domain_module.Domain, inputs: inputs_module.Inputs) -> None:
    """Fill the SMBIOS tables in, if the machine has any."""
    if inputs.arch not in _SMBIOS:
        return
    domain.os.smbios_mode = 'sysinfo'
    domain.sysinfo.type = 'smbios'
    version = checks.clean(inputs.spec.metadata.package_version)
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
