# SPDX-License-Identifier: Apache-2.0

"""Figures of guests as Nova takes them."""

import dataclasses
import datetime
import unittest

from nova_libvirt_driver.nova_plugin import diagnostics
from nova_libvirt_driver.spec import diagnostics as diagnostics_spec
from nova_libvirt_driver.spec import instance as instance_spec

FOUND = diagnostics_spec.Diagnostics(
    state='running', vcpu_times_ns=(7, 9), memory_mib=2,
    disks=(diagnostics_spec.DiskDiagnostics(
        target_dev='vda', read_bytes=512),),
    nics=(diagnostics_spec.NicDiagnostics(
        target_dev='tap0', mac='fa:16:3e:00:00:01', rx_bytes=3),),
    config_drive=True)


class DiagnosticsTest(unittest.TestCase):

    def test_all_that_is_known_is_told(self) -> None:
        told = diagnostics.structured(FOUND, 'qemu', None)

        self.assertEqual((2, 1, 1),
                         (told.num_cpus, told.num_disks, told.num_nics))
        self.assertEqual([7, 9], [cpu.time for cpu in told.cpu_details])
        self.assertEqual(512, told.disk_details[0].read_bytes)
        self.assertEqual(3, told.nic_details[0].rx_octets)
        self.assertEqual(2, told.memory_details.maximum)
        self.assertTrue(told.config_drive)

    def test_interfaces_have_the_addresses_that_nova_knows(self) -> None:
        found = dataclasses.replace(FOUND, nics=tuple(
            diagnostics_spec.NicDiagnostics(target_dev=name, mac=mac)
            for name, mac in (
                ('tap0', 'known'), ('tap1', ''), ('tap2', 'old'))))

        told = diagnostics.with_macs(found, [
            {'devname': 'tap1', 'address': 'fa:16:3e:00:00:02'},
            {'devname': 'tap2', 'address': 'fa:16:3e:00:00:03'}])

        self.assertEqual(
            ['known', 'fa:16:3e:00:00:02', 'fa:16:3e:00:00:03'],
            [nic.mac for nic in told.nics])

    def test_every_state_has_a_word(self) -> None:
        for state in instance_spec.PowerState:
            diagnostics.structured(diagnostics_spec.Diagnostics(
                state=state.name.lower()), 'qemu', None)

    def test_uptime_counts_from_the_launch(self) -> None:
        hour = datetime.timedelta(hours=1)
        for now in (datetime.datetime.now(datetime.UTC),
                    datetime.datetime.now(datetime.UTC).replace(tzinfo=None)):
            told = diagnostics.structured(FOUND, 'qemu', now - hour)

            self.assertGreaterEqual(told.uptime, 3600)
            self.assertLess(told.uptime, 7200)

    def test_the_flat_form_leaves_out_what_is_not_known(self) -> None:
        self.assertEqual(
            {'cpu0_time': 7, 'cpu1_time': 9, 'memory': 2048,
             'vda_read': 512, 'tap0_rx': 3}, diagnostics.flat(FOUND))
