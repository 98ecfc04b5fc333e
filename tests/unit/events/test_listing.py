# SPDX-License-Identifier: Apache-2.0

from typing import Any

import libvirt

from nova_libvirt_driver.events import decode
from nova_libvirt_driver.spec import event
from nova_libvirt_driver.spec import instance
from nova_libvirt_driver.testing import fake_fault
from nova_libvirt_driver.testing import fake_libvirt
from tests import base

State = instance.PowerState


class ListingTest(base.TestCase):

    def setUp(self) -> None:
        super().setUp()
        self.hypervisor = fake_libvirt.FakeHypervisor()
        self.connection = fake_libvirt.FakeConnection(
            self.hypervisor, 'fake:///')
        self.one = self.hypervisor.add_guest('one')
        self.two = self.hypervisor.add_guest(
            'two', state=libvirt.VIR_DOMAIN_PAUSED)
        self.three = self.hypervisor.add_guest(
            'three', state=libvirt.VIR_DOMAIN_SHUTOFF)
        self.three.reason = libvirt.VIR_DOMAIN_SHUTOFF_CRASHED

    def listed(self) -> list[tuple[str, State, str]]:
        return [(item.name, item.state, str(item.stop_transition))
                for item in decode.reports(self.connection)]

    def lack_bulk_statistics(self) -> None:
        self.hypervisor.fail_next('getAllDomainStats', fake_fault.no_support(
            'virConnectGetAllDomainStats'))

    def test_all_guests_come_in_one_call(self) -> None:
        found = decode.reports(self.connection)

        self.assertEqual(
            [('one', self.one.uuid, State.RUNNING),
             ('two', self.two.uuid, State.PAUSED),
             ('three', self.three.uuid, State.SHUTDOWN)],
            [(item.name, item.uuid, item.state) for item in found])
        self.assertEqual(event.Transition.CRASHED, found[2].stop_transition)
        self.assertEqual({'getAllDomainStats': 1}, self.hypervisor.calls)

    def test_hypervisor_without_bulk_statistics_gives_the_same(self) -> None:
        wanted = self.listed()

        self.lack_bulk_statistics()

        self.assertEqual(wanted, self.listed())
        self.assertEqual(3, self.hypervisor.calls['state'])

    def test_guest_that_vanishes_meanwhile_is_left_out(self) -> None:
        hypervisor = self.hypervisor

        class Connection(fake_libvirt.FakeConnection):
            def listAllDomains(self, flags: int = 0) -> list[Any]:
                found = super().listAllDomains(flags)
                hypervisor.remove_guest(hypervisor.guests[0])
                return found

        self.connection = Connection(hypervisor, 'fake:///')
        self.lack_bulk_statistics()

        self.assertEqual(['two', 'three'],
                         [name for name, _, _ in self.listed()])

    def test_other_errors_come_as_they_are(self) -> None:
        error = fake_libvirt.libvirt_error(
            libvirt.VIR_ERR_NO_MEMORY, libvirt.VIR_FROM_RPC, 'no memory')
        for method in ('getAllDomainStats', 'listAllDomains', 'state'):
            if method != 'getAllDomainStats':
                self.lack_bulk_statistics()
            self.hypervisor.fail_next(method, error)

            self.assertIs(error, self.assertRaises(
                libvirt.libvirtError, self.listed), method)

    def test_record_without_a_state_is_a_guest_without_one(self) -> None:
        class Connection(fake_libvirt.FakeConnection):
            def getAllDomainStats(
                    self, stats: int = 0, flags: int = 0
            ) -> list[tuple[Any, dict[str, Any]]]:
                return [(domain, {}) for domain, _
                        in super().getAllDomainStats(stats, flags)]

        self.connection = Connection(self.hypervisor, 'fake:///')

        self.assertEqual([State.NOSTATE] * 3,
                         [state for _, state, _ in self.listed()])
