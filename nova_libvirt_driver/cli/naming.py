# SPDX-License-Identifier: Apache-2.0

"""Which server a person means: a name, an id, or the beginning of an id."""

from collections.abc import Iterable
from collections.abc import Sequence
import difflib
import re
from typing import TYPE_CHECKING

from oslo_config import cfg

from nova_libvirt_driver.cli import errors
from nova_libvirt_driver import exception
from nova_libvirt_driver.spec import instance as instance_spec

if TYPE_CHECKING:
    from nova_libvirt_driver import driver as driver_module

Summary = instance_spec.InstanceSummary

_PREFIX = re.compile('[0-9a-f][0-9a-f-]{3,}')
_NAME = re.compile('[A-Za-z0-9][A-Za-z0-9._-]{0,62}')


def shown(row: Summary) -> str:
    """Return the name by which a person knows a server."""
    return row.display_name or row.name


def on_host(driver: 'driver_module.LibvirtDriver', word: str) -> Summary:
    """Return the one server of this host that is meant; see :func:`find`."""
    return find(driver.list_instance_summaries(), word, cfg.CONF.host)


def find(rows: Sequence[Summary], word: str, host: str) -> Summary:
    """Return the one server that is meant.

    :raises NotFound: there is none
    :raises UsageError: it may be one of several
    :raises ForeignDomain: it is not ours
    """
    found = _matches(rows, word)
    if not found:
        raise errors.NotFound(
            f'server {word} was not found on host {host}',
            advice(word, [shown(row) for row in rows if row.owned],
                   'nova-libvirt server list'))
    if len(found) > 1:
        ids = ', '.join(f'{row.uuid} ({shown(row)})' for row in found)
        raise errors.UsageError(
            f'{word} may be each of {len(found)} servers: {ids}',
            'name it by its id')
    if not found[0].owned:
        raise exception.ForeignDomain(
            instance=word, host=host, folder=found[0].other_folder)
    return found[0]


def find_all(
        rows: Sequence[Summary], words: Iterable[str],
        host: str) -> list[Summary]:
    """Return the servers that are meant, each of them once."""
    found = {}
    for word in words:
        row = find(rows, word, host)
        found[row.uuid] = row
    return list(found.values())


def check_new(rows: Iterable[Summary], name: str, host: str) -> None:
    """See whether a server can get a name.

    :raises UsageError: it is no name
    :raises InstanceExists: a domain of this host has it
    """
    if not _NAME.fullmatch(name) or instance_spec.is_uuid(name):
        raise errors.UsageError(
            f'{name!r} is not a valid name for a server',
            'take up to 63 letters, digits, dots, hyphens and underscores; '
            'begin with a letter or digit')
    if any(name in (row.name, row.display_name) for row in rows):
        raise exception.InstanceExists(instance=name, host=host)


def advice(word: str, known: Iterable[str], listing: str) -> str:
    """Return what to type instead of a wrong word.

    :param listing: command that lists what there is
    """
    names = {name.lower(): name for name in known}
    close = [names[name] for name in difflib.get_close_matches(
        word.lower(), names)]
    if not close:
        return f'list what there is: {listing}'
    return f'did you mean {" or ".join(close)}? List all: {listing}'


def _matches(rows: Sequence[Summary], word: str) -> list[Summary]:
    """Return the servers of the best kind of match that there is."""
    kinds = (
        [row for row in rows if row.uuid == word.lower()],
        # Of two with the same name, the one that is ours is meant.
        [row for row in rows if row.owned and word in (
            row.name, row.display_name)],
        [row for row in rows if word in (row.name, row.display_name)],
        [row for row in rows if _PREFIX.fullmatch(word.lower())
         and row.uuid.startswith(word.lower())])
    return next((kind for kind in kinds if kind), [])
