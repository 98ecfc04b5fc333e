# SPDX-License-Identifier: Apache-2.0

"""Where a user who is not root keeps the state of the service."""

from collections.abc import Mapping
import os

FOLDER = 'nova-libvirt'


def state(environ: Mapping[str, str], home: str) -> str:
    """Return the folder.

    A relative ``XDG_STATE_HOME`` is ignored, as its specification asks.
    """
    base = environ.get('XDG_STATE_HOME', '')
    if not os.path.isabs(base):
        base = os.path.join(home, '.local', 'state')
    return os.path.join(base, FOLDER)
