# SPDX-License-Identifier: Apache-2.0

"""``nova-libvirt port`` and ``network``."""

from nova_libvirt_driver.cli import exit_code
from nova_libvirt_driver.spec import guest as guest_spec
from nova_libvirt_driver.spec import nic as nic_spec
from tests.unit.cli import base

Code = exit_code.ExitCode
MAC = '52:54:00:00:00:07'


class PortTest(base.ServerTestCase):

    def setUp(self) -> None:
        super().setUp()
        self.have('web1')

    def only(self) -> guest_spec.GuestSpec:
        """Return what the only server is made from."""
        found, = self.driver.specs.values()
        return found

    def test_a_port_comes_and_goes(self) -> None:
        made = self.answer('port', 'attach', 'web1', 'default')

        nic = self.driver.verbs[-1].arguments['nic']
        self.assertEqual((made['id'], made['mac'], 'default'), (
            nic.id, nic.mac, nic.source))
        row, = self.answer('port', 'list', 'web1')
        self.assertEqual((made['id'], made['mac'], 'default'), (
            row['ID'], row['MAC'], row['Network']))
        self.answer('port', 'detach', 'web1', made['id'])
        self.assertEqual([], self.answer('port', 'list', 'web1'))

    def test_address_and_model(self) -> None:
        self.answer('port', 'attach', 'web1', 'bridge=br0', '--mac',
                    MAC.upper(), '--model', 'e1000')

        nic = self.driver.verbs[-1].arguments['nic']
        self.assertEqual((MAC, 'e1000', 'br0', nic_spec.NicKind.BRIDGE), (
            nic.mac, nic.model, nic.source, nic.kind))
        self.answer('port', 'detach', 'web1', MAC.upper())
        self.assertEqual((), self.only().nics)

    def test_refusals(self) -> None:
        self.answer('port', 'attach', 'web1', 'user', '--mac', MAC)

        for code, words in (
                (Code.CONFLICT, ('attach', 'web1', 'user', '--mac', MAC)),
                (Code.USAGE, ('attach', 'web1', 'user', '--mac', 'x')),
                (Code.USAGE, ('attach', 'web1', 'user', '--mac',
                              '53:54:00:00:00:07')),
                (Code.USAGE, ('attach', 'web1', 'x=y')),
                (Code.NOT_FOUND, ('detach', 'web1', '52:54:00:00:00:08')),
                (Code.NOT_FOUND, ('attach', 'web9', 'user'))):
            result = self.type('port', *words)
            self.assertEqual((code, ''), (result.code, result.stdout),
                             ' '.join(words))
            self.assertIn('Next:', result.stderr)

    def test_networks(self) -> None:
        rows = self.answer('network', 'list')

        self.assertIn({'Network': 'lab', 'Kind': 'network',
                       'Status': 'stopped'}, rows)
