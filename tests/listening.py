# SPDX-License-Identifier: Apache-2.0

"""Whether a server of another program is ready."""

import os
import pathlib

_ACCEPTS = 1 << 16
"""The flag of a socket that takes connections, see ``linux/net.h``."""


def at(path: str | os.PathLike[str]) -> bool:
    """Say whether a Unix socket takes connections.

    A path that is there may be that of one that does not yet.
    """
    for line in pathlib.Path('/proc/net/unix').read_text().splitlines()[1:]:
        fields = line.split(maxsplit=7)
        if fields[7:] == [os.fspath(path)] and int(fields[3], 16) & _ACCEPTS:
            return True
    return False
