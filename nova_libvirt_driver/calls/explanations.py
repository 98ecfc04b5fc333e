# SPDX-License-Identifier: Apache-2.0

"""What the commonest errors of libvirt and QEMU mean, and what helps.

They are in ``explanations.toml``. It is read with this module: a process that
meets its first error may have no file left to open, or no right to it any
more.
"""

import dataclasses
import functools
import pathlib
import re
import shlex
import tomllib
from typing import Any

import libvirt

_DATA: dict[str, Any] = tomllib.loads(
    pathlib.Path(__file__).with_suffix('.toml').read_text(encoding='utf-8'))


@dataclasses.dataclass(frozen=True, slots=True)
class Explanation:
    """One error."""

    code: int
    """Libvirt's number."""
    words: str
    """Regular expression that finds it among others of that code."""
    cause: str
    next_step: str
    """Has NAME where the group *name* of the words goes."""
    domains: frozenset[int] = frozenset()
    """Parts of libvirt that it is about; empty for any."""

    @property
    def name(self) -> str:
        """Libvirt's name of the number."""
        return NAMES.get(self.code, '')


NAMES: dict[int, str] = {
    value: name for name, value in vars(libvirt).items()
    if name.startswith('VIR_ERR_') and isinstance(value, int)
    # They say how bad an error is, and have small numbers, too.
    and name not in ('VIR_ERR_NONE', 'VIR_ERR_WARNING', 'VIR_ERR_ERROR')}


@functools.cache
def table() -> tuple[Explanation, ...]:
    """Return all explanations; of one code the more particular ones first."""
    return tuple(
        Explanation(
            getattr(libvirt, f'VIR_ERR_{each["code"]}'),
            '|'.join(each.get('words', ())), each['cause'],
            each['next_step'], frozenset(
                getattr(libvirt, f'VIR_FROM_{part}')
                for part in each.get('parts', ())))
        for each in _DATA['error'])


def find(
        code: int | None, message: str,
        domain: int | None = None) -> Explanation | None:
    """Return what explains an error best, None when nothing does.

    :param domain: number of the part of libvirt that has reported it
    """
    for each in table():
        if each.code == code and (
                not each.domains or domain in each.domains):
            found = re.search(each.words, message)
            if found:
                return _filled_in(each, found)
    return None


def _filled_in(
        explanation: Explanation, found: re.Match[str]) -> Explanation:
    name = found.groupdict().get('name')
    return explanation if name is None else dataclasses.replace(
        explanation, next_step=explanation.next_step.replace(
            'NAME', shlex.quote(name)))


def opening_advice(reason: str, *, embedded: bool) -> str | None:
    """Return what helps when a connection cannot be opened, if it is known.

    :param embedded: the hypervisor is in this process
    """
    for each in _DATA['embedded' if embedded else 'opening']:
        if each['words'] in reason:
            return str(each['next_step'])
    return None


def search(words: str) -> list[Explanation]:
    """Return what a number, a name or a message is explained by.

    :param words: as ``68``, ``VIR_ERR_OPERATION_TIMEOUT``,
        ``operation_timeout`` or what libvirt has printed
    """
    wanted = words.strip().upper().removeprefix('VIR_ERR_')
    found = [each for each in table()
             if wanted in (str(each.code), each.name.removeprefix('VIR_ERR_'))]
    return found or [each for each in table() if each.words
                     and re.search(each.words, words, re.IGNORECASE)]
