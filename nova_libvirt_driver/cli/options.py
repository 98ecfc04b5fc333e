# SPDX-License-Identifier: Apache-2.0

"""Options of the command line that every command takes.

They may stand before or after the command. Options of one command are with
that command.
"""

import argparse

from nova_libvirt_driver.cli import exit_code

_MIN_TIMEOUT_S = 0.1
_FILES = """\
configuration, unless --config-file names another file:
  nova-libvirt.conf and nova-libvirt-compute.conf, each of the first of the
  folders ~/.nova-libvirt, ~, /etc/nova-libvirt and /etc that has it, and the
  files in nova-libvirt.conf.d there; the service reads the same
"""


def parser(
        prog: str, description: str, version: str) -> argparse.ArgumentParser:
    """Return the parser for what may stand before the command."""
    made = argparse.ArgumentParser(
        prog=prog, description=description,
        epilog=f'{_FILES}\n{exit_code.HELP}',
        usage='%(prog)s [option ...] command [argument ...]',
        formatter_class=argparse.RawDescriptionHelpFormatter,
        add_help=False, allow_abbrev=False)
    _add_general(made, f'{prog} {version}')
    _add_target(made)
    _add_output(made)
    return made


def _add_general(made: argparse.ArgumentParser, version: str) -> None:
    made.add_argument(
        '-h', '--help', action='store_true',
        help='explain the command, or list the commands')
    made.add_argument(
        '--version', action='version', version=version,
        help='print the version of the client')
    made.add_argument(
        '--config-file', action='append', default=[], metavar='FILE',
        help='read this file instead of the usual ones; may be repeated')
    made.add_argument(
        '--config-dir', action='append', default=[], metavar='DIR',
        help='read the *.conf files of this folder too')


def _add_target(made: argparse.ArgumentParser) -> None:
    made.add_argument(
        '--uri', metavar='URI',
        help='connect to this libvirt, whatever the configuration says')
    made.add_argument(
        '--state-path', metavar='DIR',
        help='folder in which the service keeps its state; a service that '
             'runs there does what is asked for')
    made.add_argument(
        '--rpc', metavar='HOST',
        help='ask the compute service of HOST over the message bus')
    made.add_argument(
        '--timeout', type=_seconds, metavar='SECONDS',
        help='how long to wait for libvirt, the service or events')


def _add_output(made: argparse.ArgumentParser) -> None:
    group = made.add_mutually_exclusive_group()
    group.add_argument(
        '-v', '--verbose', action='count', default=1, dest='verbose_level',
        help='show log records too; twice for all of them')
    group.add_argument(
        '-q', '--quiet', action='store_const', const=0, dest='verbose_level',
        help='print only what calls for action')
    made.add_argument(
        '--log-file', metavar='FILE', help='write all log records to FILE')
    made.add_argument(
        '--debug', action='store_true',
        help='show all log records, and tracebacks of errors')


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not _MIN_TIMEOUT_S <= value < float('inf'):
        raise argparse.ArgumentTypeError(
            f'{text!r} is not a number of seconds from '
            f'{_MIN_TIMEOUT_S} upwards')
    return value
