# SPDX-License-Identifier: Apache-2.0

"""Text of guests and their users, made harmless for a terminal.

A guest prints what it likes to its console, and a name may hold what a
terminal would obey: such text reaches the screen only through here.
"""

import codecs
import contextlib
import os
import re
from typing import TextIO
import unicodedata

_ESCAPE = '\x1b'
_CSI, _STRINGS = '\x9b', '\x90\x98\x9d\x9e\x9f'
_KEPT = '\n\t'

# What begins with ESC and one of these is a sequence with an end of its own.
_AFTER_ESCAPE = {'[': _CSI, 'P': '\x90', 'X': '\x98', ']': '\x9d',
                 '^': '\x9e', '_': '\x9f'}

# Controls, marks of direction and the like, lone halves of characters.
_UNSEEN = ('Cc', 'Cf', 'Cs', 'Zl', 'Zp')

# What needs no look at each character, or one that does.
_RUN = re.compile('[ -~\n\t]+|[^ -~\n\t]')


class Cleaner:
    """Takes what a guest prints in pieces, and gives back plain text.

    Escape sequences and control characters are left out, but for newlines
    and tabs. A sequence may be spread over pieces; a line end ends it.
    """

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder('utf-8')('replace')
        self._within = ''

    def feed(self, piece: bytes) -> str:
        """Return what of the piece can be shown."""
        shown: list[str] = []
        for run in _RUN.findall(self._decoder.decode(piece)):
            if self._within or len(run) == 1:
                shown.extend(map(self._pass, run))
            else:
                shown.append(run)
        return ''.join(shown)

    def _pass(self, char: str) -> str:
        if char in '\n\x18\x1a' or (
                self._within and char == _ESCAPE):
            self._within = _ESCAPE if char == _ESCAPE else ''
        elif self._within:
            self._within = _next(self._within, char)
            return ''
        elif char in (_ESCAPE, _CSI) or char in _STRINGS:
            self._within = char
        return '' if _is_unseen(char) else char


def plain(text: str) -> str:
    """Return a short text without what a terminal might obey."""
    return Cleaner().feed(text.encode('utf-8', 'replace'))


def plain_xml(xml: str) -> str:
    """Return XML with references to characters that a terminal obeys."""
    return ''.join(f'&#{ord(char)};' if _is_unseen(char) else char
                   for char in xml)


def is_terminal(stream: TextIO) -> bool:
    """Say whether a person looks at a stream, or types into it."""
    try:
        return stream.isatty()
    except ValueError:  # closed
        return False


def discard(stream: TextIO) -> None:
    """Throw away what is still to be written to a stream without a reader."""
    # The interpreter flushes once more at its end, and would complain.
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _next(within: str, char: str) -> str:
    """Return the sequence that goes on after a character, if any."""
    if within == _ESCAPE:
        if char in _AFTER_ESCAPE:
            return _AFTER_ESCAPE[char]
        return _ESCAPE if '\x20' <= char <= '\x2f' else ''
    if within == _CSI:
        return '' if '\x40' <= char <= '\x7e' else _CSI
    return '' if char in '\x07\x9c' else within


def _is_unseen(char: str) -> bool:
    return char not in _KEPT and unicodedata.category(char) in _UNSEEN
