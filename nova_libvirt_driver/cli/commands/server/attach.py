# SPDX-License-Identifier: Apache-2.0

"""A terminal, joined to the serial port of a guest.

Only to ports of this machine: the path of a pseudo-terminal on another
host would be that of somebody else's here.
"""

from collections.abc import Iterator
import contextlib
import dataclasses
import os
import re
import selectors
import socket
import stat
import termios
import tty

from nova_libvirt_driver.cli.doctor import check_connection
from nova_libvirt_driver.cli import errors
from nova_libvirt_driver import exception
from nova_libvirt_driver.xmlmodel import domain as domain_model

ESCAPE = b'\x1d'
"""Ctrl-] ends it."""

_CHUNK_BYTES = 4096
_CONNECT_S = 5.0
_PTY = re.compile(r'/dev/pts/[0-9]+')


@dataclasses.dataclass(frozen=True, slots=True)
class Place:
    """Where the host's end of a serial port is."""

    path: str = ''
    """Pseudo-terminal, empty for a TCP server."""
    host: str = ''
    port: int = 0


def place(xml: str, uri: str, name: str) -> Place:
    """Return where the serial port of a guest can be reached.

    :param xml: of the domain as it is now
    :param uri: of the hypervisor
    :param name: of the server, for errors
    :raises UsageError: the guest is on another machine
    :raises ConsoleUnavailable: there is none, or the guest is stopped
    """
    if check_connection.is_remote(uri):
        raise errors.UsageError(
            f'{uri} is another machine, whose consoles are there',
            'run it on that machine')
    domain = domain_model.Domain.parse(xml)
    if domain.id is None:
        raise exception.ConsoleUnavailable(
            instance=name, kind='serial', reason='the server is stopped')
    for serial in domain.devices.serials:
        path = serial.source_path or ''
        if serial.type == 'pty' and _PTY.fullmatch(path):
            return Place(path=path)
        port = serial.source_service or ''
        if serial.type == 'tcp' and port.isdecimal():
            return Place(host=serial.source_host or '127.0.0.1',
                         port=int(port))
    raise exception.ConsoleUnavailable(
        instance=name, kind='serial', reason='it was not asked for')


@contextlib.contextmanager
def opened(where: Place) -> Iterator[int]:
    """Lend a descriptor to read from and write to.

    :raises OSError: it cannot be opened
    """
    if not where.path:
        with socket.create_connection(
                (where.host, where.port), timeout=_CONNECT_S) as made:
            made.settimeout(None)
            yield made.fileno()
        return
    descriptor = os.open(
        where.path, os.O_RDWR | os.O_NOCTTY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        if not stat.S_ISCHR(os.fstat(descriptor).st_mode):
            raise errors.Conflict(
                f'{where.path} is not a terminal', 'start the server again')
        yield descriptor
    finally:
        os.close(descriptor)


def talk(guest: int, source: int, sink: int) -> None:
    """Pass bytes on in both directions, until Ctrl-] or the guest's end.

    :param guest: descriptor of the guest's port
    :param source: descriptor of the terminal that is typed into; it is as
        before in the end
    :param sink: descriptor of the terminal that shows
    """
    before = termios.tcgetattr(source)
    try:
        tty.setraw(source)
        with selectors.DefaultSelector() as ready:
            ready.register(guest, selectors.EVENT_READ)
            ready.register(source, selectors.EVENT_READ)
            while _pass_on(ready, guest, source, sink):
                continue
    finally:
        termios.tcsetattr(source, termios.TCSADRAIN, before)


def _pass_on(
        ready: selectors.BaseSelector, guest: int, source: int,
        sink: int) -> bool:
    """Pass on what is there; return whether it goes on."""
    for key, _ in ready.select():
        data = _read(key.fd)
        if not data:
            return False
        if key.fd == guest:
            _write(sink, data)
            continue
        typed, escape, _ = data.partition(ESCAPE)
        _write(guest, typed)
        if escape:
            return False
    return True


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, _CHUNK_BYTES)
    except OSError:
        # A pseudo-terminal whose other end is gone.
        return b''


def _write(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data):]
