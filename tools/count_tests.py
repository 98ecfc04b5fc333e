# SPDX-License-Identifier: Apache-2.0

"""Read a subunit stream, print how many tests passed, failed, skipped."""

import sys

import subunit
import testtools

PASSED = ('success', 'xfail')
SKIPPED = ('skip',)


def main() -> None:
    results: list[str] = []
    tests = testtools.StreamToDict(
        lambda test: results.append(test['status'])
    )
    tests.startTestRun()
    subunit.ByteStreamToStreamResult(sys.stdin.buffer, 'output').run(tests)
    tests.stopTestRun()
    passed = sum(status in PASSED for status in results)
    skipped = sum(status in SKIPPED for status in results)
    print(passed, len(results) - passed - skipped, skipped)


if __name__ == '__main__':
    main()
