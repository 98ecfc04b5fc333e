# SPDX-License-Identifier: Apache-2.0

"""Answers as Nova takes them."""

import json
from typing import Any
import unittest

from nova.compute import power_state
from nova.virt import event as nova_event

from nova_libvirt_driver.nova_plugin import results
from nova_libvirt_driver.spec import diagnostics as diagnostics_spec
from nova_libvirt_driver.spec import disk as disk_spec
from nova_libvirt_driver.spec import event as event_spec
from nova_libvirt_driver.spec import instance as instance_spec


class InfoTest(unittest.TestCase):

    def test_power_states_have_the_numbers_of_nova(self) -> None:
        for state in instance_spec.PowerState:
            info = results.info(instance_spec.InstanceInfo(state))

            self.assertEqual(getattr(power_state, state.name), info.state)

    def test_every_transition_has_an_event(self) -> None:
        for transition in event_spec.Transition:
            event = results.lifecycle(event_spec.LifecycleEvent(
                uuid='u', name='n', generation=1, timestamp=5.0,
                transition=transition))

            self.assertIn(event.transition, nova_event.NAMES)
            self.assertEqual(('u', 5.0), (event.uuid, event.timestamp))


class DisksTest(unittest.TestCase):

    def test_sizes_are_bytes_and_the_image_is_a_name(self) -> None:
        text = results.disks([
            disk_spec.DiskUse(
                path='/i/u/disk', format='qcow2', size_bytes=5000,
                taken_bytes=1000, backing_file='/i/_base/image'),
            disk_spec.DiskUse(
                path='/i/u/disk.config', format='raw', size_bytes=100,
                taken_bytes=200)])

        self.assertEqual([
            {'path': '/i/u/disk', 'type': 'qcow2', 'virt_disk_size': 5000,
             'disk_size': 1000, 'over_committed_disk_size': 4000,
             'backing_file': 'image'},
            {'path': '/i/u/disk.config', 'type': 'raw',
             'virt_disk_size': 100, 'disk_size': 200,
             'over_committed_disk_size': 0, 'backing_file': ''},
        ], json.loads(text))
        self.assertEqual({'disk': 'qcow2', 'disk.config': 'raw'},
                         results.formats(text))


class VolumesTest(unittest.TestCase):

    counters = {'u1': (
        diagnostics_spec.DiskDiagnostics(
            target_dev='vda', read_bytes=512, read_requests=1),
        diagnostics_spec.DiskDiagnostics(
            target_dev='vdb', read_bytes=1, read_requests=2,
            write_bytes=3, write_requests=4, errors=5),
        diagnostics_spec.DiskDiagnostics(target_dev='vdc'))}

    def usage(self, uuid: str, *devices: str | None) -> list[dict[str, Any]]:
        return results.volume_usage([{
            'instance': instance_spec.InstanceRef(uuid, 'one'),
            'instance_bdms': [
                {'volume_id': f'volume of {device}', 'device_name': device}
                for device in devices]}], self.counters)

    def test_usage_is_that_of_the_device(self) -> None:
        self.assertEqual(
            [{'volume': 'volume of /dev/vdb',
              'instance': instance_spec.InstanceRef('u1', 'one'),
              'rd_req': 2, 'rd_bytes': 1, 'wr_req': 4, 'wr_bytes': 3},
             {'volume': 'volume of vda',
              'instance': instance_spec.InstanceRef('u1', 'one'),
              'rd_req': 1, 'rd_bytes': 512, 'wr_req': 0, 'wr_bytes': 0}],
            self.usage('u1', '/dev/vdb', 'vda'))

    def test_the_counters_of_one_disk(self) -> None:
        for name, expected in (('vdb', [2, 1, 4, 3, 5]),
                               ('vda', [1, 512, 0, 0, 0]),
                               ('vdc', None), ('vdd', None)):
            self.assertEqual(
                expected, results.block_stats(self.counters['u1'], name))

    def test_what_is_not_in_use_has_none(self) -> None:
        self.assertEqual([], self.usage('u1', '/dev/vdc', '/dev/vdd', None))
        self.assertEqual([], self.usage('u2', '/dev/vda'))
