# SPDX-License-Identifier: Apache-2.0

"""Disks."""

from nova_libvirt_driver.xmlmodel.devices import device
from nova_libvirt_driver.xmlmodel import element
from nova_libvirt_driver.xmlmodel import fields


_SOURCE = ('source', 'auth', 'encryption')


class NetworkHost(element.Element):
    """One server of a network disk."""

    TAG = 'host'
    name = fields.Text('@name')
    port = fields.Integer('@port')
    transport = fields.Text('@transport')
    socket = fields.Text('@socket')


class IoTune(element.Element):
    """Limits of a disk."""

    TAG = 'iotune'
    total_bytes_sec = fields.Integer('total_bytes_sec')
    read_bytes_sec = fields.Integer('read_bytes_sec')
    write_bytes_sec = fields.Integer('write_bytes_sec')
    total_iops_sec = fields.Integer('total_iops_sec')
    read_iops_sec = fields.Integer('read_iops_sec')
    write_iops_sec = fields.Integer('write_iops_sec')
    total_bytes_sec_max = fields.Integer('total_bytes_sec_max')
    read_bytes_sec_max = fields.Integer('read_bytes_sec_max')
    write_bytes_sec_max = fields.Integer('write_bytes_sec_max')
    total_iops_sec_max = fields.Integer('total_iops_sec_max')
    read_iops_sec_max = fields.Integer('read_iops_sec_max')
    write_iops_sec_max = fields.Integer('write_iops_sec_max')
    size_iops_sec = fields.Integer('size_iops_sec')


class Disk(device.Bootable):
    """A disk, floppy or CD drive."""

    TAG = 'disk'
    type = fields.Text('@type')
    device = fields.Text('@device')
    driver_name = fields.Text('driver/@name')
    driver_type = fields.Text('driver/@type')
    driver_cache = fields.Text('driver/@cache')
    driver_io = fields.Text('driver/@io')
    driver_discard = fields.Text('driver/@discard')
    driver_queues = fields.Integer('driver/@queues')
    driver_iommu = fields.OnOff('driver/@iommu')
    driver_packed = fields.OnOff('driver/@packed')
    source_file = fields.Text('source/@file')
    source_dev = fields.Text('source/@dev')
    source_protocol = fields.Text('source/@protocol')
    source_name = fields.Text('source/@name')
    source_pool = fields.Text('source/@pool')
    source_volume = fields.Text('source/@volume')
    source_dir = fields.Text('source/@dir')
    source_hosts = fields.Children(NetworkHost, 'source')
    auth_username = fields.Text('auth/@username')
    auth_secret_type = fields.Text('auth/secret/@type')
    auth_secret_uuid = fields.Text('auth/secret/@uuid')
    encryption_format = fields.Text('encryption/@format')
    encryption_engine = fields.Text('encryption/@engine')
    encryption_secret_type = fields.Text('encryption/secret/@type')
    encryption_secret_uuid = fields.Text('encryption/secret/@uuid')
    backing_format = fields.Text('backingStore/format/@type')
    backing_file = fields.Text('backingStore/source/@file')
    mirror_job = fields.Text('mirror/@job')
    mirror_ready = fields.Text('mirror/@ready')
    target_dev = fields.Text('target/@dev')
    target_bus = fields.Text('target/@bus')
    logical_block_size = fields.Integer('blockio/@logical_block_size')
    physical_block_size = fields.Integer('blockio/@physical_block_size')
    iotune = fields.Child('iotune', IoTune)
    readonly = fields.Flag('readonly')
    shareable = fields.Flag('shareable')
    serial = fields.Text('serial')
    wwn = fields.Text('wwn')

    def backing_files(self) -> list[str]:
        """Return the files below that which a running guest writes to."""
        return [str(source.get('file')) for source in self.element.iterfind(
            './/backingStore/source')]

    def take_source(self, other: 'Disk') -> None:
        """Have the bytes of another disk from now on."""
        self.type = other.type
        for node in [*self.element.iterchildren(*_SOURCE, 'backingStore')]:
            element.detach(node, self.element)
        self.element.extend(other.copy().element.iterchildren(*_SOURCE))

    def forget_backing(self) -> None:
        """Say nothing of what the disk is based on: it says so itself."""
        for node in [*self.element.iterchildren('backingStore')]:
            element.detach(node, self.element)
