# SPDX-License-Identifier: Apache-2.0

"""A whole domain, and what it remembers of its instance for Nova."""

import itertools
import re
from typing import Self

from lxml import etree

from nova_libvirt_driver.xmlmodel import cpu
from nova_libvirt_driver.xmlmodel.devices import devices
from nova_libvirt_driver.xmlmodel import element
from nova_libvirt_driver.xmlmodel import features
from nova_libvirt_driver.xmlmodel import fields
from nova_libvirt_driver.xmlmodel import memory
from nova_libvirt_driver.xmlmodel import os

NAMESPACE = 'http://openstack.org/xmlns/libvirt/nova/1.1'

_NOVA = f'{{{NAMESPACE}}}'

# Nova 23 and before wrote 1.0, which has neither ports nor extra specs.
_OF_NOVA = re.compile(
    r'\{(http://openstack\.org/xmlns/libvirt/nova/1\.\d+)\}(.*)')

INSTANCE = (
    "metadata/*[local-name() = 'instance' and number(substring-after("
    "namespace-uri(), 'http://openstack.org/xmlns/libvirt/nova/1.')) >= 0]")
"""XPath of what any Nova, or this driver, has noted."""

DISPLAY_NAME = f"{INSTANCE}/*[local-name() = 'name']"


def namespace_in(xml: str) -> str:
    """Return Nova's namespace in a domain, today's where there is none."""
    for node in element.read(xml).iterfind('metadata/*'):
        if found := _OF_NOVA.fullmatch(str(node.tag)):
            return found[1]
    return NAMESPACE


def modernize(domain: etree._Element) -> None:
    """Put what any Nova has noted in a domain into today's namespace."""
    # Every domain that is read comes by here: iterfind() takes longer.
    for instance in itertools.chain(*domain.iterchildren('metadata')):
        if str(instance.tag).startswith(_NOVA):
            continue
        for node in instance.iter(etree.Element):
            if found := _OF_NOVA.fullmatch(str(node.tag)):
                node.tag = f'{_NOVA}{found[2]}'


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


class ImageProperty(element.Element):
    """One property of the image."""

    TAG = f'{_NOVA}property'
    NAMESPACES = {'nova': NAMESPACE}

    name = fields.Text('@name')
    value = fields.Text('.')


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
    image_uuid = fields.Text(f'{_NOVA}image/@uuid')
    image_container_format = fields.Text(
        f'{_NOVA}image/{_NOVA}containerFormat')
    image_disk_format = fields.Text(f'{_NOVA}image/{_NOVA}diskFormat')
    image_min_disk = fields.Text(f'{_NOVA}image/{_NOVA}minDisk')
    image_min_ram = fields.Text(f'{_NOVA}image/{_NOVA}minRam')
    image_properties = fields.Children(
        ImageProperty, f'{_NOVA}image/{_NOVA}properties')
    ports = fields.Children(Port, f'{_NOVA}ports')


class BareInstance(element.Element):
    """The instance by itself: libvirt takes the namespace off."""

    TAG = 'instance'

    display_name = fields.Text('name')


class PerfEvent(element.Element):
    """A figure of the processor that the kernel counts for the guest."""

    TAG = 'event'
    name = fields.Text('@name')
    enabled = fields.YesNo('@enabled')


class Domain(element.Element):
    """A domain."""

    TAG = 'domain'

    @classmethod
    def parse(cls, xml: str) -> Self:
        """Read a domain; what an older Nova noted counts as today's.

        :raises ValueError: it is not the XML of a domain
        """
        made = super().parse(xml)
        modernize(made.element)
        return made
    type = fields.Text('@type')
    id = fields.Integer('@id')
    name = fields.Text('name')
    uuid = fields.Text('uuid')
    title = fields.Text('title')
    description = fields.Text('description')
    instance = fields.Child(
        f'metadata/{Instance.TAG}', Instance)
    memory_kib = fields.Size('memory')
    memory_backing = fields.Child('memoryBacking', memory.MemoryBacking)
    vcpus = fields.Integer('vcpu')
    vcpu_cpuset = fields.CpuSet('vcpu/@cpuset')
    iothreads = fields.Integer('iothreads')
    numatune = fields.Child('numatune', memory.Numatune)
    cputune = fields.Child('cputune', cpu.Cputune)
    sysinfo = fields.Child('sysinfo', os.Sysinfo)
    os = fields.Child('os', os.Os)
    # Before "features", which hides the module of that name.
    clock = fields.Child('clock', features.Clock)
    features = fields.Child('features', features.Features)
    cpu = fields.Child('cpu', cpu.Cpu)
    on_poweroff = fields.Text('on_poweroff')
    on_reboot = fields.Text('on_reboot')
    on_crash = fields.Text('on_crash')
    launch_security_type = fields.Text('launchSecurity/@type')
    launch_security_policy = fields.Text('launchSecurity/policy')
    perf_events = fields.Children(PerfEvent, 'perf')
    devices = fields.Child('devices', devices.Devices)
