# SPDX-License-Identifier: Apache-2.0

"""Asking before something is lost."""

import argparse

from cliff import app as cliff_app

from nova_libvirt_driver.cli import errors
from nova_libvirt_driver.cli.output import terminal


def add_option(parser: argparse.ArgumentParser) -> None:
    """Add the option that answers in advance."""
    parser.add_argument(
        '-y', '--yes', action='store_true',
        help='do not ask; needed where there is no terminal')


def obtain(app: cliff_app.App, what: str, *, yes: bool) -> None:
    """Ask whether to go on, unless that was said on the command line.

    :param what: what would be done, as a command: "delete server web1"
    :raises UsageError: there is no terminal to ask on
    :raises Conflict: the answer is no
    """
    if yes:
        return
    what = terminal.plain(what)
    if not (terminal.is_terminal(app.stdin)
            and terminal.is_terminal(app.stderr)):
        raise errors.UsageError(
            f'to {what} has to be confirmed', 'say --yes if you mean it')
    app.stderr.write(f'{what[:1].upper()}{what[1:]}? [y/N] ')
    app.stderr.flush()
    if app.stdin.readline().strip().lower() not in ('y', 'yes'):
        raise errors.Conflict(
            'it was not confirmed', 'answer y, or say --yes')
