# SPDX-License-Identifier: Apache-2.0

"""How often a piece of work calls libvirt's C library and starts programs.

And threads, and how often it waits for the disk.

Counting costs time, so what is counted is not what is timed.
"""

import collections
from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Mapping
import contextlib
import dataclasses
import os
import re
import sys
import threading
from typing import Any

import libvirt

# These ask nobody: the object knows the answer, or it is bookkeeping of the
# library. Of one that fails the binding asks what the error was.
_LOCAL = re.compile(
    'vir[A-Z][A-Za-z]*?(Free|Ref|GetName|GetUUID|GetUUIDString|GetID'
    '|GetConnect)|vir(GetLast|ResetLast|SetError|ConnResetLast).*'
    '|virConnectIsAlive|virRegisterErrorHandler|virInitialize|virGetVersion')
_LOOP = 'virEvent'
_PROGRAMS = ('subprocess.Popen', 'os.fork', 'os.forkpty', 'os.posix_spawn',
             'os.system')


@dataclasses.dataclass(slots=True)
class Tally:
    """What was counted."""

    names: list[str] = dataclasses.field(default_factory=list)
    """Of the functions of the C library, in the order of the calls."""
    programs: int = 0
    threads: int = 0
    syncs: int = 0
    """Calls of fsync."""

    @property
    def by_name(self) -> Mapping[str, int]:
        """How often each function was called that may ask the daemon."""
        return collections.Counter(
            name for name in self.names if not is_local(name))

    @property
    def calls(self) -> int:
        """Calls that may ask the daemon."""
        return sum(self.by_name.values())

    @property
    def local_calls(self) -> int:
        """Calls that ask nobody."""
        return len(self.names) - self.calls


def is_local(name: str) -> bool:
    """Say whether a function of the C library asks no daemon."""
    return _LOCAL.fullmatch(name) is not None


class _Listening:
    """Stands before the module of C functions and notes what is called."""

    def __init__(self, module: Any, names: list[str]) -> None:
        self._module = module
        self._names = names

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._module, name)
        if not callable(value) or name.startswith(_LOOP):
            return value

        def call(*arguments: Any, **keywords: Any) -> Any:
            # Appending is safe between threads, adding to a number is not.
            self._names.append(name)
            return value(*arguments, **keywords)

        return call


@contextlib.contextmanager
def counted() -> Iterator[Tally]:
    """Count what the process does within, in any thread."""
    tally = Tally()
    module, sync = libvirt.libvirtmod, os.fsync
    start = threading.Thread.start

    def count_sync(descriptor: Any) -> None:
        tally.syncs += 1
        sync(descriptor)

    def count_start(thread: threading.Thread) -> None:
        tally.threads += 1
        start(thread)

    libvirt.libvirtmod = _Listening(module, tally.names)
    setattr(os, 'fsync', count_sync)
    setattr(threading.Thread, 'start', count_start)
    _tallies.append(tally)
    try:
        yield tally
    finally:
        _tallies.remove(tally)
        libvirt.libvirtmod = module
        setattr(os, 'fsync', sync)
        setattr(threading.Thread, 'start', start)


_tallies: list[Tally] = []


def _hear(event: str, arguments: tuple[Any, ...]) -> None:
    if _tallies and event in _PROGRAMS:
        for tally in _tallies:
            tally.programs += 1


def listen(add: Callable[[Any], None] = sys.addaudithook) -> None:
    """Begin to hear of programs; a hook cannot be taken away again."""
    add(_hear)
