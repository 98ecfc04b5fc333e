# SPDX-License-Identifier: Apache-2.0

"""Compare two outputs of tempest; run by ``tempest-both``."""

import collections
import pathlib
import re
import sys

_LINE = re.compile(
    r'\{\d+\} (?P<name>\S+?)(?:\[[^]]*\])?(?: \[[\d.]+s\])?'
    r' \.\.\. (?P<verdict>ok|FAILED|SKIPPED)')
_CLASS = re.compile(
    r'\{\d+\} setUpClass \((?P<name>\S+)\).* \.\.\. (?P<verdict>\w+)')


def verdicts(path: pathlib.Path) -> dict[str, str]:
    """Return how each test ended, by its name."""
    found = {}
    for line in path.read_text(errors='replace').splitlines():
        match = _LINE.match(line) or _CLASS.match(line)
        if match is not None:
            found[match['name']] = match['verdict'].rstrip(':').lower()
    return found


def main(theirs_log: str, ours_log: str) -> int:
    """Print the table, each line a test, the sums and what is worse."""
    theirs = verdicts(pathlib.Path(theirs_log))
    ours = verdicts(pathlib.Path(ours_log))
    print(f'{"in-tree":9}{"ours":9}test')
    worse = []
    for name in sorted(theirs | ours):
        left, right = theirs.get(name, '-'), ours.get(name, '-')
        print(f'{left:9}{right:9}{name}')
        if left == 'ok' and right != 'ok':
            worse.append(name.rpartition('.')[2])
    for title, found in (('in-tree', theirs), ('ours', ours)):
        sums = collections.Counter(found.values())
        print(f'{title}: ' + ', '.join(
            f'{sums[verdict]} {verdict}' for verdict in (
                'ok', 'failed', 'skipped')))
    print(f'only in-tree passes: {", ".join(worse) or "none"}')
    return int(bool(worse))


if __name__ == '__main__':
    sys.exit(main(*sys.argv[1:]))
