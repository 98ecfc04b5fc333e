# SPDX-License-Identifier: Apache-2.0

"""Processes under test, and the host that they share."""

from collections.abc import Iterator
from collections.abc import Sequence
import contextlib
import json
import os
import pathlib
import subprocess
import sys
import tempfile
from typing import Any

import libvirt

from benchmarks import nova_guests
from nova_libvirt_driver.testing import libvirtd

TREE = pathlib.Path(__file__).parents[1]
STATS_MAX_AGE_S = 0.5
"""How old an answer may be that is shared; else it takes seconds to wait."""
COLD_S = 0.6
"""How long nobody asks before an answer is of no use any more."""

_CONF = """
[DEFAULT]
host = bench
my_ip = 127.0.0.1
instances_path = {folder}/instances
state_path = {folder}
[libvirt]
connection_uri = {uri}
virt_type = qemu
disk_cachemodes = file=writeback
[nova_libvirt_driver]
stats_max_age = {max_age}
status_socket = off
"""


class SubjectError(Exception):
    """A subject could not do what it was told."""


class Subject:
    """The process of one subject; it is there until it is closed.

    :param name: one of :data:`benchmarks.verbs.BENCHES`
    :param words: more for its command line
    :param within: command that runs it elsewhere, such as ``nsenter``
    """

    def __init__(self, name: str, python: str, *words: str,
                 module: str = 'benchmarks.scale_subject',
                 eventlet: bool = False,
                 within: Sequence[str] = ()) -> None:
        self.name = name
        self._log = tempfile.TemporaryFile('w+')
        self._process = subprocess.Popen(
            [*within, python, '-W', 'ignore', '-m', module, name, *words],
            cwd=TREE, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=self._log, text=True, env={
                **os.environ,
                'OS_NOVA_DISABLE_EVENTLET_PATCHING':
                    str(not eventlet).lower()})
        self.first = self._read()
        """What it said when it was ready."""

    @property
    def pid(self) -> int:
        """Process id."""
        return self._process.pid

    def ask(self, verb: str, **more: Any) -> dict[str, Any]:
        """Let it do one thing; return its answer.

        :raises SubjectError: it failed, or the process ended
        """
        assert self._process.stdin is not None
        print(json.dumps({'verb': verb, **more}), flush=True,
              file=self._process.stdin)
        answer = self._read()
        if 'error' in answer:
            raise SubjectError(f'{self.name}, {verb}: {answer["error"]}')
        return answer

    def _read(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            self._log.seek(0)
            raise SubjectError(f'{self.name} ended: {self._log.read()}')
        answer: dict[str, Any] = json.loads(line)
        return answer

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.communicate()
        self._log.close()


class Rig:
    """A private host with guests, and who is measured there."""

    def __init__(
            self, host: libvirtd.PrivateHost, folder: pathlib.Path,
            connection: Any, **herd: Any) -> None:
        self.host = host
        self.folder = folder
        self.connection = connection
        self.herd = nova_guests.Herd(
            connection, folder / 'instances', **herd)
        self.conf = folder / 'nova.conf'
        self.conf.write_text(_CONF.format(
            folder=folder, uri=host.uri, max_age=STATS_MAX_AGE_S))

    @contextlib.contextmanager
    def subject(
            self, name: str, *words: str, eventlet: bool = False,
            module: str = '', within: Sequence[str] = (),
    ) -> Iterator[Subject]:
        """Start a subject for the guests that there are now."""
        kind = 'green' if eventlet else 'scale'
        started = Subject(
            name, python_for(name), str(self.conf), str(self.herd.size),
            *words, eventlet=eventlet, within=within,
            module=module or f'benchmarks.{kind}_subject')
        try:
            yield started
        finally:
            started.close()


@contextlib.contextmanager
def rig(name: str, **herd: Any) -> Iterator[Rig]:
    """Start a host, and leave nothing of it behind. Needs root.

    :param herd: as for :class:`nova_guests.Herd`
    """
    with (tempfile.TemporaryDirectory(prefix='bench-') as folder,
          libvirtd.PrivateHost(name) as host):
        connection = libvirt.open(host.uri)
        try:
            yield Rig(host, pathlib.Path(folder), connection, **herd)
        finally:
            connection.close()


def drivers() -> tuple[str, ...]:
    """Return the drivers that can be measured here, ours first."""
    return ('ours', 'in-tree') if nova_python().exists() else ('alone',)


def nova_python() -> pathlib.Path:
    """Return the Python of ``tools/nova-env``; it need not exist.

    NOVA_LIBVIRT_NOVA_VENV names another environment, as for that tool.
    """
    return pathlib.Path(os.environ.get(
        'NOVA_LIBVIRT_NOVA_VENV', TREE / '.venv-nova'), 'bin', 'python')


def python_for(name: str) -> str:
    """Return the Python that a subject runs with."""
    return str(nova_python()) if name in ('ours', 'in-tree') else (
        sys.executable)
