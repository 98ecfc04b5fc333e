# SPDX-License-Identifier: Apache-2.0

"""Cost against the number of guests, as a picture; needs matplotlib."""

import argparse
import importlib.util

from benchmarks import scale_report
from benchmarks import verbs

SHOWN = {verbs.AUDIT: verbs.LIMIT, verbs.SYNC: verbs.LIMIT_OF_STATES,
         'list_instances': verbs.LIMIT_OF_STATES,
         'get_diagnostics': verbs.LIMIT_OF_ALL}
"""Each verb, and the plain call beside it."""
_COLOURS = {'ours': 'tab:blue', 'alone': 'tab:blue', 'in-tree': 'tab:orange',
            'libvirt': 'tab:gray'}
_LACK = ("a plot needs matplotlib: pip install "
         "'nova-libvirt-driver[benchmarks]'")


def add_option(parser: argparse.ArgumentParser) -> None:
    """Let a command take the name of a file for its plot."""
    parser.add_argument(
        '--plot', metavar='FILE', type=_path,
        help='draw the cost against the number of guests, as SVG or by the '
        'ending of the name; needs matplotlib')


def _path(name: str) -> str:
    if importlib.util.find_spec('matplotlib') is None:
        raise argparse.ArgumentTypeError(_LACK)
    return name


def draw(costs: scale_report.Costs, path: str) -> None:
    """Write the picture."""
    from matplotlib import figure as figure_module

    figure = figure_module.Figure(figsize=(9, 7), layout='constrained')
    axes = figure.subplots(2, 2, sharex=True).flat
    for (verb, plain), axis in zip(SHOWN.items(), axes, strict=True):
        for subject in costs.subjects:
            sizes, times_ms = line(
                costs, subject, plain if subject == 'libvirt' else verb)
            if sizes:
                axis.plot(
                    sizes, times_ms, 'o-', color=_COLOURS[subject],
                    label=(f'plain {plain}' if subject == 'libvirt'
                           else subject))
        axis.set(title=verb, xscale='log', yscale='log',
                 xlabel='guests', ylabel='ms')
        axis.set_xticks(costs.sizes, [str(size) for size in costs.sizes])
        axis.minorticks_off()
        axis.grid(alpha=0.3)
        axis.legend()
    figure.savefig(path, format=None if '.' in path else 'svg')


def line(
        costs: scale_report.Costs, subject: str,
        verb: str) -> tuple[list[int], list[float]]:
    """Return the numbers of guests and what a verb takes, in ms."""
    found = [(guests, cost.cold.median_s * 1000) for guests in costs.sizes
             if (cost := costs.get(guests, subject, verb)) is not None]
    return [guests for guests, _ in found], [time_ms for _, time_ms in found]
