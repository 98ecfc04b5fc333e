# SPDX-License-Identifier: Apache-2.0

"""A program that waits until something answers, and then becomes another.

It replaces a process that may have an embedded hypervisor, which others can
use once that process has ended. It is run with ``python -I -S``, and
needs the standard library alone.

usage: ssh_wait.py ADDRESS PORT SECONDS NAME COMMAND [WORD ...]

With an empty NAME it says nothing.
"""

from collections.abc import Callable
import contextlib
import os
import select
import socket
import sys
import time
from typing import TextIO

_AGAIN_S = 1.0
# The kernel sends its next packets at longer intervals.
_CONNECT_S = 10.0
_WIDTH = 80
_INTERRUPTED = 130


def answers(
        address: str, port: int, *, timeout_s: float,
        tell: Callable[[float], None] = lambda left_s: None) -> bool:
    """Wait until something is said at a port; say whether it is.

    That the port is open means nothing where QEMU forwards it. A connection
    is kept until it says something, as one after another may be taken for an
    attack; one that is refused or closed is retried, once a second.

    :param tell: gets the seconds that are left, about once a second
    """
    deadline = time.monotonic() + timeout_s
    while (left_s := deadline - time.monotonic()) > 0:
        tell(left_s)
        again = min(deadline, time.monotonic() + _AGAIN_S)
        with contextlib.suppress(OSError):
            if _speaks(address, port, deadline, tell):
                return True
        time.sleep(max(0.0, again - time.monotonic()))
    return False


def _speaks(
        address: str, port: int, deadline: float,
        tell: Callable[[float], None]) -> bool:
    """Say whether something is said before the connection ends.

    :raises OSError: the connection failed, or was lost
    """
    left_s = deadline - time.monotonic()
    with socket.create_connection(
            (address, port), min(left_s, _CONNECT_S)) as made:
        while (left_s := deadline - time.monotonic()) > 0:
            if select.select([made], [], [], min(left_s, _AGAIN_S))[0]:
                return bool(made.recv(1))
            tell(left_s)
    return False


class _Line:
    """The last line of a terminal, if there is one."""

    def __init__(self, stream: TextIO, begin: str) -> None:
        self._stream, self._begin = stream, begin
        self._is_shown = bool(begin) and stream.isatty()

    def tell(self, left_s: float) -> None:
        self._write(f'{self._begin} yet, {left_s:.0f} s left')

    def clear(self) -> None:
        self._write('')

    def _write(self, text: str) -> None:
        if self._is_shown:
            width = self._width() - 1
            self._stream.write(f'\r{text[:width]:<{width}}\r')
            self._stream.flush()

    def _width(self) -> int:
        try:
            return os.get_terminal_size(
                self._stream.fileno()).columns or _WIDTH
        except OSError:
            return _WIDTH


def main(words: list[str]) -> None:
    """Wait, and become the command in any case, which knows better."""
    address, port, seconds, name, *command = words
    line = _Line(sys.stderr, name and (
        f'reaching {name}: no answer from {address} port {port}'))
    try:
        found = answers(address, int(port), timeout_s=float(seconds),
                        tell=line.tell)
    except KeyboardInterrupt:
        line.clear()
        sys.stderr.write('Error: interrupted\n')
        sys.exit(_INTERRUPTED)
    line.clear()
    if name and not found:
        sys.stderr.write(
            f'note: {name} has not answered at {address} port {port} within '
            f'{seconds} s; ssh is tried all the same\n')
        sys.stderr.flush()
    os.execvp(command[0], command)


if __name__ == '__main__':
    main(sys.argv[1:])
