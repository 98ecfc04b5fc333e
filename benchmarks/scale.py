# SPDX-License-Identifier: Apache-2.0

"""What the contract's calls cost with 10, 50, 200 and 1,000 guests.

With this driver under Nova, with Nova's own driver, and with one plain call
of libvirt, in turns on the same private host; without ``tools/nova-env`` with
this driver alone. Five guests run.
"""

import argparse
from collections.abc import Mapping
from collections.abc import Sequence
import contextlib
import json
import sys

from benchmarks import measure
from benchmarks import options
from benchmarks import plot
from benchmarks import scale_report
from benchmarks import subjects
from benchmarks import verbs

SIZES = (10, 50, 200, 1000)
BUDGET_S = 60.0
"""A verb of Nova's driver is not measured any more after so long."""
WARM_UP_MAX = 200
"""With more guests than these, Nova's driver takes too long to warm up."""


def measure_size(
        rig: subjects.Rig, guests: int,
        rounds: int) -> list[scale_report.Cost]:
    """Measure everything with so many guests."""
    rig.herd.grow(guests)
    with contextlib.ExitStack() as stack:
        *drivers, libvirt = (
            stack.enter_context(rig.subject(name))
            for name in (*subjects.drivers(), 'libvirt'))
        costs = []
        for verb in verbs.CONTRACT:
            # The limit is measured in turns with what it is the limit of.
            plain = verbs.LIMITS if verb == verbs.AUDIT else ()
            costs += _measure(
                [*((driver, verb) for driver in drivers),
                 *((libvirt, groups) for groups in plain)], guests, rounds)
        return costs


def _measure(
        ways: Sequence[tuple[subjects.Subject, str]], guests: int,
        rounds: int) -> list[scale_report.Cost]:
    costs = [_count(subject, verb, guests) for subject, verb in ways]
    turns = [(subject, cost) for (subject, _), cost in zip(
        ways, costs, strict=True) if cost.supported]
    agree({cost.subject: cost.outcome for subject, cost in turns
           if subject.name != 'libvirt'})
    for number in range(rounds):
        shift = number % max(1, len(turns))
        for subject, cost in turns[shift:] + turns[:shift]:
            if sum(cost.cold_s) < BUDGET_S:
                _time(subject, cost)
    return costs


def _count(
        subject: subjects.Subject, verb: str,
        guests: int) -> scale_report.Cost:
    """Count what a verb does."""
    cost = scale_report.Cost(guests, subject.name, verb)
    if subject.name != 'in-tree' or guests <= WARM_UP_MAX:
        subject.ask(verb)
    answer = subject.ask(verb, how='count', pause_s=subjects.COLD_S)
    if 'unsupported' in answer:
        cost.supported = False
        return cost
    cost.calls, cost.local_calls = answer['calls'], answer['local_calls']
    cost.programs, cost.by_name = answer['programs'], answer['by_name']
    if is_ours(subject):
        cost.warm_calls = subject.ask(verb, how='count')['calls']
    cost.outcome = answer['outcome']
    return cost


def _time(subject: subjects.Subject, cost: scale_report.Cost) -> None:
    cold = subject.ask(cost.verb, pause_s=subjects.COLD_S)
    cost.cold_s.append(cold['wall_s'])
    cost.cpu_s.append(cold['cpu_s'])
    if is_ours(subject):
        cost.warm_s.append(subject.ask(cost.verb)['wall_s'])


def is_ours(subject: subjects.Subject) -> bool:
    """Say whether a subject is this driver, which remembers answers."""
    return subject.name in ('ours', 'alone')


def agree(outcomes: Mapping[str, float]) -> None:
    """See to it that all drivers have done the same work."""
    if len(set(outcomes.values())) > 1:
        raise SystemExit(f'the drivers have different results: {outcomes}')


def main() -> int:
    """Print the tables and return the exit code."""
    parser = options.parser(__doc__, rounds=measure.MIN_ROUNDS)
    parser.add_argument(
        '--guests', metavar='N,...', type=_sizes, default=SIZES,
        help='measure with so many guests (default: '
        f'{",".join(map(str, SIZES))})')
    plot.add_option(parser)
    arguments = parser.parse_args()
    found: list[scale_report.Cost] = []
    with subjects.rig('scale') as rig:
        for guests in arguments.guests:
            found += measure_size(rig, guests, arguments.rounds)
            print(scale_report.table(scale_report.Costs(found), guests),
                  end='\n\n', flush=True)
    costs = scale_report.Costs(found)
    goals = scale_report.goals(costs)
    print(measure.table(goals))
    if arguments.json:
        with open(arguments.json, 'w', encoding='utf-8') as file:
            json.dump({'costs': costs.plain(),
                       'goals': measure.plain(goals)}, file, indent=1)
            file.write('\n')
    if arguments.plot:
        plot.draw(costs, arguments.plot)
    return measure.exit_code(goals)


def _sizes(text: str) -> tuple[int, ...]:
    sizes = tuple(sorted({int(word) for word in text.split(',')}))
    if not sizes or sizes[0] < 1:
        raise argparse.ArgumentTypeError('there is at least one guest')
    return sizes


if __name__ == '__main__':
    sys.exit(main())
