# SPDX-License-Identifier: Apache-2.0

from lxml import etree

from nova_libvirt_driver import exception
from nova_libvirt_driver.spec import cpu as cpu_spec
from nova_libvirt_driver.spec import memory as memory_spec
from tests.unit.configurators import base


def cell(number: int, *vcpus: int, mib: int = 64,
         node: int | None = None) -> cpu_spec.NumaCell:
    return cpu_spec.NumaCell(id=number, vcpus=frozenset(vcpus),
                             memory_mib=mib, host_node=node)


class NumaTest(base.FacetTestCase):

    def build_cells(
            self, *cells: cpu_spec.NumaCell,
            size_mib: int = 128) -> etree._Element:
        return self.build(
            cpu=cpu_spec.CpuSpec(vcpus=4, cells=cells),
            memory=memory_spec.MemorySpec(size_mib=size_mib))

    def test_cells_divide_cpus_and_memory(self) -> None:
        root = self.build_cells(cell(0, 0, 1, 3, mib=96), cell(1, 2, mib=32))

        self.assertEqual(
            [{'id': '0', 'cpus': '0-1,3', 'memory': '98304', 'unit': 'KiB'},
             {'id': '1', 'cpus': '2', 'memory': '32768', 'unit': 'KiB'}],
            self.attributes(root, 'cpu/numa/cell'))
        self.assertIsNone(root.find('numatune'))

    def test_placed_cells_have_their_memory_there(self) -> None:
        root = self.build_cells(
            cell(0, 0, 1, node=1), cell(1, 2, 3, node=0))

        self.assertEqual([{'mode': 'strict', 'nodeset': '0-1'}],
                         self.attributes(root, 'numatune/memory'))
        self.assertEqual(
            [{'cellid': '0', 'mode': 'strict', 'nodeset': '1'},
             {'cellid': '1', 'mode': 'strict', 'nodeset': '0'}],
            self.attributes(root, 'numatune/memnode'))

    def test_cells_that_do_not_make_up_the_guest_are_refused(self) -> None:
        for cells in (
                (cell(0, 0, 1), cell(1, 2)),
                (cell(0, 0, 1, 2), cell(1, 2, 3)),
                (cell(0, 0, 1), cell(1, 2, 3, 4)),
                (cell(0, 0, 1), cell(2, 2, 3)),
                (cell(0, 0, 1), cell(1, 2, 3, mib=63))):
            self.assertRaises(
                exception.InvalidRequest, self.build_cells, *cells)

    def test_wrong_sum_of_memory_is_named(self) -> None:
        error = self.assertRaises(
            exception.InvalidRequest, self.build_cells,
            cell(0, 0, 1), cell(1, 2, 3), size_mib=256)

        self.assertIn('128 MiB, the guest has 256 MiB', str(error))
