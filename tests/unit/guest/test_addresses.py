# SPDX-License-Identifier: Apache-2.0

"""Where the addresses of guests come from, and in which order."""

from typing import Any

import libvirt

from nova_libvirt_driver.guest import addresses
from tests.unit.guest import handles

MAC = 'fa:16:3e:00:00:01'
NETWORK = (*handles.DEVICES, (
    "<interface type='network'><mac address='52:54:00:00:00:02'/>"
    "<source network='default'/></interface>"))
LEASE, AGENT, ARP = (
    libvirt.VIR_DOMAIN_INTERFACE_ADDRESSES_SRC_LEASE,
    libvirt.VIR_DOMAIN_INTERFACE_ADDRESSES_SRC_AGENT,
    libvirt.VIR_DOMAIN_INTERFACE_ADDRESSES_SRC_ARP)


def said(*texts: Any) -> dict[str, Any]:
    return {'vnet0': {'hwaddr': MAC, 'addrs': [
        {'addr': text, 'prefix': 24, 'type': 0} for text in texts]}}


class AddressTest(handles.HandleTestCase):

    def found(
            self, *, agent: bool, devices: tuple[str, ...] = NETWORK,
            **texts: str) -> list[tuple[str, str]]:
        """Return what is found when the host says these addresses."""
        kinds = {'lease': LEASE, 'arp': ARP}
        added = self.add_guest(agent=agent, devices=devices)
        added.addresses.update({
            kinds[source]: said(text) for source, text in texts.items()})
        return [(one.source, one.address)
                for one in self.find().addresses()]

    def test_leases_come_first(self) -> None:
        self.assertEqual([('lease', '192.0.2.1')], self.found(
            agent=True, lease='192.0.2.1', arp='192.0.2.3'))

    def test_only_guests_on_networks_of_libvirt_have_leases(self) -> None:
        self.assertEqual([('arp', '192.0.2.3')], self.found(
            agent=False, devices=handles.DEVICES, lease='192.0.2.1',
            arp='192.0.2.3'))

    def test_the_agent_comes_second(self) -> None:
        added = self.add_guest(agent=True)
        added.addresses.update({AGENT: said('192.0.2.2'),
                                ARP: said('192.0.2.3')})

        one, = self.find().addresses()

        self.assertEqual(('agent', '192.0.2.2', MAC),
                         (one.source, one.address, one.mac))
        self.assertEqual(1, added.agent_timeout_s)

    def test_one_without_an_agent_is_known_to_the_kernel(self) -> None:
        self.assertEqual([('arp', '192.0.2.3')], self.found(
            agent=False, arp='192.0.2.3'))

    def test_what_the_agent_makes_up_is_left_out(self) -> None:
        added = self.add_guest(agent=True)
        added.addresses[AGENT] = {
            'lo': {'hwaddr': None, 'addrs': [{'addr': '127.0.0.1'}]},
            'none': {'hwaddr': MAC, 'addrs': None},
            **said('fe80::1', '0.0.0.0', '$(reboot)', '-oProxyCommand=x',
                   None, '2001:db8::5')}

        self.assertEqual(['2001:db8::5'], [
            one.address for one in self.find().addresses()])

    def test_all_guests_are_listed_without_their_agents(self) -> None:
        added = self.add_guest(agent=True)
        added.addresses.update({AGENT: said('192.0.2.2'),
                                ARP: said('192.0.2.3')})

        connection = libvirt.openAuth('fake:///', [[], None, None], 0)
        found = addresses.of_all(connection.listAllDomains(0))

        self.assertEqual([['192.0.2.3']], [
            [one.address for one in each] for each in found.values()])
        self.assertEqual(-2, added.agent_timeout_s)
