# SPDX-License-Identifier: Apache-2.0

"""Texts of users on their way into XML."""

import re

# What XML 1.0 cannot hold, not even escaped.
_IMPOSSIBLE = re.compile(
    '[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]')

_CONTROL = re.compile('[\0-\x1f\x7f-\x9f\u2028\u2029]')


def clean(text: str) -> str:
    """Return a text without the characters that XML cannot hold.

    All others stay; what has a meaning in XML is escaped when written.
    """
    return _IMPOSSIBLE.sub('', text)


def is_plain(text: str) -> bool:
    """Say whether a text is one line that XML can hold."""
    # Nearly every text is printable, and what is has none of these.
    return text.isprintable() or not (
        _IMPOSSIBLE.search(text) or _CONTROL.search(text))
