# SPDX-License-Identifier: Apache-2.0

"""Asks the status socket of a running service; needs no libvirt."""

import json
import socket
import time
from typing import Any

MAX_BYTES = 1 << 20

_PIECE = 65536
_LOOK_S = 0.02


class NoAnswer(Exception):
    """There was no answer, or none that could be understood.

    :param reason: what has happened
    :param next_step: what to do about it
    """

    def __init__(self, reason: str, next_step: str) -> None:
        super().__init__(reason)
        self.next_step = next_step


class Absent(NoAnswer):
    """There is no service that could answer."""


class Forbidden(NoAnswer):
    """This user may not ask."""


def ask(path: str, timeout_s: float) -> dict[str, Any]:
    """Return the document of the service that listens at *path*.

    Blocks for at most *timeout_s*.

    :raises NoAnswer: there is none
    """
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as caller:
            return _parsed(_answer(caller, path, timeout_s))
    except (FileNotFoundError, ConnectionRefusedError) as error:
        raise Absent(
            f'no service listens at {path}',
            'start nova-libvirt-compute or nova-compute, or see whether it '
            'has the same [nova_libvirt_driver] status_socket') from error
    except PermissionError as error:
        raise Forbidden(
            f'no permission to ask at {path}',
            'ask as the user of the service, or as one of its group'
            ) from error
    except (TimeoutError, BlockingIOError) as error:
        raise NoAnswer(
            f'the service at {path} did not answer within {timeout_s:g} s',
            'see whether its process is stopped or overloaded') from error
    except (OSError, ValueError) as error:
        raise NoAnswer(
            f'no answer from {path}: {error}',
            'see whether [nova_libvirt_driver] status_socket names the '
            'socket of a service of the same version') from error


def _answer(caller: socket.socket, path: str, timeout_s: float) -> bytes:
    deadline = time.monotonic() + timeout_s
    caller.settimeout(timeout_s)
    _connect(caller, path, deadline)
    answer = bytearray()
    while len(answer) <= MAX_BYTES:
        left_s = deadline - time.monotonic()
        if left_s <= 0:
            raise TimeoutError
        caller.settimeout(left_s)
        piece = caller.recv(_PIECE)
        if not piece:
            return bytes(answer)
        answer += piece
    raise ValueError(f'more than {MAX_BYTES} bytes')


def _connect(
        caller: socket.socket, path: str, deadline: float) -> None:
    while True:
        try:
            return caller.connect(path)
        except BlockingIOError:
            # So many wait there that one more finds no room; a Unix
            # socket with a timeout says so at once.
            if time.monotonic() > deadline:
                raise
            time.sleep(_LOOK_S)


def _parsed(answer: bytes) -> dict[str, Any]:
    document = json.loads(answer)
    if not isinstance(document, dict):
        raise ValueError('it is not an object')
    if not all(isinstance(document.get(name), dict)
               for name in ('health', 'connection')):
        raise ValueError('it says nothing about health and connection')
    return document
