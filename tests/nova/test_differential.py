# SPDX-License-Identifier: Apache-2.0

"""The guest that Nova's own driver makes, and ours.

What may differ is in a table, which the documentation shows to operators.
"""

import collections
from collections.abc import Iterator
import csv
import dataclasses
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
from typing import Any
import unittest

from nova_libvirt_driver.testing import libvirtd
from tests.nova.differential import comparison
from tests.nova import environments

IDENTICAL, REAL = 'identical', 'real differences'
NOT_ASKED, REFUSED_BY_BOTH = 'not asked', 'refused by both'
_EXCUSES = ('harmless', 'better')
_ORDER = (NOT_ASKED, REFUSED_BY_BOTH, IDENTICAL, *_EXCUSES, 'refused', REAL)
TABLE = environments.ROOT / 'doc' / 'source' / 'admin' / 'same-guest.csv'
WORKERS = 2
SHARE = int(os.environ.get('NOVA_LIBVIRT_CASES_SHARE', '1'))
"""Of how many cases one is tried; only all of them show unused rows."""
CASES_AT_LEAST = 1500
_TIMEOUT_S = 1500
_SHOWN = 40


@dataclasses.dataclass(frozen=True)
class Row:
    """A difference that stays."""

    verdict: str
    where: str
    in_tree: str
    ours: str
    seen_with: str

    def covers(self, found: comparison.Difference, case: str) -> bool:
        """Say whether it is this difference, in a case that it is about."""
        return bool(re.search(self.seen_with, case)) and all(
            re.fullmatch(pattern, said, re.DOTALL) for pattern, said in (
                (self.where, found.where), (self.in_tree, found.in_tree),
                (self.ours, found.ours)))


def table() -> list[Row]:
    """Return the differences that may be."""
    with TABLE.open(newline='', encoding='utf-8') as file:
        return [Row(line['Verdict'], line['Where'], line["Nova's own"],
                    line['This driver'], line['Seen with'])
                for line in csv.DictReader(file)]


def report() -> list[dict[str, Any]]:
    """Return what came of each case."""
    with (libvirtd.PrivateHost('differential') as host,
          tempfile.TemporaryDirectory(prefix='differential-') as folder):
        workers = [subprocess.Popen(
            [sys.executable, '-W', 'ignore', '-m',
             'tests.nova.differential.worker', host.uri, folder, str(number),
             str(WORKERS), str(SHARE)], cwd=environments.ROOT, text=True,
            stdout=(pathlib.Path(folder) / str(number)).open('w'))
            for number in range(WORKERS)]
        for worker in workers:
            if worker.wait(_TIMEOUT_S):
                raise AssertionError('a worker failed')
        return [json.loads(line) for number in range(WORKERS) for line in (
            pathlib.Path(folder) / str(number)).read_text().splitlines()
            if line.startswith('{')]


def differences(line: dict[str, Any]) -> Iterator[comparison.Difference]:
    """Yield where two guests differ, and how."""
    accepted = comparison.ACCEPTED, comparison.ACCEPTED
    in_tree, own = (
        line.get(side, accepted) for side in ('in_tree', 'ours'))
    # What this driver refuses, it refuses itself and for a reason.
    agreed = in_tree == own == accepted or (
        own[0] == comparison.REFUSED and in_tree[0] in (
            comparison.REFUSED, comparison.BY_LIBVIRT))
    if not agreed:
        yield comparison.Difference(
            own[0] if own[0] == comparison.CRASHED else 'refusal',
            in_tree[1], own[1])
    for where, one, other in line.get('differences', ()):
        yield comparison.Difference(where, one, other)


class DifferentialTest(unittest.TestCase):

    maxDiff = None

    @unittest.skipIf(
        environments.nova_release() < 34, 'the table is about one release')
    def test_guests_differ_in_what_the_table_says_only(self) -> None:
        rows = table()
        verdicts: collections.Counter[str] = collections.Counter()
        unknown, used, dropped = [], set(), []
        asked = 0
        for line in report():
            found = {IDENTICAL}
            for one in differences(line):
                row = _row(rows, one, line)
                found.add(row.verdict if row else REAL)
                used.add(row)
                if row is None:
                    unknown.append(f'{line["case"]}: {one}')
            verdicts[_worst(found, line)] += 1
            asked += 'dropped' in line
            for where, one, other in line.get('dropped', ()):
                lost = comparison.Difference(where, one, other)
                row = _row(rows, lost, line)
                if row is None or row.verdict not in _EXCUSES:
                    dropped.append(f'{line["case"]}: {lost}')

        cases = sum(verdicts.values()) - verdicts[NOT_ASKED]
        print(f'\ncases: {cases}', *(
            f'{name}: {verdicts[name]}' for name in _ORDER),
            f'asked for one by one: {asked}',
            f'silent drops: {len(dropped)}', sep='\n', file=sys.stderr)
        self.assertEqual([], unknown[:_SHOWN])
        self.assertEqual([], dropped[:_SHOWN])
        if SHARE == 1:
            self.assertEqual([], [row for row in rows if row not in used])
        self.assertGreater(cases, CASES_AT_LEAST // SHARE)


def _row(
        rows: list[Row], found: comparison.Difference,
        line: dict[str, Any]) -> Row | None:
    return next((row for row in rows
                 if row.covers(found, line['case'])), None)


def _worst(verdicts: set[str], line: dict[str, Any]) -> str:
    if 'not_asked' in line:
        return NOT_ASKED
    if 'in_tree' in line and 'ours' in line and REAL not in verdicts:
        return REFUSED_BY_BOTH
    return next(verdict for verdict in reversed(_ORDER)
                if verdict in verdicts)
