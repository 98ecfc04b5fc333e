# SPDX-License-Identifier: Apache-2.0

"""Print how Nova's conformance tests end for its driver and for ours.

Run ``.venv-nova/bin/python -m tests.nova.conformance.compare``, from the top
folder; with ``NOVA_LIBVIRT_TEST_EVENTLET=1`` in eventlet mode. Its exit status
is 1 if Nova's driver passes a test that ours does not, skips included.
"""

import logging
import sys
from typing import Any
import unittest

from tests.nova.conformance import qemu
from tests.nova.conformance import yardstick

PASSED = 'passed'
FAILED = 'failed'
SKIPPED = 'skipped'
LIMIT_S = 60


class WholeTest(qemu.QemuTest):
    """Ours, with nothing left out."""

    left_out = {}


class Verdicts(unittest.TestResult):
    """How each test ended, by its name, and why if it did not pass."""

    def __init__(self) -> None:
        super().__init__()
        self.by_name: dict[str, tuple[str, str]] = {}

    def addSuccess(self, test: Any) -> None:
        self._note(test, PASSED, '')

    def addSkip(self, test: Any, reason: str) -> None:
        self._note(test, SKIPPED, reason)

    def addFailure(self, test: Any, err: Any) -> None:
        self._note(test, FAILED, self._last_line(err))

    def addError(self, test: Any, err: Any) -> None:
        self._note(test, FAILED, self._last_line(err))

    def _note(self, test: Any, verdict: str, reason: str) -> None:
        self.by_name[test.id().rpartition('.')[2]] = verdict, reason

    def _last_line(self, err: Any) -> str:
        lines = [line for line in str(err[1]).splitlines()
                 if line.strip() and not line.startswith('}}}')]
        return lines[-1].strip() if lines else ''


def run(case: type[unittest.TestCase]) -> dict[str, tuple[str, str]]:
    """Run the tests of a class, each for a minute at the most."""
    result = Verdicts()
    unittest.defaultTestLoader.loadTestsFromTestCase(
        _limited(case, result)).run(result)
    return result.by_name


def _limited(
        case: type[unittest.TestCase],
        result: Verdicts) -> type[unittest.TestCase]:
    """Return the class with tests that end, in eventlet mode.

    There some of Nova's driver wait for ever.
    """
    eventlet = sys.modules.get('eventlet')
    if eventlet is None or not eventlet.patcher.is_monkey_patched('thread'):
        return case

    def limited(self: Any, _: Any = None) -> None:
        try:
            with eventlet.Timeout(LIMIT_S):
                case.run(self, result)
        except eventlet.Timeout:
            result.by_name[self.id().rpartition('.')[2]] = (
                FAILED, f'did not end within {LIMIT_S} s')

    return type(case.__name__, (case,), {'run': limited})


def main() -> int:
    """Print the table, each line a test, and the sums."""
    # Nova's is told on the stream that the table goes to.
    logging.disable()
    theirs = run(yardstick.YardstickTest)
    ours = run(WholeTest)
    worse = []
    print(f'{"test":46}{"in-tree":10}ours')
    for name in sorted(theirs | ours):
        left, why = theirs.get(name, ('-', ''))
        right, remark = ours.get(name, ('-', ''))
        if left == PASSED and right != PASSED:
            worse.append(name)
        print(f'{name:46}{left:10}{right:10}{(remark or why)[:120]}')
    for title, verdicts in (('in-tree', theirs), ('ours', ours)):
        ends = [verdict for verdict, _ in verdicts.values()]
        print(title, *(f'{ends.count(verdict)} {verdict}' for verdict
                       in (PASSED, FAILED, SKIPPED)), sep='  ')
    print('worse than in-tree:', ', '.join(worse) or 'none')
    return int(bool(worse))


if __name__ == '__main__':
    sys.exit(main())
