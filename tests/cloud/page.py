# SPDX-License-Identifier: Apache-2.0

"""Read what a page of the documentation tells its reader to do.

Before a block there may be a comment, which the page does not show: ``.. not
run: REASON``, or ``.. exit 1: REASON`` where the commands say in the cloud of
the tests that something is not as it should be.
"""

from collections.abc import Iterator
import dataclasses
import pathlib
import re
import textwrap

_BLOCK = re.compile(
    r'(?:^\.\. (?P<mark>not run|exit 1): (?P<reason>\S.*)\n\n)?'
    r'^\.\. code-block:: (?P<language>\S+)\n\n'
    r'(?P<text>(?:(?:[ ].*)?\n)+)', re.MULTILINE)
_COMMAND = re.compile(r'(?P<prompt>[$#]) (?P<words>(?:.*\\\n)*.*)')
# How a command begins that somebody could type.
_PROGRAMS = ('openstack', 'nova-libvirt', 'systemctl', 'python3', 'VENV/')


@dataclasses.dataclass(frozen=True)
class Step:
    """One command, or lines for nova-compute's file."""

    text: str
    is_root: bool = False
    is_file: bool = False
    not_run: str = ''
    """Why the cloud can't do it; empty otherwise."""

    exits: int = 0


def steps(path: pathlib.Path) -> list[Step]:
    """Return what is to be done, in the order of the page.

    :raises ValueError: a command is told of in a sentence, where this would
        not see it
    """
    text = path.read_text()
    found = [step for match in _BLOCK.finditer(text)
             for step in _steps_of(match)]
    prose = _BLOCK.sub('', text)
    hidden = [literal for literal in re.findall(r'``([^`]+)``', prose)
              if literal.startswith(_PROGRAMS) and ' ' in literal]
    if hidden:
        raise ValueError(f'{path.name}: no block of its own: {hidden}')
    return found


def _steps_of(block: re.Match[str]) -> Iterator[Step]:
    text = textwrap.dedent(block['text']).strip()
    not_run = block['reason'] if block['mark'] == 'not run' else ''
    if block['language'] != 'console':
        yield Step(text, is_file=True, not_run=not_run)
        return
    for match in _COMMAND.finditer(text):
        yield Step(
            re.sub(r'\s*\\\n\s*', ' ', match['words']),
            is_root=match['prompt'] == '#', not_run=not_run,
            exits=int(block['mark'] == 'exit 1'))
