# SPDX-License-Identifier: Apache-2.0

"""What is new in the end of a log that is read again and again."""

_KNOWN_BYTES = 4096


class Tail:
    """Remembers the end of what has been shown.

    :param shown: what has been shown
    """

    def __init__(self, shown: bytes) -> None:
        self._shown = shown

    def new(self, output: bytes) -> bytes:
        """Return what comes after what was shown.

        That is all of it when the log was begun anew, or has run away.
        """
        shown, self._shown = self._shown, output
        if output.startswith(shown):
            return output[len(shown):]
        known = shown[-_KNOWN_BYTES:]
        place = output.rfind(known)
        return output if place < 0 else output[place + len(known):]
