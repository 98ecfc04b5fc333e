# SPDX-License-Identifier: Apache-2.0

"""Network interfaces."""

from nova_libvirt_driver.xmlmodel.devices import device
from nova_libvirt_driver.xmlmodel import element
from nova_libvirt_driver.xmlmodel import fields


_PLACE = ('source', 'target', 'virtualport', 'filterref', 'bandwidth')


class Bandwidth(element.Element):
    """Limits of both directions."""

    TAG = 'bandwidth'
    inbound_average = fields.Integer('inbound/@average')
    inbound_peak = fields.Integer('inbound/@peak')
    inbound_burst = fields.Integer('inbound/@burst')
    outbound_average = fields.Integer('outbound/@average')
    outbound_peak = fields.Integer('outbound/@peak')
    outbound_burst = fields.Integer('outbound/@burst')


class Interface(device.Bootable):
    """A network interface."""

    TAG = 'interface'
    type = fields.Text('@type')
    mac = fields.Text('mac/@address')
    source_bridge = fields.Text('source/@bridge')
    source_network = fields.Text('source/@network')
    source_dev = fields.Text('source/@dev')
    source_mode = fields.Text('source/@mode')
    source_type = fields.Text('source/@type')
    source_path = fields.Text('source/@path')
    target_dev = fields.Text('target/@dev')
    target_managed = fields.YesNo('target/@managed')
    model = fields.Text('model/@type')
    driver_name = fields.Text('driver/@name')
    driver_queues = fields.Integer('driver/@queues')
    driver_rx_queue_size = fields.Integer('driver/@rx_queue_size')
    driver_tx_queue_size = fields.Integer('driver/@tx_queue_size')
    driver_iommu = fields.OnOff('driver/@iommu')
    driver_packed = fields.OnOff('driver/@packed')
    mtu = fields.Integer('mtu/@size')
    bandwidth = fields.Child('bandwidth', Bandwidth)
    filter_name = fields.Text('filterref/@filter')
    virtualport_type = fields.Text('virtualport/@type')
    virtualport_interface_id = fields.Text(
        'virtualport/parameters/@interfaceid')

    def take_place(self, other: 'Interface') -> None:
        """Be connected to the host as another one is from now on."""
        self.type = other.type
        self.driver_name = other.driver_name
        for node in [*self.element.iterchildren(*_PLACE)]:
            element.detach(node, self.element)
        self.element.extend(other.copy().element.iterchildren(*_PLACE))
