# SPDX-License-Identifier: Apache-2.0

"""The check of ``doctor`` that looks for what killed processes have left."""

from collections.abc import Collection
from collections.abc import Iterable
from collections.abc import Iterator

from nova_libvirt_driver.cli.doctor import checks
from nova_libvirt_driver.cli import leftovers as leftovers_module
from nova_libvirt_driver.compute import demo_folder
from nova_libvirt_driver.images import folder as image_folder
from nova_libvirt_driver.storage import journal as journal_module

TOPIC = checks.Topic('leftovers')

_SHOWN = 5
_OLD_S = 3600.0
"""Another host's operation that takes no longer is not worth a word."""


def leftovers(
        instances_path: str, images_path: str, host: str,
        owner: journal_module.Owner | None,
        domains: Collection[str] | None = None) -> checks.Check:
    """Name files, operations and guests without a process.

    :param images_path: folder of this host's images
    :param domains: uuids of libvirt's domains, None if they are not known
    :param owner: this host with its libvirt, None when that does not answer
    """
    journal = journal_module.Journal(instances_path, host)
    mine, waiting, others = _operations(journal, host, owner)
    found = [*image_folder.ImageFolder(images_path).left(), *mine,
             *_demonstrations(demo_folder.left())]
    if found:
        return TOPIC.warning(
            f'left by killed processes: {_listed(found)}',
            'start the service, or run a command that changes a server: both '
            'remove them; "nova-libvirt operations list" shows more')
    unreadable = journal.unreadable()
    if unreadable:
        return TOPIC.warning(
            f'entries of operations that cannot be read: '
            f'{_listed(unreadable)}',
            'run this as another user; remove those that are damaged, after '
            'a look at the server')
    if waiting:
        return TOPIC.warning(
            f'open until more is known: {_listed(list(waiting))}',
            '; '.join(dict.fromkeys(list(waiting.values())[:_SHOWN])))
    if others:
        return TOPIC.warning(
            f'under way for long, or interrupted, elsewhere: '
            f'{_listed(others)}',
            'start the service on that host; "nova-libvirt operations list" '
            'shows them all')
    strange = [f'{one.path} ({one.reason})' for one in (
        *(one for one in leftovers_module.of_images(images_path)
          if one.kind == leftovers_module.IMAGE),
        *(() if domains is None else leftovers_module.of_instances(
            instances_path, host, domains)[0]))]
    if strange:
        return TOPIC.warning(
            f'nothing belongs to {_listed(strange)}',
            'remove what is not wanted: nova-libvirt gc')
    return TOPIC.ok('no killed process has left anything')


def _listed(found: list[str]) -> str:
    more = f', and {len(found) - _SHOWN} more' * (len(found) > _SHOWN)
    return ', '.join(found[:_SHOWN]) + more


def _operations(
        journal: journal_module.Journal, host: str,
        owner: journal_module.Owner | None
) -> tuple[list[str], dict[str, str], list[str]]:
    """Return what this host has left, and what others may have.

    :returns: between them, what waits for an operator, with what to do
    """
    mine, waiting, others = [], {}, []
    for note in journal.notes():
        words = (f'an interrupted {note.operation} of instance {note.uuid}, '
                 f'{note.age()} old')
        if note.owner is not None and note.owner.host == host and (
                owner is None or note.owner == owner):
            if note.is_open and 'hint' in note.values:
                waiting[f'a {note.operation} of instance {note.uuid}, '
                        f'{note.phase}'] = str(note.values['hint'])
            elif not note.is_open and not journal.is_held(note):
                mine.append(words)
        elif note.owner is None or note.age_s > _OLD_S:
            others.append(f'{words}, of {note.owner or "an unknown host"}')
    return mine, waiting, others


def _demonstrations(paths: Iterable[str]) -> Iterator[str]:
    for path in paths:
        yield f'a demonstration and its guest ({path})'
