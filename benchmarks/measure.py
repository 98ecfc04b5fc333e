# SPDX-License-Identifier: Apache-2.0

"""Times of several ways, taken in turns, and what is made of them.

Other processes disturb a measure. So the ways are measured one after the
other in every round, their order turns, and what counts is the ratio of
their medians.
"""

from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
import dataclasses
import json
import math
import statistics
import time
from typing import TypeAlias

MIN_ROUNDS = 15

Way: TypeAlias = Callable[[], float]
"""Something that is measured; returns its seconds."""


@dataclasses.dataclass(frozen=True, slots=True)
class Times:
    """How long one way took, in seconds, by round."""

    seconds: tuple[float, ...]

    @property
    def median_s(self) -> float:
        """The median."""
        return statistics.median(self.seconds)

    def spread(self) -> str:
        """Return the quartiles as a text."""
        return spread(self.seconds)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line of the result."""

    what: str
    value: float
    unit: str = ''
    spread: str = ''
    at_most: float | None = None
    """The goal; None where there is none."""
    at_least: float | None = None
    """Likewise, where more is better."""

    @property
    def met(self) -> bool:
        """Say whether the goal is reached."""
        return ((self.at_most is None or self.value <= self.at_most)
                and (self.at_least is None or self.value >= self.at_least))

    @property
    def goal(self) -> str:
        """The goal as a text."""
        if self.at_least is not None:
            return f'>= {self.at_least:g}'
        return '' if self.at_most is None else f'<= {self.at_most:g}'


def timed(function: Callable[[], object]) -> float:
    """Return how many seconds a call takes."""
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def in_turns(
        ways: Mapping[str, Way], rounds: int,
) -> dict[str, Times]:
    """Measure several ways so many times; each returns its seconds.

    The first round warms up and does not count.
    """
    taken: dict[str, list[float]] = {name: [] for name in ways}
    names = list(ways)
    for number in range(rounds + 1):
        shift = number % len(names)
        for name in names[shift:] + names[:shift]:
            seconds = ways[name]()
            if number:
                taken[name].append(seconds)
    return {name: Times(tuple(values)) for name, values in taken.items()}


def ratio_row(
        what: str, over: Times, under: Times, *,
        at_most: float | None = None) -> Row:
    """Return the ratio of two medians, with the quartiles of all rounds."""
    pairs = [one / other
             for one, other in zip(over.seconds, under.seconds, strict=True)]
    return Row(what=what, value=over.median_s / under.median_s, unit='x',
               spread=spread(pairs), at_most=at_most)


def time_row(what: str, times: Times) -> Row:
    """Return a median in milliseconds, or in seconds when it is long."""
    unit, scale = ('s', 1) if times.median_s >= 1 else ('ms', 1000)
    scaled = Times(tuple(value * scale for value in times.seconds))
    return Row(what=what, value=scaled.median_s, unit=unit,
               spread=scaled.spread())


def fastest_row(
        what: str, times: Times, *, at_most_ms: float | None = None) -> Row:
    """Return the shortest time: what it takes when nobody disturbs."""
    return Row(what=what, value=min(times.seconds) * 1000, unit='ms',
               at_most=at_most_ms)


def spread(values: Sequence[float]) -> str:
    """Return the quartiles of some values as a text."""
    if len(values) < 2:
        return ''
    low, _, high = statistics.quantiles(values, n=4, method='inclusive')
    return f'{low:.3g} to {high:.3g}'


def median(values: Sequence[float]) -> float:
    """Return the median, not a number when there are no values."""
    return statistics.median(values) if values else math.nan


def percentile(values: Sequence[float], percent: float) -> float:
    """Return the smallest value that so many of them do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)]


def table(rows: Sequence[Row]) -> str:
    """Return the result as a table."""
    lines = [('measure', 'result', 'quartiles', 'goal', '')]
    lines += [(
        row.what, f'{row.value:.3g} {row.unit}'.strip(), row.spread,
        row.goal, '' if row.met else 'MISSED') for row in rows]
    return columns(lines)


def columns(lines: Sequence[Sequence[str]]) -> str:
    """Return lines of cells below each other."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return '\n'.join('  '.join(
        cell.ljust(width) for cell, width in zip(line, widths, strict=True)
    ).rstrip() for line in lines)


def finish(rows: Sequence[Row], json_path: str | None) -> int:
    """Print the result, write it, and return the exit code.

    :param json_path: file to write it to, None for none
    :returns: 1 when a goal was missed, otherwise 0
    """
    print(table(rows))
    if json_path is not None:
        with open(json_path, 'w', encoding='utf-8') as file:
            json.dump(plain(rows), file, indent=1)
            file.write('\n')
    return exit_code(rows)


def exit_code(rows: Sequence[Row]) -> int:
    """Return 1 when a goal was missed, otherwise 0."""
    return 0 if all(row.met for row in rows) else 1


def plain(rows: Sequence[Row]) -> list[dict[str, object]]:
    """Return the result for JSON."""
    return [{**dataclasses.asdict(row), 'met': row.met} for row in rows]
