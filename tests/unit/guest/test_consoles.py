# SPDX-License-Identifier: Apache-2.0

import libvirt

from nova_libvirt_driver import exception
from nova_libvirt_driver.spec import console as console_spec
from tests.unit.guest import handles

Address = console_spec.ConsoleAddress


def vnc(**attributes: str) -> str:
    words = ' '.join(f"{name}='{value}'"
                     for name, value in attributes.items())
    return f"<graphics type='vnc' {words}/>"


class ConsolesTest(handles.HandleTestCase):

    def console(self, kind: str = 'vnc') -> Address:
        return self.find().console(kind, '192.0.2.9')

    def assert_none(self, words: str, kind: str = 'vnc') -> None:
        error = self.assertRaises(
            exception.ConsoleUnavailable, self.console, kind)
        self.assertIn(words, str(error))

    def test_port_is_the_one_of_now(self) -> None:
        self.add_guest()
        guest = self.find()

        first = self.console()
        guest.destroy()
        guest.start()
        second = self.console()

        self.assertEqual('127.0.0.1', first.host)
        self.assertNotEqual(first.port, second.port)

    def test_console_on_all_addresses_is_reached_by_the_hosts(self) -> None:
        for address in ('0.0.0.0', '::'):
            added = self.add_guest(
                devices=(vnc(port='5999', listen=address),))

            self.assertEqual(Address('192.0.2.9', 5999),
                             self.console())
            self.hypervisor.remove_guest(added)

    def test_spice_has_a_port_for_tls(self) -> None:
        self.add_guest(devices=(
            "<graphics type='spice' port='5901' tlsPort='5902' "
            "listen='192.0.2.1'/>",))

        self.assertEqual(Address('192.0.2.1', 5901, 5902),
                         self.console('spice'))
        self.assert_none('not asked for')

    def test_serial_port_answers_over_tcp(self) -> None:
        self.add_guest()

        self.assertEqual(Address('127.0.0.1', 10001),
                         self.console('serial'))

    def test_serial_port_without_a_server_is_none(self) -> None:
        self.add_guest(devices=(
            "<serial type='pty'/>",
            "<serial type='tcp'><source mode='connect' host='192.0.2.1' "
            "service='9'/></serial>"))

        self.assert_none('not asked for', 'serial')

    def test_stopped_guest_has_no_console(self) -> None:
        self.add_guest(state=libvirt.VIR_DOMAIN_SHUTOFF)

        for kind in ('vnc', 'spice', 'serial'):
            self.assert_none('stopped', kind)

    def test_console_without_a_port_is_none(self) -> None:
        self.add_guest(devices=(vnc(port='-1', listen='127.0.0.1'),))

        self.assert_none('no port')

    def test_socket_is_no_address(self) -> None:
        self.add_guest(devices=(vnc(socket='/run/vnc'),))

        self.assert_none('no port')

    def test_address_may_be_in_an_element_of_its_own(self) -> None:
        self.add_guest(devices=(
            "<graphics type='vnc' port='5900'><listen type='address' "
            "address='192.0.2.3'/></graphics>", *handles.DEVICES[:1]))

        self.assertEqual('192.0.2.3', self.console().host)
