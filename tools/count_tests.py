# SPDX-License-Identifier: Apache-2.0

"""Read a subunit stream, print how many tests passed, failed, skipped.

Appends what failed, each with the end of its details, to the file that the
argument names.
"""

import pathlib
import sys
from typing import Any

import subunit
import testtools

PASSED = ('success', 'xfail')
SKIPPED = ('skip',)
DETAIL_LINES = 60


def main() -> None:
    tests: list[dict[str, Any]] = []
    sink = testtools.StreamToDict(tests.append)
    sink.startTestRun()
    subunit.ByteStreamToStreamResult(sys.stdin.buffer, 'output').run(sink)
    sink.stopTestRun()
    # Tests may be listed before they run; one that is not run has failed.
    ran = {test['id'] for test in tests if test['status'] != 'exists'}
    tests = [test for test in tests
             if test['status'] != 'exists' or test['id'] not in ran]
    failed = [
        test for test in tests if test['status'] not in PASSED + SKIPPED
    ]
    skipped = sum(test['status'] in SKIPPED for test in tests)
    with pathlib.Path(sys.argv[1]).open('a') as report:
        report.writelines(_described(test) for test in failed)
    print(len(tests) - len(failed) - skipped, len(failed), skipped)


def _described(test: dict[str, Any]) -> str:
    lines = [f'-- {test["id"]} ({test["status"]})']
    for name, content in sorted(test['details'].items()):
        lines.append(f'{name}:')
        lines += content.as_text().splitlines()[-DETAIL_LINES:]
    return '\n'.join(lines) + '\n'


if __name__ == '__main__':
    main()
