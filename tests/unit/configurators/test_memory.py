# SPDX-License-Identifier: Apache-2.0

import dataclasses
from typing import Any

from nova_libvirt_driver import exception
from nova_libvirt_driver.spec import cpu as cpu_spec
from nova_libvirt_driver.spec import memory as memory_spec
from nova_libvirt_driver.spec import nic as nic_spec
from nova_libvirt_driver.spec import policy as policy_spec
from tests.unit.configurators import base
from tests.unit.configurators import values

Source = memory_spec.MemorySource


def memory(**fields: Any) -> memory_spec.MemorySpec:
    return memory_spec.MemorySpec(size_mib=64, **fields)


class MemoryTest(base.FacetTestCase):

    def source(self, **changes: Any) -> list[dict[str, str]]:
        return self.attributes(
            self.build(**changes), 'memoryBacking/source')

    def test_plain_memory_needs_no_words(self) -> None:
        root = self.build()

        self.assertEqual('65536', root.findtext('memory'))
        self.assertIsNone(root.find('memoryBacking'))

    def test_memory_in_a_file_is_thrown_away(self) -> None:
        root = self.build(memory=memory(source=Source.FILE))

        self.assertEqual(
            ['source', 'access', 'allocation', 'discard'],
            [child.tag for child in root.iterfind('memoryBacking/*')])

    def test_request_comes_before_policy(self) -> None:
        policy = policy_spec.GuestPolicy(memory_source=Source.FILE)

        self.assertEqual([{'type': 'file'}], self.source(policy=policy))
        self.assertEqual([], self.source(
            policy=policy, memory=memory(source=Source.ANONYMOUS)))
        self.assertEqual([], self.source(
            policy=policy, memory=memory(page_size_kib=2048)))

    def test_shared_memory_is_of_a_kind_that_can_be(self) -> None:
        self.assertEqual([{'type': 'memfd'}], self.source(
            memory=memory(shared=True)))
        self.assertIn('memfd', self.refusal(
            exception.InvalidRequest,
            memory=memory(shared=True, source=Source.ANONYMOUS)))

    def test_vhost_user_interface_shares_the_memory(self) -> None:
        nic = nic_spec.NicSpec(mac='52:54:00:00:00:01', source='/run/one',
                               kind=nic_spec.NicKind.VHOSTUSER)

        root = self.build(nics=(nic,))

        self.assertEqual([{'mode': 'shared'}],
                         self.attributes(root, 'memoryBacking/access'))

    def test_huge_pages_of_a_cell_come_before_those_of_all(self) -> None:
        cells = (cpu_spec.NumaCell(
            id=0, vcpus=frozenset({0}), memory_mib=64,
            page_size_kib=1048576),)

        root = self.build(
            cpu=cpu_spec.CpuSpec(vcpus=1, cells=cells),
            memory=memory(page_size_kib=2048))

        self.assertEqual(
            [{'size': '2048', 'unit': 'KiB'},
             {'size': '1048576', 'unit': 'KiB', 'nodeset': '0'}],
            self.attributes(root, 'memoryBacking/hugepages/page'))

    def test_wrong_memory_is_refused(self) -> None:
        for wrong in (memory(page_size_kib=2048, source=Source.FILE),
                      memory(page_size_kib=0),
                      memory_spec.MemorySpec(size_mib=0)):
            self.assertRaises(
                exception.InvalidRequest, self.build, memory=wrong)

    def test_source_that_the_host_lacks_is_refused(self) -> None:
        host = dataclasses.replace(
            values.PC, capabilities=dataclasses.replace(
                values.PC_CAPABILITIES,
                memory_sources=frozenset({'anonymous'})))

        self.assertRaises(
            exception.UnsupportedOperation, self.build, host=host,
            memory=memory(source=Source.MEMFD))
