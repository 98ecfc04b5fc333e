# SPDX-License-Identifier: Apache-2.0

from typing import Any

from nova_libvirt_driver import exception
from nova_libvirt_driver.spec import cpu as cpu_spec
from tests.unit.configurators import base


def cpu(**fields: Any) -> cpu_spec.CpuSpec:
    return cpu_spec.CpuSpec(vcpus=2, **fields)


def pin(vcpu: int, *host_cpus: int) -> cpu_spec.VcpuPin:
    return cpu_spec.VcpuPin(vcpu=vcpu, host_cpus=frozenset(host_cpus))


class PinningTest(base.FacetTestCase):

    def test_nothing_is_said_where_nothing_is_asked(self) -> None:
        self.assertIsNone(self.build().find('cputune'))

    def test_pins_name_cpus_of_the_host(self) -> None:
        root = self.build(cpu=cpu(
            pins=(pin(1, 4, 5, 6), pin(0, 2)),
            emulator_cpus=frozenset({8, 9})))

        self.assertEqual(
            [{'vcpu': '1', 'cpuset': '4-6'}, {'vcpu': '0', 'cpuset': '2'}],
            self.attributes(root, 'cputune/vcpupin'))
        self.assertEqual([{'cpuset': '8-9'}],
                         self.attributes(root, 'cputune/emulatorpin'))

    def test_wrong_pins_are_refused(self) -> None:
        for pins in ((pin(2, 0),), (pin(0),), (pin(0, 1), pin(0, 2))):
            self.assertRaises(
                exception.InvalidRequest, self.build, cpu=cpu(pins=pins))

    def test_realtime_guest_keeps_its_memory(self) -> None:
        root = self.build(cpu=cpu(realtime_vcpus=frozenset({1})))

        self.assertEqual(
            [{'vcpus': '1', 'scheduler': 'fifo', 'priority': '1'}],
            self.attributes(root, 'cputune/vcpusched'))
        self.assertIsNotNone(root.find('memoryBacking/locked'))
        self.assertIsNotNone(root.find('memoryBacking/nosharepages'))

    def test_wrong_realtime_is_refused(self) -> None:
        for fields in ({'realtime_vcpus': frozenset({2})},
                       {'realtime_vcpus': frozenset({0}),
                        'realtime_priority': 100}):
            self.assertRaises(
                exception.InvalidRequest, self.build, cpu=cpu(**fields))
