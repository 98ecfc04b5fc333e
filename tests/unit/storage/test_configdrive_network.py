# SPDX-License-Identifier: Apache-2.0

import json
import typing

from nova_libvirt_driver import exception
from nova_libvirt_driver.spec import nic as nic_spec
from nova_libvirt_driver.storage.configdrive import content
from nova_libvirt_driver.testing import specs
from tests import base


def nic(*addresses: nic_spec.NicAddress,
        **fields: typing.Any) -> nic_spec.NicSpec:
    return nic_spec.NicSpec(
        **{'mac': '52:54:00:00:00:01', 'addresses': addresses, **fields})


def address(text: str, prefix_length: int, **fields: typing.Any
            ) -> nic_spec.NicAddress:
    return nic_spec.NicAddress(
        address=text, prefix_length=prefix_length, **fields)


def network_data(*nics: nic_spec.NicSpec) -> typing.Any:
    files = content.files(
        specs.guest_spec('one', nics=nics), random_seed=b'')
    return json.loads(files['openstack/latest/network_data.json'])


class NetworkDataTest(base.TestCase):

    def test_a_guest_without_interfaces_has_no_network(self) -> None:
        self.assertEqual({'links': [], 'networks': [], 'services': []},
                         network_data())

    def test_an_interface_without_addresses_asks_for_one(self) -> None:
        found = network_data(nic(
            id='port-1', mtu=1450, kind=nic_spec.NicKind.BRIDGE,
            source='br0'))

        self.assertEqual(
            [{'id': 'nic0', 'vif_id': 'port-1', 'type': 'bridge',
              'ethernet_mac_address': '52:54:00:00:00:01', 'mtu': 1450}],
            found['links'])
        self.assertEqual(
            [{'id': 'network0', 'link': 'nic0', 'network_id': '',
              'type': 'ipv4_dhcp'}], found['networks'])

    def test_a_static_address_has_its_route_and_servers(self) -> None:
        found = network_data(nic(address(
            '10.0.0.5', 24, gateway='10.0.0.1', dns_servers=('10.0.0.2',)),
            source='net-1'))

        self.assertEqual(
            [{'id': 'network0', 'link': 'nic0', 'network_id': 'net-1',
              'type': 'ipv4', 'ip_address': '10.0.0.5',
              'netmask': '255.255.255.0',
              'routes': [{'network': '0.0.0.0', 'netmask': '0.0.0.0',
                          'gateway': '10.0.0.1'}],
              'services': [{'type': 'dns', 'address': '10.0.0.2'}]}],
            found['networks'])
        self.assertEqual([{'type': 'dns', 'address': '10.0.0.2'}],
                         found['services'])

    def test_addresses_of_both_families_are_numbered(self) -> None:
        found = network_data(
            nic(),
            nic(address('10.0.0.5', 24, dns_servers=('fd00::2',)),
                address('fd00::5', 64, gateway='fd00::1',
                        dns_servers=('fd00::2',))))

        self.assertEqual(
            [('network0', 'nic0', 'ipv4_dhcp'), ('network1', 'nic1', 'ipv4'),
             ('network2', 'nic1', 'ipv6')],
            [(one['id'], one['link'], one['type'])
             for one in found['networks']])
        last = found['networks'][-1]
        self.assertEqual('ffff:ffff:ffff:ffff::', last['netmask'])
        self.assertEqual(
            [{'network': '::', 'netmask': '::', 'gateway': 'fd00::1'}],
            last['routes'])
        self.assertEqual([{'type': 'dns', 'address': 'fd00::2'}],
                         found['services'])

    def test_no_path_of_the_host_is_told(self) -> None:
        found = network_data(nic(
            kind=nic_spec.NicKind.VHOSTUSER, source='/run/vhost.sock',
            target_dev='tap-host'))

        self.assertEqual('vhostuser', found['links'][0]['type'])
        self.assertNotIn('/run', json.dumps(found))
        self.assertNotIn('tap-host', json.dumps(found))

    def test_what_is_no_address_is_refused(self) -> None:
        for bad in (address('10.0.0.300', 24), address('10.0.0.1', 33),
                    address('10.0.0.1', 24, gateway='router'),
                    address('10.0.0.1', 24, dns_servers=('one.one',))):
            self.assertRaises(
                exception.InvalidRequest, network_data, nic(bad))
