# SPDX-License-Identifier: Apache-2.0

"""Ask a guest over its serial console what it finds around it."""

import hashlib
import os
import pty
import re
import select
import subprocess
import time

from checks import session

PASSWORD = 'gocubsgo'
_ANSWERS = (
    (re.compile(r'assword: $'), PASSWORD),
    (re.compile(r'login: $'), 'root'),
    (re.compile(r'# (\x1b\[6n)?$'), 'hardware; exit'),
)
_FACT = re.compile(r'hw: (?P<name>.+?):(?: (?P<value>.*)|$)')
_END = re.compile(r'hw end: ([0-9a-f]{32})\r\n')
# A guest that boots says something more often than that; at a prompt, an
# empty line makes it say it again.
_SILENCE_S = 10


def hardware(domain: str, limit_s: float = 240) -> dict[str, str]:
    """Log in, run ``hardware``, and return what it says.

    :param domain: name of the guest's domain
    :raises Failed: no complete answer came in time
    """
    ours, theirs = pty.openpty()
    with os.fdopen(ours, 'r+b', buffering=0) as terminal:
        process = subprocess.Popen(
            ['virsh', '-q', 'console', '--force', domain], stdin=theirs,
            stdout=theirs, stderr=theirs, start_new_session=True)
        os.close(theirs)
        try:
            return _talk(terminal.fileno(), domain, limit_s)
        finally:
            process.kill()
            process.wait()


def _talk(terminal: int, domain: str, limit_s: float) -> dict[str, str]:
    deadline = time.monotonic() + limit_s
    said = ''
    while time.monotonic() < deadline:
        readable, _, _ = select.select([terminal], [], [], _SILENCE_S)
        if not readable:
            os.write(terminal, b'\n')
            continue
        try:
            said += os.read(terminal, 65536).decode(errors='replace')
        except OSError:
            break
        if (facts := _complete(said)) is not None:
            return facts
        for prompt, answer in _ANSWERS:
            if prompt.search(said):
                os.write(terminal, f'{answer}\n'.encode())
                said = ''
    raise session.Failed(
        f'{domain}: no answer on the console, which says: {said[-2000:]}')


def _complete(said: str) -> dict[str, str] | None:
    """Return the facts, if all are there and nothing is among them."""
    end = _END.search(said)
    if end is None:
        return None
    lines = re.findall(r'^hw: .*(?=\r\n)', said[:end.start()], re.MULTILINE)
    text = ''.join(f'{line.removeprefix("hw: ")}\n' for line in lines)
    if hashlib.md5(text.encode()).hexdigest() != end[1]:
        return None
    return {match['name']: (match['value'] or '').strip() for match in map(
        _FACT.fullmatch, lines) if match is not None}
