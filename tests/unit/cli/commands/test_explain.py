# SPDX-License-Identifier: Apache-2.0

from nova_libvirt_driver.calls import explanations
from nova_libvirt_driver.spec import event
from tests.unit.cli import base
from tests.unit.cli.commands import test_health

UUID = '4c2a9a1e-7d7c-4a58-9f3e-2b1f6b1b7a11'


class ExplainTest(base.ClientTestCase):

    def explain(self, *words: str) -> list[dict[str, object]]:
        rows: list[dict[str, object]] = self.run_client(
            'explain', '-f', 'json', *words).json
        return rows

    def test_a_number_is_explained(self) -> None:
        row, = self.explain('68')

        self.assertEqual('VIR_ERR_OPERATION_TIMEOUT', row['Name'])
        self.assertIn('virsh domjobinfo', str(row['Next step']))

    def test_words_need_no_quotes(self) -> None:
        row, = self.explain('cannot', 'acquire', 'state', 'change', 'lock')

        self.assertEqual(68, row['Code'])

    def test_the_status_of_a_server_is_explained(self) -> None:
        for words in ('paused by an I/O error', 'enospc'):
            row, = self.explain(words)

            self.assertIn('then unpause', str(row['Next step']))

    def test_all_that_is_known_is_listed(self) -> None:
        self.assertEqual(len(explanations.table()), len(self.explain()))

    def test_what_is_not_known_is_said_so(self) -> None:
        result = self.run_client('explain', 'xyzzy')

        self.assertEqual(3, result.code)
        self.assertIn('xyzzy', result.stderr)


class DiskErrorTest(test_health.HealthTestCase):
    """The last error of a disk, as the running service knows it."""

    def explain(self, *words: str) -> base.Result:
        return self.health('explain', '--server', *words)

    def error(self, action: str, reason: str = '') -> event.IOErrorEvent:
        return event.IOErrorEvent(
            uuid=UUID, name='instance-1', generation=1,
            timestamp=1764547200.0, path='/i/disk\x1b[2J', alias='disk0',
            action=action, reason=reason)

    def test_it_is_told_with_its_path_reason_and_time(self) -> None:
        self.serve(disk_errors=(self.error('pause', 'enospc'),))

        row, = self.explain(UUID, '-f', 'json').json
        shown = self.explain(UUID).stdout

        self.assertEqual('enospc', row['Name'])
        self.assertIn('/i/disk', row['Likely cause'])
        self.assertIn('2025-12-01T00:00:00Z, and QEMU paused the server',
                      row['Likely cause'])
        self.assertIn('make room', row['Next step'])
        self.assertNotIn('\x1b', shown)

    def test_one_that_did_not_pause_the_server(self) -> None:
        self.serve(disk_errors=(self.error('report'),))

        row, = self.explain(UUID, '-f', 'json').json

        self.assertEqual('I/O error', row['Name'])
        self.assertNotIn('paused', row['Likely cause'])

    def test_a_server_without_one_is_said_so(self) -> None:
        self.serve(disk_errors=(self.error('pause'),))

        result = self.explain('5d1f7f5c')

        self.assertEqual(3, result.code)
        self.assertIn('no error of a disk of server 5d1f7f5c', result.stderr)

    def test_without_a_service_nothing_is_known(self) -> None:
        result = self.explain(UUID)

        self.assertEqual(5, result.code)
        self.assertIn('no service listens', result.stderr)
