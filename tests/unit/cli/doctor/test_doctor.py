# SPDX-License-Identifier: Apache-2.0

"""What ``doctor`` makes of the outcomes of checks."""

import argparse
import io

from nova_libvirt_driver.cli.commands import checklist
from nova_libvirt_driver.cli.commands import doctor
from nova_libvirt_driver.cli.doctor import checks
from nova_libvirt_driver.cli.output import lines
from tests import base

_OK = checks.Topic('events').ok('they arrive')
_WARNING = checks.Topic('confinement').warning('none', 'enable AppArmor')
_FAILURE = checks.Topic('qemu-img').failure('not found', 'install it')
_SKIPPED = checks.Topic('emulator').skipped('not needed')

_COLUMNS = ('Status', 'Check', 'Detail', 'Fix')


def _text(*found: checks.Check, columns: tuple[str, ...] = _COLUMNS) -> str:
    stream = io.StringIO()
    rows = [[value for name, value in zip(_COLUMNS, row, strict=True)
             if name in columns]
            for row in checklist.rows(list(found), quiet=False)]
    lines.LinesFormatter().emit_list(
        columns, rows, stream, argparse.Namespace())
    return stream.getvalue()


class DoctorTest(base.TestCase):

    def test_the_worst_outcome_is_the_exit_code(self) -> None:
        expected: tuple[tuple[list[checks.Check], int], ...] = (
            ([], 0), ([_OK, _SKIPPED], 0), ([_OK, _WARNING], 1),
            ([_FAILURE, _OK, _WARNING], 2))

        for found, code in expected:
            with self.subTest(found=found):
                self.assertEqual(code, doctor.code(found))

    def test_each_outcome_is_a_line_with_its_fix_below(self) -> None:
        self.assertEqual(
            'ok       events           they arrive\n'
            'warning  confinement      none\n'
            '         fix: enable AppArmor\n'
            'failure  qemu-img         not found\n'
            '         fix: install it\n'
            'skipped  emulator         not needed\n'
            '1 ok, 1 warning, 1 failure, 1 skipped\n',
            _text(_OK, _WARNING, _FAILURE, _SKIPPED))

    def test_only_chosen_columns_are_shown(self) -> None:
        self.assertEqual('events\nqemu-img\n', _text(
            _OK, _FAILURE, columns=('Check',)))

    def test_quiet_leaves_out_what_needs_no_attention(self) -> None:
        found = [_OK, _WARNING, _FAILURE, _SKIPPED]

        self.assertEqual(
            ['confinement', 'qemu-img'],
            [row[1] for row in checklist.rows(found, quiet=True)])
