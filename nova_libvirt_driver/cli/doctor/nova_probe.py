# SPDX-License-Identifier: Apache-2.0

"""Runs the probe of Nova, and reads what it says."""

from collections.abc import Iterable
from collections.abc import Iterator
import dataclasses
import json
import os
import pathlib
import subprocess
import sys
import tempfile
from typing import Any
from typing import TextIO

_SCRIPT = pathlib.Path(__file__).parents[2] / 'nova_plugin' / 'probe.py'

_SHOWN_LINES = 3


@dataclasses.dataclass(frozen=True, slots=True)
class Facts:
    """What the probe found; None where it did not get so far."""

    python: str = ''
    nova_file: str | None = None
    release: str = ''
    """Release of Nova, empty when nothing tells it."""
    alias: str | None = None
    """Where Python finds the module that Nova asks for."""
    config_files: tuple[str, ...] = ()
    compute_driver: str | None = None
    eventlet: bool | None = None
    """Whether nova-compute would run on eventlet's threads."""
    loaded: str | None = None
    """Name of the class that was loaded."""
    options: tuple[tuple[str, str, str], ...] | None = None
    """Name, how it is treated, and a remark, of each option that is set."""
    guests: tuple[tuple[str, str, bool], ...] | None = None
    """Name, a device from elsewhere, and whether that is kept; None when it
    was not asked for."""
    guests_problem: str = ''
    problem: str = ''


def ask(
        files: Iterable[str], folders: Iterable[str], *,
        timeout_s: float, guests: bool = False) -> Facts:
    """Return what nova-compute would make of its configuration.

    :param files: its configuration files, none for its own default
    :param folders: folders with more of them
    :param guests: look at the guests of the host, too
    """
    command = [
        # Without the folder of the script, whose modules have common names.
        sys.executable, '-P', str(_SCRIPT),
        *(f'--config-file={name}' for name in _absolute(files)),
        *(f'--config-dir={name}' for name in _absolute(folders)),
        *(['--guests'] if guests else [])]
    with (tempfile.TemporaryFile('w+') as said,
          tempfile.TemporaryFile('w+') as complaints):
        process = subprocess.Popen(
            command, stdout=said, stderr=complaints,
            stdin=subprocess.DEVNULL)
        try:
            code = process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            problem = f'Nova gave no answer within {timeout_s:g} s'
        else:
            problem = _last_words(code, complaints) if code else ''
        said.seek(0)
        return _facts(said.read(), problem)


def _absolute(names: Iterable[str]) -> Iterator[str]:
    return (os.path.abspath(name) for name in names)


def _facts(text: str, problem: str) -> Facts:
    found: dict[str, Any] = {'problem': problem}
    for line in text.splitlines():
        found.update(json.loads(line))
    for name in ('config_files', 'options', 'guests'):
        if name in found:
            found[name] = tuple(
                tuple(one) if isinstance(one, list) else one
                for one in found[name])
    return Facts(python=sys.executable, **found)


def _last_words(code: int, complaints: TextIO) -> str:
    """Return why the probe ended early."""
    complaints.seek(0)
    end = ' '.join(complaints.read().splitlines()[-_SHOWN_LINES:])
    return f'the probe ended with {code}: {end}'
