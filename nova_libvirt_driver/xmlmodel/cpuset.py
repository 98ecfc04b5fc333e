# SPDX-License-Identifier: Apache-2.0

"""Sets of CPUs as libvirt writes them: ``0-3,^2,7``."""

from collections.abc import Iterable
import itertools

# More than libvirt itself takes; a range must not fill the memory.
_NUMBER_MAX = 65535


def parse(text: str) -> frozenset[int]:
    """Read a set.

    :raises ValueError: it has another form, or a number is too large
    """
    found: set[int] = set()
    for word in filter(None, (part.strip() for part in text.split(','))):
        if word.startswith('^'):
            found.discard(_number(word[1:]))
        else:
            found.update(_range(word))
    return frozenset(found)


def write(numbers: Iterable[int]) -> str:
    """Write a set, with ranges where numbers follow each other.

    :raises ValueError: a number is negative or too large
    """
    words = []
    ordered = sorted(set(numbers))
    if ordered and not 0 <= ordered[0] <= ordered[-1] <= _NUMBER_MAX:
        raise ValueError(
            f'numbers of CPUs go from 0 to {_NUMBER_MAX}, not from '
            f'{ordered[0]} to {ordered[-1]}')
    for _, group in itertools.groupby(
            enumerate(ordered), lambda pair: pair[1] - pair[0]):
        run = [number for _, number in group]
        words.append(str(run[0]) if len(run) == 1
                     else f'{run[0]}-{run[-1]}')
    return ','.join(words)


def _range(word: str) -> range:
    first, dash, last = word.partition('-')
    start = _number(first)
    end = _number(last) if dash else start
    if end < start:
        raise ValueError(f'the range {word} ends before it begins')
    return range(start, end + 1)


def _number(word: str) -> int:
    # Other digits than these, signs and underscores are no numbers here.
    if not (word.isascii() and word.isdigit()):
        raise ValueError(f'{word!r} is not the number of a CPU')
    number = int(word) if len(word) < 10 else _NUMBER_MAX + 1
    if number > _NUMBER_MAX:
        raise ValueError(f'{word} is more than {_NUMBER_MAX}')
    return number
