# SPDX-License-Identifier: Apache-2.0

"""What libvirt says of a host, and of the kinds of guests that it runs."""

from nova_libvirt_driver.xmlmodel import cpu
from nova_libvirt_driver.xmlmodel import element
from nova_libvirt_driver.xmlmodel import fields


class HostCpu(element.Element):
    """The CPU of a host, or of a model."""

    TAG = 'cpu'
    arch = fields.Text('arch')
    model = fields.Text('model')
    vendor = fields.Text('vendor')
    maxphysaddr_mode = fields.Text('maxphysaddr/@mode')
    maxphysaddr_bits = fields.Integer('maxphysaddr/@bits')
    features = fields.Children(cpu.Feature)


class NodePages(element.Element):
    """The memory pages of one size that a NUMA node has."""

    TAG = 'pages'
    size_kib = fields.Size('@size')
    count = fields.Integer('.')


class NodeCpu(element.Element):
    """One logical CPU of a NUMA node."""

    TAG = 'cpu'
    id = fields.Integer('@id')
    socket_id = fields.Integer('@socket_id')
    siblings = fields.CpuSet('@siblings')


class Node(element.Element):
    """A NUMA node of the host."""

    TAG = 'cell'
    id = fields.Integer('@id')
    memory_kib = fields.Size('memory')
    pages = fields.Children(NodePages)
    cpus = fields.Children(NodeCpu, 'cpus')


class BaseLabel(element.Element):
    """What guests of one kind run as."""

    TAG = 'baselabel'
    type = fields.Text('@type')
    label = fields.Text('.')


class SecurityModel(element.Element):
    """A security driver that confines guests."""

    TAG = 'secmodel'
    model = fields.Text('model')
    base_labels = fields.Children(BaseLabel)


class Machine(element.Element):
    """A machine type."""

    TAG = 'machine'
    name = fields.Text('.')
    canonical_name = fields.Text('@canonical')


class Virtualization(element.Element):
    """A kind of virtualization that an emulator has."""

    TAG = 'domain'
    type = fields.Text('@type')
    machines = fields.Children(Machine)


class GuestArch(element.Element):
    """Guests of one architecture."""

    TAG = 'guest'
    os_type = fields.Text('os_type')
    arch = fields.Text('arch/@name')
    emulator = fields.Text('arch/emulator')
    machines = fields.Children(Machine, 'arch')
    virtualizations = fields.Children(Virtualization, 'arch')


class Capabilities(element.Element):
    """What a host is, and which guests it can run."""

    TAG = 'capabilities'
    uuid = fields.Text('host/uuid')
    cpu = fields.Child('host/cpu', HostCpu)
    nodes = fields.Children(Node, 'host/topology/cells')
    security_models = fields.Children(SecurityModel, 'host')
    guests = fields.Children(GuestArch)
