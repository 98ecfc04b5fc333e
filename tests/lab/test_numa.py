# SPDX-License-Identifier: Apache-2.0

"""Guests whose processors and memory are those of certain nodes."""

import pathlib
import re

from nova_libvirt_driver.spec import cpu as cpu_spec
from nova_libvirt_driver.spec import memory as memory_spec
from tests.lab import base

NODES = pathlib.Path('/sys/devices/system/node')
PAGE_KIB = 2048
PAGES = 64


class NumaTest(base.LabTestCase):

    def setUp(self) -> None:
        super().setUp()
        for node in (0, 1):
            self.addCleanup(self.pages(node, 'nr').write_text, '0')
            self.pages(node, 'nr').write_text(str(PAGES))

    def pages(self, node: int, kind: str) -> pathlib.Path:
        """Return the file that says how many huge pages a node has."""
        return (NODES / f'node{node}' / 'hugepages'
                / f'hugepages-{PAGE_KIB}kB' / f'{kind}_hugepages')

    def free_pages(self) -> list[int]:
        return [int(self.pages(node, 'free').read_text())
                for node in (0, 1)]

    def test_two_cells_of_huge_pages_on_two_nodes(self) -> None:
        cells = tuple(
            cpu_spec.NumaCell(
                id=node, vcpus=frozenset({node}), memory_mib=32,
                host_node=node, page_size_kib=PAGE_KIB)
            for node in (0, 1))
        pins = (cpu_spec.VcpuPin(vcpu=0, host_cpus=frozenset({1})),
                cpu_spec.VcpuPin(vcpu=1, host_cpus=frozenset({2})))
        spec = self.spawn(self.boot_guest(
            'guest', memory_mib=64,
            memory=memory_spec.MemorySpec(
                size_mib=64, page_size_kib=PAGE_KIB),
            cpu=cpu_spec.CpuSpec(
                vcpus=2, cells=cells, pins=pins,
                emulator_cpus=frozenset({1, 2}))))

        self.assertEqual([PAGES - 16, PAGES - 16], self.free_pages())
        pid = pathlib.Path('/run/libvirt/qemu/guest.pid').read_text()
        allowed = {}
        for thread in pathlib.Path('/proc', pid.strip(), 'task').iterdir():
            found = re.match(
                r'CPU (\d+)/', (thread / 'comm').read_text())
            if found:
                allowed[int(found[1])] = re.findall(
                    r'Cpus_allowed_list:\s*(\S+)',
                    (thread / 'status').read_text())
        self.assertEqual({0: ['1'], 1: ['2']}, allowed)

        self.driver.destroy(spec)
        self.assertEqual([PAGES, PAGES], self.free_pages())
