# SPDX-License-Identifier: Apache-2.0

"""The CPU of a domain, and where it runs."""

from nova_libvirt_driver.xmlmodel import element
from nova_libvirt_driver.xmlmodel import fields


class Feature(element.Element):
    """A feature of the CPU."""

    TAG = 'feature'
    policy = fields.Text('@policy')
    name = fields.Text('@name')


class Cell(element.Element):
    """A NUMA cell of the guest."""

    TAG = 'cell'
    id = fields.Integer('@id')
    cpus = fields.CpuSet('@cpus')
    memory_kib = fields.Size('@memory')
    unit = fields.Text('@unit')
    mem_access = fields.Text('@memAccess')
    discard = fields.YesNo('@discard')


class Cpu(element.Element):
    """The CPU."""

    TAG = 'cpu'
    mode = fields.Text('@mode')
    match = fields.Text('@match')
    check = fields.Text('@check')
    migratable = fields.OnOff('@migratable')
    model = fields.Text('model')
    model_fallback = fields.Text('model/@fallback')
    vendor = fields.Text('vendor')
    sockets = fields.Integer('topology/@sockets')
    cores = fields.Integer('topology/@cores')
    threads = fields.Integer('topology/@threads')
    maxphysaddr_mode = fields.Text('maxphysaddr/@mode')
    maxphysaddr_bits = fields.Integer('maxphysaddr/@bits')
    cache_mode = fields.Text('cache/@mode')
    features = fields.Children(Feature)
    cells = fields.Children(Cell, 'numa')


class Vcpupin(element.Element):
    """Where one virtual CPU may run."""

    TAG = 'vcpupin'
    vcpu = fields.Integer('@vcpu')
    cpuset = fields.CpuSet('@cpuset')


class Iothreadpin(element.Element):
    """Where one thread for input and output may run."""

    TAG = 'iothreadpin'
    iothread = fields.Integer('@iothread')
    cpuset = fields.CpuSet('@cpuset')


class Vcpusched(element.Element):
    """How virtual CPUs are scheduled."""

    TAG = 'vcpusched'
    vcpus = fields.CpuSet('@vcpus')
    scheduler = fields.Text('@scheduler')
    priority = fields.Integer('@priority')


class Cputune(element.Element):
    """Placement and shares of CPU time."""

    TAG = 'cputune'
    shares = fields.Integer('shares')
    period = fields.Integer('period')
    quota = fields.Integer('quota')
    vcpupins = fields.Children(Vcpupin)
    iothreadpins = fields.Children(Iothreadpin)
    emulatorpin = fields.CpuSet('emulatorpin/@cpuset')
    vcpuscheds = fields.Children(Vcpusched)
