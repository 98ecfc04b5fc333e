# SPDX-License-Identifier: Apache-2.0

"""What libvirt says of what guests of one machine type can have."""

from nova_libvirt_driver.xmlmodel import element
from nova_libvirt_driver.xmlmodel import fields


class Value(element.Element):
    """One of the values that something can have."""

    TAG = 'value'
    text = fields.Text('.')


class Choice(element.Element):
    """The values that one attribute can have."""

    TAG = 'enum'
    name = fields.Text('@name')
    values = fields.Children(Value)


class Support(element.Element):
    """Whether guests can have something, and of which kinds."""

    supported = fields.YesNo('@supported')
    choices = fields.Children(Choice)


class OsSupport(Support):
    """What guests can start from."""

    TAG = 'os'


class LoaderSupport(Support):
    """Firmware that guests can start from."""

    TAG = 'loader'
    paths = fields.Children(Value)


class MemorySupport(Support):
    """What the memory of guests can be made of."""

    TAG = 'memoryBacking'


class DiskSupport(Support):
    """Disks that guests can have."""

    TAG = 'disk'


class GraphicsSupport(Support):
    """Graphical consoles that guests can have."""

    TAG = 'graphics'


class VideoSupport(Support):
    """Graphics cards that guests can have."""

    TAG = 'video'


class RngSupport(Support):
    """Sources of random numbers that guests can have."""

    TAG = 'rng'


class TpmSupport(Support):
    """Trusted platform modules that guests can have."""

    TAG = 'tpm'


class CpuModel(element.Element):
    """A model of a CPU."""

    TAG = 'model'
    name = fields.Text('.')
    usable = fields.Text('@usable')


class CpuMode(element.Element):
    """A way to choose a CPU."""

    TAG = 'mode'
    name = fields.Text('@name')
    supported = fields.YesNo('@supported')
    models = fields.Children(CpuModel)


class DomainCapabilities(element.Element):
    """What guests of one machine type can have."""

    TAG = 'domainCapabilities'
    machine = fields.Text('machine')
    arch = fields.Text('arch')
    os = fields.Child('os', OsSupport)
    loader = fields.Child('os/loader', LoaderSupport)
    cpu_modes = fields.Children(CpuMode, 'cpu')
    memory = fields.Child('memoryBacking', MemorySupport)
    disk = fields.Child('devices/disk', DiskSupport)
    graphics = fields.Child('devices/graphics', GraphicsSupport)
    video = fields.Child('devices/video', VideoSupport)
    rng = fields.Child('devices/rng', RngSupport)
    tpm = fields.Child('devices/tpm', TpmSupport)
    sev = fields.YesNo('features/sev/@supported')
