# SPDX-License-Identifier: Apache-2.0

"""The lines that a person sees."""

import dataclasses

from nova_libvirt_driver.compute import audit
from nova_libvirt_driver.compute import record
from nova_libvirt_driver.compute import report
from nova_libvirt_driver.spec import event as event_spec
from nova_libvirt_driver.spec import instance as instance_spec
from nova_libvirt_driver.testing import fake_driver
from tests import base

EXPECTED = """\
Connected to fake:///
  hypervisor  FAKE 1.2.3, libvirt 9.0.0
  events      delivered
  keepalive   not supported by this connection
Host fake-host
  service     enabled
  processor   x86_64
  vCPUs       2 of 8 in use
  memory      3,072 of 16,384 MiB in use
  disk        10 of 100 GiB in use
Guests: 2, 1 running
  NAME           UUID                                  STATE     VCPUS     MEMORY
  web1           5d1f7f5c-6b1e-4d8a-9c41-2f6f5e0a7b11  running       2  2,048 MiB
  database-long  00000000-0000-4000-8000-000000000000  shutdown      -          -
"""  # noqa: E501

OFF = instance_spec.InstanceSummary(
    uuid='00000000-0000-4000-8000-000000000000', name='database-long',
    state=instance_spec.PowerState.SHUTDOWN)


class ReportTestCase(base.TestCase):

    def setUp(self) -> None:
        super().setUp()
        self.driver = fake_driver.FakeDriver()
        self.status = self.driver.connection_status()

    def lines(self, service: record.ServiceRecord) -> list[str]:
        found = audit.PeriodicAudit(self.driver, 60).run_once()
        return list(report.everything(self.status, service, found))

    def test_shows_connection_host_and_guests(self) -> None:
        self.driver.instances = [fake_driver.GUEST, OFF]
        found = audit.PeriodicAudit(self.driver, 60).run_once()
        found = dataclasses.replace(
            found, instances=(fake_driver.GUEST, OFF))

        text = '\n'.join(report.everything(
            self.status, record.ServiceRecord('fake-host'), found))

        self.assertEqual(EXPECTED, text + '\n')

    def test_a_host_without_guests_has_no_table(self) -> None:
        self.driver.instances = []

        lines = self.lines(record.ServiceRecord('fake-host'))

        self.assertEqual('Guests: 0, 0 running', lines[-1])

    def test_says_who_has_disabled_the_host_and_why(self) -> None:
        service = record.ServiceRecord(
            'fake-host', operator_reason='new disks')

        lines = self.lines(service)

        self.assertIn(
            '  service     disabled by the operator: new disks', lines)

    def test_an_event_is_one_line(self) -> None:
        event = event_spec.LifecycleEvent(
            uuid=OFF.uuid, name='web1', generation=1, timestamp=0.0,
            transition=event_spec.Transition.STOPPED, detail='destroyed',
            synthesized=True)

        self.assertEqual(
            f'  {report.clock(0.0)}  web1  stopped (destroyed), '
            'found after a reconnect', report.event(event))

    def test_says_why_there_is_no_connection(self) -> None:
        self.driver.connected = False

        lines = list(report.down(self.driver.connection_status(), ''))

        self.assertEqual('Not connected to fake:///', lines[0])
        self.assertIn('the fake is disconnected', lines[1])
