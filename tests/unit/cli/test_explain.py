# SPDX-License-Identifier: Apache-2.0

from nova_libvirt_driver.connection import explanations
from tests.unit.cli import base


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

    def test_all_that_is_known_is_listed(self) -> None:
        self.assertEqual(len(explanations.TABLE), len(self.explain()))

    def test_what_is_not_known_is_said_so(self) -> None:
        result = self.run_client('explain', 'xyzzy')

        self.assertEqual(3, result.code)
        self.assertIn('xyzzy', result.stderr)
