# SPDX-License-Identifier: Apache-2.0

import dataclasses
from typing import Any

from nova_libvirt_driver.configurators import builder
from nova_libvirt_driver import exception
from nova_libvirt_driver.spec import console as console_spec
from tests.unit.configurators import base
from tests.unit.configurators import values

Serial = console_spec.SerialSpec
TCP = console_spec.SerialKind.TCP


def consoles(*serials: Serial, **fields: Any) -> console_spec.ConsoleSpec:
    return console_spec.ConsoleSpec(serials=serials, **fields)


class ConsolesTest(base.FacetTestCase):

    def test_only_the_first_port_is_logged(self) -> None:
        root = self.build(consoles=consoles(Serial(), Serial()))

        self.assertEqual(
            [{'file': f'{values.FOLDER}/console.log', 'append': 'off'}],
            self.attributes(root, 'devices/serial/log'))
        self.assertEqual([{'port': '0'}, {'port': '1'}],
                         self.attributes(root, 'devices/serial/target'))

    def test_log_needs_a_file(self) -> None:
        for path in ('', 'console.log', '/a\0b'):
            inputs = dataclasses.replace(values.inputs(), console_log=path)
            self.assertRaises(
                exception.InvalidRequest, builder.build, inputs)

    def test_tcp_port_listens_where_it_is_told_to(self) -> None:
        root = self.build(consoles=consoles(
            Serial(kind=TCP, listen='192.0.2.1', port=10001)))

        self.assertEqual(
            [{'mode': 'bind', 'host': '192.0.2.1', 'service': '10001'}],
            self.attributes(root, 'devices/serial/source'))

    def test_impossible_ports_are_refused(self) -> None:
        taken = Serial(kind=TCP, port=10001)
        for serials in (
                (Serial(kind=TCP),), (Serial(kind=TCP, port=0),),
                (Serial(kind=TCP, port=65536),), (taken, taken),
                (Serial(),) * 5):
            self.assertRaises(exception.InvalidRequest, self.build,
                              consoles=consoles(*serials))
