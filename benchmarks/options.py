# SPDX-License-Identifier: Apache-2.0

"""The options that all benchmarks have."""

import argparse

from benchmarks import measure


def parse(description: str, *, rounds: int) -> argparse.Namespace:
    """Return the options of the command line.

    :param rounds: how often each way is measured by default
    """
    return parser(description, rounds=rounds).parse_args()


def parser(
        description: str | None, *, rounds: int) -> argparse.ArgumentParser:
    """Return a parser for these options, and for more of them.

    :param rounds: how often each way is measured by default
    """
    made = argparse.ArgumentParser(description=description)
    made.add_argument(
        '--json', metavar='FILE', help='write the result to a file, too')
    made.add_argument(
        '--rounds', metavar='N', type=_rounds, default=rounds,
        help=f'measure so many times (default: {rounds}, at least '
        f'{measure.MIN_ROUNDS})')
    return made


def _rounds(text: str) -> int:
    number = int(text)
    if number < measure.MIN_ROUNDS:
        raise argparse.ArgumentTypeError(
            f'fewer than {measure.MIN_ROUNDS} rounds tell nothing')
    return number
