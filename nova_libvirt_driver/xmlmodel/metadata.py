# SPDX-License-Identifier: Apache-2.0

"""What a domain remembers of its instance, in Nova's namespace."""

from nova_libvirt_driver.xmlmodel import element
from nova_libvirt_driver.xmlmodel import fields

NAMESPACE = 'http://openstack.org/xmlns/libvirt/nova/1.1'

_NOVA = f'{{{NAMESPACE}}}'


class ExtraSpec(element.Element):
    """One extra spec of the flavor."""

    TAG = f'{_NOVA}extraSpec'
    NAMESPACES = {'nova': NAMESPACE}

    name = fields.Text('@name')
    value = fields.Text('.')


class Flavor(element.Element):
    """The flavor that the instance was made by."""

    TAG = f'{_NOVA}flavor'
    NAMESPACES = {'nova': NAMESPACE}

    name = fields.Text('@name')
    id = fields.Text('@id')
    memory_mib = fields.Integer(f'{_NOVA}memory')
    disk_gib = fields.Integer(f'{_NOVA}disk')
    swap_mib = fields.Integer(f'{_NOVA}swap')
    ephemeral_gib = fields.Integer(f'{_NOVA}ephemeral')
    vcpus = fields.Integer(f'{_NOVA}vcpus')
    extra_specs = fields.Children(ExtraSpec, f'{_NOVA}extraSpecs')


class Ip(element.Element):
    """An address of a port."""

    TAG = f'{_NOVA}ip'
    NAMESPACES = {'nova': NAMESPACE}

    type = fields.Text('@type')
    address = fields.Text('@address')
    version = fields.Text('@ipVersion')


class Port(element.Element):
    """A port of the instance."""

    TAG = f'{_NOVA}port'
    NAMESPACES = {'nova': NAMESPACE}

    uuid = fields.Text('@uuid')
    ips = fields.Children(Ip)


class Instance(element.Element):
    """The instance."""

    TAG = f'{_NOVA}instance'
    NAMESPACES = {'nova': NAMESPACE}

    package_version = fields.Text(f'{_NOVA}package/@version')
    display_name = fields.Text(f'{_NOVA}name')
    creation_time = fields.Text(f'{_NOVA}creationTime')
    flavor = fields.Child(f'{_NOVA}flavor', Flavor)
    user = fields.Text(f'{_NOVA}owner/{_NOVA}user')
    user_uuid = fields.Text(f'{_NOVA}owner/{_NOVA}user/@uuid')
    project = fields.Text(f'{_NOVA}owner/{_NOVA}project')
    project_uuid = fields.Text(f'{_NOVA}owner/{_NOVA}project/@uuid')
    root_type = fields.Text(f'{_NOVA}root/@type')
    root_uuid = fields.Text(f'{_NOVA}root/@uuid')
    ports = fields.Children(Port, f'{_NOVA}ports')
