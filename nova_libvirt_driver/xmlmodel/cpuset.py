# SPDX-License-Identifier: Apache-2.0

"""Sets of CPUs as libvirt writes them: ``0-3,^2,7``."""

from collections.abc import Iterable
import itertools


def parse(text: str) -> frozenset[int]:
    """Read a set.

    :raises ValueError: it has another form
    """
    found: set[int] = set()
    for word in filter(None, (part.strip() for part in text.split(','))):
        if word.startswith('^'):
            found.discard(int(word[1:]))
        else:
            first, dash, last = word.partition('-')
            found.update(range(int(first), int(last if dash else first) + 1))
    return frozenset(found)


def write(numbers: Iterable[int]) -> str:
    """Write a set, with ranges where numbers follow each other."""
    words = []
    ordered = sorted(set(numbers))
    for _, group in itertools.groupby(
            enumerate(ordered), lambda pair: pair[1] - pair[0]):
        run = [number for _, number in group]
        words.append(str(run[0]) if len(run) == 1
                     else f'{run[0]}-{run[-1]}')
    return ','.join(words)
