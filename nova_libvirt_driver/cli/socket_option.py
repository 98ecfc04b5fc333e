# SPDX-License-Identifier: Apache-2.0

"""Finds the status socket in configuration files, without oslo.config.

That takes longer to load than all the rest of ``health``. Only the three
options that matter are understood, and only as they are written usually:
whatever may mean something else is left to oslo.config.
"""

from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
import os
import re
import socket

from nova_libvirt_driver.compute import user_path
from nova_libvirt_driver.spec import status_socket

PROJECT = 'nova-libvirt'

_DEFAULT, _OWN = 'DEFAULT', 'nova_libvirt_driver'
_OPTIONS = {'host': _DEFAULT, 'state_path': _DEFAULT, 'status_socket': _OWN}

# What takes the place of files, or names more of them.
_ELSEWHERE = ('config_source', 'config_file', 'config_dir')
_VARIABLES = ('OS_DEFAULT__', f'OS_{_OWN.upper()}__', 'SNAP')

_NAME = r'[_a-z][._a-z0-9]*'
_REFERENCE = re.compile(rf'\$(?:({_NAME})|\{{({_NAME})\}})')
_PLAIN = re.compile(rf'(?:[\w./:@%+,=~-]|{_REFERENCE.pattern})*', re.ASCII)


class Unclear(Exception):
    """It takes oslo.config to know."""


def path(files: Sequence[str], environ: Mapping[str, str]) -> str:
    """Return the path of the socket, empty for none.

    :param files: what the command line names instead of the usual files
    :raises Unclear: it cannot be told
    :raises OSError: a file cannot be read
    :raises UnicodeDecodeError: a file is no text
    """
    if any(name.startswith(_VARIABLES) for name in environ):
        raise Unclear
    home = os.path.expanduser('~')
    values = {
        'host': socket.gethostname(), 'state_path': status_socket.STATE_PATH,
        'status_socket': status_socket.PATH}
    if os.geteuid():
        values['state_path'] = user_path.state(environ, home)
    # What the command line names is read last.
    usual = [] if files else _usual_files(home)
    for file in (*usual, *_files_of_folders(home), *files):
        values.update(_read(file))
    return status_socket.named_by(_resolved('status_socket', values))


def _first(home: str, name: str) -> str | None:
    """Return the first of the usual places where there is such a file."""
    for folder in (f'{home}/.{PROJECT}', home, f'/etc/{PROJECT}', '/etc'):
        place = os.path.join(folder, name)
        if os.path.exists(place):
            return place
    return None


def _usual_files(home: str) -> list[str]:
    found = _first(home, f'{PROJECT}.conf')
    return [found] if found else []


def _files_of_folders(home: str) -> list[str]:
    folder = _first(home, f'{PROJECT}.conf.d')
    if folder is None:
        return []
    return [os.path.join(folder, name) for name in sorted(os.listdir(folder))
            if name.endswith('.conf') and not name.startswith('.')]


def _read(file: str) -> dict[str, str]:
    """Return those of the options that a file sets."""
    values = {}
    with open(file) as lines:
        for section, key, value in _assignments(lines):
            name = key.lower().replace('-', '_')
            if section == _DEFAULT and name in _ELSEWHERE:
                raise Unclear
            if _OPTIONS.get(name, '').lower() != section.lower():
                continue
            if key not in _OPTIONS or section != _OPTIONS[key]:
                raise Unclear
            values[key] = value
    return values


def _assignments(lines: Iterator[str]) -> Iterator[tuple[str, str, str]]:
    section = ''
    for line in lines:
        text = line.rstrip()
        if not text or text.startswith(('#', ';')):
            continue
        heading = re.fullmatch(r'\[(.+)\]', text)
        if heading:
            section = heading[1]
            continue
        parts = re.fullmatch(r'([^\s=:][^=:]*)[=:](.*)', text)
        # A line that goes on with the one before it is among the others.
        if not (section and parts):
            raise Unclear
        yield section, parts[1].strip(), parts[2].strip()


def _resolved(name: str, values: Mapping[str, str]) -> str:
    value = values[name]
    if not _PLAIN.fullmatch(value):
        raise Unclear

    def referred(found: re.Match[str]) -> str:
        other = found[1] or found[2]
        if other == name or other not in values:
            raise Unclear
        return _resolved(other, values)

    return _REFERENCE.sub(referred, value)
