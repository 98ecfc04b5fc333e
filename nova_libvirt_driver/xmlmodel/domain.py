# SPDX-License-Identifier: Apache-2.0

"""A whole domain."""

from typing import Self

from nova_libvirt_driver.xmlmodel import cpu
from nova_libvirt_driver.xmlmodel.devices import devices
from nova_libvirt_driver.xmlmodel import element
from nova_libvirt_driver.xmlmodel import features
from nova_libvirt_driver.xmlmodel import fields
from nova_libvirt_driver.xmlmodel import memory
from nova_libvirt_driver.xmlmodel import metadata
from nova_libvirt_driver.xmlmodel import os


class Seclabel(element.Element):
    """The label of one security driver."""

    TAG = 'seclabel'
    type = fields.Text('@type')
    model = fields.Text('@model')
    relabel = fields.YesNo('@relabel')
    label = fields.Text('label')
    base_label = fields.Text('baselabel')
    image_label = fields.Text('imagelabel')


class Domain(element.Element):
    """A domain."""

    TAG = 'domain'

    @classmethod
    def parse(cls, xml: str) -> Self:
        """Read a domain; what an older Nova noted counts as today's.

        :raises ValueError: it is not the XML of a domain
        """
        made = super().parse(xml)
        metadata.modernize(made.element)
        return made
    type = fields.Text('@type')
    id = fields.Integer('@id')
    name = fields.Text('name')
    uuid = fields.Text('uuid')
    title = fields.Text('title')
    description = fields.Text('description')
    instance = fields.Child(
        f'metadata/{metadata.Instance.TAG}', metadata.Instance)
    memory_kib = fields.Size('memory')
    current_memory_kib = fields.Size('currentMemory')
    memory_backing = fields.Child('memoryBacking', memory.MemoryBacking)
    vcpus = fields.Integer('vcpu')
    vcpu_placement = fields.Text('vcpu/@placement')
    vcpu_cpuset = fields.CpuSet('vcpu/@cpuset')
    vcpu_current = fields.Integer('vcpu/@current')
    iothreads = fields.Integer('iothreads')
    numatune = fields.Child('numatune', memory.Numatune)
    cputune = fields.Child('cputune', cpu.Cputune)
    resource_partition = fields.Text('resource/partition')
    sysinfo = fields.Child('sysinfo', os.Sysinfo)
    os = fields.Child('os', os.Os)
    # Before "features", which hides the module of that name.
    clock = fields.Child('clock', features.Clock)
    features = fields.Child('features', features.Features)
    cpu = fields.Child('cpu', cpu.Cpu)
    on_poweroff = fields.Text('on_poweroff')
    on_reboot = fields.Text('on_reboot')
    on_crash = fields.Text('on_crash')
    pm_suspend_to_mem = fields.YesNo('pm/suspend-to-mem/@enabled')
    pm_suspend_to_disk = fields.YesNo('pm/suspend-to-disk/@enabled')
    launch_security_type = fields.Text('launchSecurity/@type')
    launch_security_policy = fields.Text('launchSecurity/policy')
    devices = fields.Child('devices', devices.Devices)
    seclabels = fields.Children(Seclabel)
