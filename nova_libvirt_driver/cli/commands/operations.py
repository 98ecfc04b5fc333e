# SPDX-License-Identifier: Apache-2.0

"""``nova-libvirt operations``: what is under way, and what was interrupted."""

import argparse
import dataclasses
from typing import Any

from oslo_config import cfg

from nova_libvirt_driver.cli.commands import base
from nova_libvirt_driver.cli import configuration
from nova_libvirt_driver.cli import confirmation
from nova_libvirt_driver.cli import errors
from nova_libvirt_driver.cli.output import cells
from nova_libvirt_driver.cli import sources
from nova_libvirt_driver.storage import journal as journal_module

_COLUMNS = ('ID', 'Operation', 'Server ID', 'State', 'Phase', 'Owner',
            'Begun', 'Hint')
_UNKNOWN = 'an unknown host'

Listed = tuple[tuple[str, ...], list[tuple[Any, ...]]]


class OperationsList(base.Lister):
    """Print the operations in the journal, those of other hosts as well.

    An operation of this host is under way, is open and waits for a decision,
    or was interrupted and is cleaned up by the running service within half a
    minute. How one of another host is, can be seen there only. A hint says
    what a person has to do about one that is open and cannot be decided.

    Example: nova-libvirt operations list
    """

    def take_action(self, parsed_args: argparse.Namespace) -> Listed:
        journal = _journal(
            configuration.load(base.arguments_of(self)))
        return _COLUMNS, [(
            cells.Id(note.id), cells.Text(note.operation),
            cells.Id(note.uuid), _state(journal, note),
            cells.Text(note.phase), _owner(note.owner),
            cells.moment(note.begun_at, f'{note.age()} ago'),
            cells.Text(note.values.get('hint', '') if note.is_open else ''),
        ) for note in journal.notes()]


class OperationsClean(base.Command):
    """Clean up after an interrupted operation.

    One of this host is finished or undone, as the service does by itself.
    One of another host is left to that host, unless --force says that it is
    gone for good and that the server runs nowhere. With --force, one that
    cannot be finished or undone is forgotten all the same.

    Example: nova-libvirt operations clean 3f9c
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        parser.add_argument(
            'operation', metavar='ID', help='id, or the beginning of one')
        parser.add_argument(
            '--force', action='store_true',
            help='also if its host is not known, or another one')
        confirmation.add_option(parser)
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        conf = configuration.load(base.arguments_of(self))
        journal = _journal(conf)
        note = _find(journal, parsed_args.operation)
        owner = note.owner or _UNKNOWN
        if parsed_args.force:
            confirmation.obtain(
                self.app, f'clean up a {note.operation} of server '
                f'{note.uuid} that is of {owner}', yes=parsed_args.yes)
        with sources.working(base.arguments_of(self)) as driver:
            driver.clean_up_operation(
                note.uuid, note.id, force=parsed_args.force)
        if note.id in (left.id for left in journal.notes()):
            raise errors.Conflict(
                f'operation {note.id} of {owner} stays',
                'leave it to that host, or wait for its decision; if that '
                'host is gone for good, and the server runs nowhere, add '
                '--force')


def _journal(conf: cfg.ConfigOpts) -> journal_module.Journal:
    return journal_module.Journal(conf.instances_path, conf.host)


def _owner(owner: journal_module.Owner | None) -> cells.Worded:
    if owner is None:
        return cells.Worded(None, _UNKNOWN)
    return cells.Worded(dataclasses.asdict(owner), str(owner))


def _state(
        journal: journal_module.Journal, note: journal_module.Note) -> str:
    if note.owner is None or note.owner.host != cfg.CONF.host:
        return 'elsewhere'
    if note.is_open:
        return 'open'
    return 'under way' if journal.is_held(note) else 'interrupted'


def _find(
        journal: journal_module.Journal, word: str) -> journal_module.Note:
    found = [note for note in journal.notes() if note.id.startswith(word)]
    if not found:
        raise errors.NotFound(
            f'no operation {word} found',
            'see which there are: nova-libvirt operations list')
    if len(found) > 1:
        raise errors.UsageError(
            f'{word} may be each of {len(found)} operations',
            'write more of its id')
    return found[0]
