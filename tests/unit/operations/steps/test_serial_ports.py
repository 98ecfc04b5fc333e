# SPDX-License-Identifier: Apache-2.0

import contextlib
import dataclasses
import os
import socket
import stat

import fixtures

from nova_libvirt_driver import exception
from nova_libvirt_driver.filesystem import locking
from nova_libvirt_driver.operations.steps import serial_ports
from nova_libvirt_driver.spec import console as console_spec
from nova_libvirt_driver.spec import guest as guest_spec
from nova_libvirt_driver.testing import specs
from tests import base
from tests import free_ports

SERIAL = console_spec.SerialSpec(
    kind=console_spec.SerialKind.TCP, listen='127.0.0.1')
XML = ('<domain><devices><serial type="tcp">'
       '<source mode="bind" host="127.0.0.1" service="{}"/>'
       '</serial></devices></domain>')


def guest(*serials: console_spec.SerialSpec) -> guest_spec.GuestSpec:
    return specs.guest_spec('one', consoles=console_spec.ConsoleSpec(
        serials=serials))


class SerialPortsTest(base.TestCase):

    def setUp(self) -> None:
        super().setUp()
        self.path = self.useFixture(fixtures.TempDir()).path
        self.folder = os.path.join(self.path, locking.FOLDER)
        self.defined: list[str] = []
        # Behind another one that is free.
        self.first = free_ports.first_of(5) + 1
        self.listener = self.listen(self.first - 1)

    def listen(self, port: int = 0) -> socket.socket:
        listener = socket.create_server(('127.0.0.1', port))
        self.addCleanup(lambda: listener.close())
        return listener

    def make(self, count: int = 3, first: int = 0) -> (
            serial_ports.SerialPorts):
        first = first or self.first
        return serial_ports.SerialPorts(
            range(first, first + count), self.path, lambda: self.defined)

    def ports(
            self, reservation: serial_ports.Reservation,
            spec: guest_spec.GuestSpec | None = None) -> list[int | None]:
        filled = reservation.filled(spec or guest(SERIAL))
        return [serial.port for serial in filled.consoles.serials]

    def test_ports_that_others_reserved_are_left_out(self) -> None:
        with contextlib.ExitStack() as stack:
            found = [self.ports(stack.enter_context(
                self.make().reservation())) for _ in range(3)]
            self.assertRaises(exception.InvalidRequest, self.ports,
                              stack.enter_context(self.make().reservation()))

        self.assertEqual(
            [[self.first + number] for number in range(3)], found)
        self.assertEqual([], os.listdir(self.folder))

    def test_asked_again_it_gives_the_same(self) -> None:
        spec = guest(SERIAL, console_spec.SerialSpec(), SERIAL,
                     dataclasses.replace(SERIAL, port=7))

        with self.make().reservation() as reservation:
            found = [self.ports(reservation, spec) for _ in range(2)]

        self.assertEqual(
            [[self.first, None, self.first + 1, 7]] * 2, found)

    def test_ports_of_guests_that_are_down_are_taken_last(self) -> None:
        self.defined = [XML.format(self.first)]

        with (self.make(2).reservation() as one,
              self.make(2).reservation() as two):
            self.assertEqual([self.first + 1], self.ports(one))
            self.assertEqual([self.first], self.ports(two))

    def test_ports_that_something_listens_on_are_left_out(self) -> None:
        with self.make(2, self.first - 1).reservation() as reservation:
            self.assertEqual([self.first], self.ports(reservation))

    def test_only_this_user_may_lock_ports(self) -> None:
        with self.make().reservation() as reservation:
            self.ports(reservation)

        mode = os.stat(self.folder).st_mode
        self.assertEqual(0o700, stat.S_IMODE(mode))
