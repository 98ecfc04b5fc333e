# SPDX-License-Identifier: Apache-2.0

"""A relay between clients and a daemon, as a process of its own.

It hands on every byte, cuts all its links when told to, and can let the
daemon appear to be of another version: it knows so much of libvirt's protocol
that it finds the answer to that question. Passed file descriptors are lost.
"""

import contextlib
import dataclasses
import os
import pathlib
import selectors
import socket
import struct
import subprocess
import sys
from typing import Self

_HEADER = struct.Struct('>I I I i I i I')
"""Length of the message, program, its version, procedure, type, serial
number, status: see ``virnetprotocol.x``."""
_PROGRAM, _REPLY, _OK = 0x20008086, 1, 0
_GET_LIB_VERSION = 157
_CHUNK_BYTES = 1 << 16


class Relay:
    """The process, from the outside; a context manager.

    :param target: socket of the daemon
    :param path: the socket that the relay makes
    """

    def __init__(self, target: str | os.PathLike[str],
                 path: str | os.PathLike[str]) -> None:
        self.uri = f'qemu+unix:///system?socket={path}'
        self._argv = [sys.executable, '-m', __spec__.name, str(target),
                      str(path)]
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            self._argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            text=True, cwd=pathlib.Path(__file__).parents[2])
        self._await('ready')
        return self

    def __exit__(self, *exc_info: object) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.communicate(timeout=60)

    def cut(self) -> None:
        """Close every link; new ones are accepted."""
        self._tell('cut')

    def pretend(self, lib_version: int) -> None:
        """Let the daemon tell that version from now on; 0 for its own."""
        self._tell(f'version {lib_version}')

    def _tell(self, command: str) -> None:
        assert self._process is not None and self._process.stdin is not None
        self._process.stdin.write(f'{command}\n')
        self._process.stdin.flush()
        self._await('done')

    def _await(self, word: str) -> None:
        assert self._process is not None
        assert self._process.stdout is not None
        said = self._process.stdout.readline().strip()
        if said != word:
            raise AssertionError(f'the relay says {said!r}, not {word!r}')


@dataclasses.dataclass(eq=False)
class _Link:
    """One client and its connection to the daemon."""

    client: socket.socket
    daemon: socket.socket
    answers: bytes = b''

    def close(self) -> None:
        self.client.close()
        self.daemon.close()


class _Server:
    """What the process does."""

    def __init__(self, target: str, path: str) -> None:
        self._target = target
        self._lib_version = 0
        self._links: set[_Link] = set()
        self._selector = selectors.DefaultSelector()
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(path)
        self._listener.listen(100)
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._selector.register(sys.stdin, selectors.EVENT_READ)

    def run(self) -> None:
        print('ready', flush=True)
        while True:
            for key, _ in self._selector.select():
                if key.fileobj == sys.stdin:
                    line = sys.stdin.readline()
                    if not line:
                        return
                    self._obey(*line.split())
                elif key.fileobj is self._listener:
                    self._accept()
                elif key.data in self._links:
                    self._hand_on(key.data, key.fileobj)

    def _obey(self, command: str, *words: str) -> None:
        if command == 'cut':
            for link in list(self._links):
                self._cut(link)
        else:
            self._lib_version = int(words[0])
        print('done', flush=True)

    def _accept(self) -> None:
        client, _ = self._listener.accept()
        daemon = socket.socket(socket.AF_UNIX)
        try:
            daemon.connect(self._target)
        except OSError:
            client.close()
            daemon.close()
            return
        link = _Link(client, daemon)
        self._links.add(link)
        self._selector.register(client, selectors.EVENT_READ, link)
        self._selector.register(daemon, selectors.EVENT_READ, link)

    def _hand_on(self, link: _Link, source: object) -> None:
        to_client = source is link.daemon
        try:
            chunk = (link.daemon if to_client else link.client).recv(
                _CHUNK_BYTES)
            if to_client:
                link.client.sendall(self._rewritten(link, chunk))
            else:
                link.daemon.sendall(chunk)
        except OSError:
            chunk = b''
        if not chunk:
            self._cut(link)

    def _cut(self, link: _Link) -> None:
        for end in (link.client, link.daemon):
            with contextlib.suppress(KeyError):
                self._selector.unregister(end)
        link.close()
        self._links.discard(link)

    def _rewritten(self, link: _Link, chunk: bytes) -> bytes:
        """Return the whole messages of what has come, as the client's."""
        link.answers += chunk
        ready = b''
        while len(link.answers) >= _HEADER.size:
            length = struct.unpack_from('>I', link.answers)[0]
            if len(link.answers) < length:
                break
            ready += self._message(link.answers[:length])
            link.answers = link.answers[length:]
        return ready

    def _message(self, message: bytes) -> bytes:
        _, program, _, procedure, kind, _, status = _HEADER.unpack_from(
            message)
        if self._lib_version and (program, procedure, kind, status) == (
                _PROGRAM, _GET_LIB_VERSION, _REPLY, _OK):
            return message[:_HEADER.size] + struct.pack(
                '>Q', self._lib_version)
        return message


if __name__ == '__main__':
    _Server(*sys.argv[1:]).run()
