# SPDX-License-Identifier: Apache-2.0

"""The options that all benchmarks have."""

import argparse

from benchmarks import measure


def parse(description: str, *, rounds: int) -> argparse.Namespace:
    """Return the options of the command line.

    :param rounds: how often each way is measured by default
    """
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument(
        '--json', metavar='FILE', help='write the result to a file, too')
    parser.add_argument(
        '--rounds', metavar='N', type=_rounds, default=rounds,
        help=f'measure so many times (default: {rounds}, at least '
        f'{measure.MIN_ROUNDS})')
    return parser.parse_args()


def _rounds(text: str) -> int:
    number = int(text)
    if number < measure.MIN_ROUNDS:
        raise argparse.ArgumentTypeError(
            f'fewer than {measure.MIN_ROUNDS} rounds tell nothing')
    return number
