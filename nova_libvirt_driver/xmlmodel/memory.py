# SPDX-License-Identifier: Apache-2.0

"""The memory of a domain."""

from nova_libvirt_driver.xmlmodel import element
from nova_libvirt_driver.xmlmodel import fields


class Page(element.Element):
    """Huge pages of one size."""

    TAG = 'page'
    size = fields.Integer('@size')
    unit = fields.Text('@unit')
    nodeset = fields.CpuSet('@nodeset')


class MemoryBacking(element.Element):
    """What backs the memory."""

    TAG = 'memoryBacking'
    hugepages = fields.Flag('hugepages')
    pages = fields.Children(Page, 'hugepages')
    nosharepages = fields.Flag('nosharepages')
    locked = fields.Flag('locked')
    source_type = fields.Text('source/@type')
    access_mode = fields.Text('access/@mode')
    allocation_mode = fields.Text('allocation/@mode')
    discard = fields.Flag('discard')


class Memnode(element.Element):
    """Where the memory of one cell is."""

    TAG = 'memnode'
    cellid = fields.Integer('@cellid')
    mode = fields.Text('@mode')
    nodeset = fields.CpuSet('@nodeset')


class Numatune(element.Element):
    """Where the memory is."""

    TAG = 'numatune'
    mode = fields.Text('memory/@mode')
    nodeset = fields.CpuSet('memory/@nodeset')
    memnodes = fields.Children(Memnode)
