# SPDX-License-Identifier: Apache-2.0

"""What is made of the costs of the contract's calls."""

from collections.abc import Iterable
from collections.abc import Sequence
import dataclasses
from typing import Any

from benchmarks import measure
from benchmarks import verbs

CALLS_MAX = 3
SYNC_CALLS_MAX = 1
FASTER_AT, FASTER_MIN = 50, 200
LIMIT_AT, LIMIT_MAX = 1000, 1.5


@dataclasses.dataclass(slots=True)
class Cost:
    """What one verb of one subject costs with so many guests."""

    guests: int
    subject: str
    verb: str
    calls: int = 0
    local_calls: int = 0
    programs: int = 0
    by_name: dict[str, int] = dataclasses.field(default_factory=dict)
    cold_s: list[float] = dataclasses.field(default_factory=list)
    """Wall time of each round, when nobody has asked for a while."""
    warm_s: list[float] = dataclasses.field(default_factory=list)
    """The same, asked again at once."""
    cpu_s: list[float] = dataclasses.field(default_factory=list)
    """Processor time of the process in each cold round."""
    warm_calls: int | None = None
    supported: bool = True
    outcome: float = 0
    """What came out; the same for all drivers."""

    @property
    def cold(self) -> measure.Times:
        """Wall times of the cold rounds."""
        return measure.Times(tuple(self.cold_s))

    @property
    def warm(self) -> measure.Times:
        """Wall times of the warm rounds."""
        return measure.Times(tuple(self.warm_s))

    @property
    def cpu(self) -> measure.Times:
        """Processor times."""
        return measure.Times(tuple(self.cpu_s))


class Costs:
    """All that was measured in one run."""

    def __init__(self, costs: Iterable[Cost]) -> None:
        self._costs = {(cost.guests, cost.subject, cost.verb): cost
                       for cost in costs}

    def get(self, guests: int, subject: str, verb: str) -> Cost | None:
        """Return one, None where nothing was measured."""
        cost = self._costs.get((guests, subject, verb))
        return cost if cost is not None and cost.cold_s else None

    @property
    def sizes(self) -> list[int]:
        """The numbers of guests."""
        return sorted({guests for guests, _, _ in self._costs})

    @property
    def subjects(self) -> list[str]:
        """The subjects, in the order of their measures."""
        return list(dict.fromkeys(subject for _, subject, _ in self._costs))

    @property
    def driver(self) -> str:
        """Which subject is this driver."""
        return 'ours' if 'ours' in self.subjects else 'alone'

    def of(self, guests: int, subject: str) -> list[Cost]:
        """Return all costs of a subject with so many guests."""
        return [cost for (size, name, _), cost in self._costs.items()
                if size == guests and name == subject]

    def plain(self) -> list[dict[str, Any]]:
        """Return all for JSON."""
        return [dataclasses.asdict(cost) for cost in self._costs.values()]


def goals(costs: Costs) -> list[measure.Row]:
    """Return what is to be reached, as far as it was measured."""
    rows = [*_of_audit(costs, costs.driver)]
    for guests in costs.sizes:
        for cost in costs.of(guests, costs.driver):
            if cost.cold_s:
                rows.append(_calls(cost))
    return rows


def _of_audit(costs: Costs, driver: str) -> Iterable[measure.Row]:
    for guests in costs.sizes:
        ours = costs.get(guests, driver, verbs.AUDIT)
        theirs = costs.get(guests, 'in-tree', verbs.AUDIT)
        limit = costs.get(guests, 'libvirt', verbs.LIMIT)
        if ours is None:
            continue
        if theirs is not None:
            yield measure.Row(
                what=f'{guests} guests: audit, how much faster than in-tree',
                value=theirs.cold.median_s / ours.cold.median_s, unit='x',
                at_least=FASTER_MIN if guests == FASTER_AT else None)
        if limit is not None:
            yield measure.ratio_row(
                f'{guests} guests: audit to one plain call', ours.cold,
                limit.cold, at_most=LIMIT_MAX if guests == LIMIT_AT else None)
        yield measure.Row(what=f'{guests} guests: programs of an audit',
                          value=ours.programs, at_most=0)


def _calls(cost: Cost) -> measure.Row:
    return measure.Row(
        what=f'{cost.guests} guests: calls of {cost.verb}', value=cost.calls,
        at_most=SYNC_CALLS_MAX if cost.verb == verbs.SYNC else CALLS_MAX)


def table(costs: Costs, guests: int) -> str:
    """Return what everything costs with so many guests."""
    drivers = [name for name in costs.subjects if name != 'libvirt']
    lines = [_heading(drivers)]
    lines += [_line(costs, guests, verb, drivers) for verb in verbs.CONTRACT]
    lines += [_plain_line(cost, len(lines[0]))
              for cost in costs.of(guests, 'libvirt')]
    return f'{guests} guests\n{measure.columns(lines)}'


def _heading(drivers: Sequence[str]) -> list[str]:
    cells = ['']
    for name in drivers:
        cells += [name, 'quartiles', 'again', 'CPU', 'calls', 'local',
                  'programs', 'rounds']
    return [*cells, 'faster'] if len(drivers) > 1 else cells


def _line(costs: Costs, guests: int, verb: str,
          drivers: Sequence[str]) -> list[str]:
    found = [costs.get(guests, name, verb) for name in drivers]
    cells = [verb]
    for cost in found:
        cells += _cells(cost)
    if len(drivers) > 1:
        ours, theirs = found
        cells.append('' if ours is None or theirs is None else (
            f'{theirs.cold.median_s / ours.cold.median_s:.3g} x'))
    return cells


def _cells(cost: Cost | None) -> list[str]:
    if cost is None:
        return ['not supported', *[''] * 7]
    again = duration(cost.warm.median_s) if cost.warm_s else ''
    low_ms = measure.spread([one * 1000 for one in cost.cold_s])
    return [duration(cost.cold.median_s), low_ms and f'{low_ms} ms', again,
            duration(cost.cpu.median_s), str(cost.calls),
            str(cost.local_calls), str(cost.programs), str(len(cost.cold_s))]


def _plain_line(cost: Cost, width: int) -> list[str]:
    cells = [f'libvirt, {cost.verb}', *_cells(cost)]
    return cells + [''] * (width - len(cells))


def duration(seconds: float) -> str:
    """Return a time as a text of three digits."""
    if seconds >= 1:
        return f'{seconds:.3g} s'
    return f'{seconds * 1000:.3g} ms'
