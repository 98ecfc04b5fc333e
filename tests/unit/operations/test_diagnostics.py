# SPDX-License-Identifier: Apache-2.0

import libvirt

from nova_libvirt_driver.operations import diagnostics
from nova_libvirt_driver.spec import diagnostics as diagnostics_spec
from tests.unit.operations import verbs

STATS = {
    'vcpu.maximum': 3, 'vcpu.0.time': 11, 'vcpu.2.time': 13,
    'balloon.rss': 50 * 1024,
    'block.count': 1, 'block.0.name': 'vda', 'block.0.rd.bytes': 1,
    'block.0.rd.reqs': 2, 'block.0.wr.bytes': 3, 'block.0.wr.reqs': 4,
    'net.count': 1, 'net.0.name': 'tap0', 'net.0.rx.bytes': 5,
    'net.0.rx.pkts': 6, 'net.0.rx.errs': 7, 'net.0.rx.drop': 8,
    'net.0.tx.bytes': 9,
}


class DiagnosticsTest(verbs.VerbTestCase):

    def get(self) -> diagnostics_spec.Diagnostics:
        return diagnostics.Diagnostics(
            self.guests).get_diagnostics(verbs.INSTANCE)

    def test_figures_are_libvirts(self) -> None:
        self.add_guest(stats=STATS)

        self.assertEqual(diagnostics_spec.Diagnostics(
            state='running', vcpu_times_ns=(11, 13), memory_mib=32,
            memory_used_mib=50, config_drive=True,
            disks=(diagnostics_spec.DiskDiagnostics(
                target_dev='vda', read_bytes=1, read_requests=2,
                write_bytes=3, write_requests=4),),
            nics=(diagnostics_spec.NicDiagnostics(
                target_dev='tap0', mac='52:54:00:00:00:01', rx_bytes=5,
                rx_packets=6, rx_errors=7, rx_drop=8, tx_bytes=9),)),
            self.get())

    def test_busy_guest_has_few(self) -> None:
        self.add_guest(stats=STATS, busy=True, devices=())

        self.assertEqual(
            diagnostics_spec.Diagnostics(state='running'), self.get())

    def test_stopped_guest_is_described_too(self) -> None:
        self.add_guest(state=libvirt.VIR_DOMAIN_SHUTOFF)

        self.assertEqual('shutdown', self.get().state)
