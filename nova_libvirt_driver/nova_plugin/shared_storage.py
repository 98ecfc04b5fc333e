# SPDX-License-Identifier: Apache-2.0

"""Whether two compute hosts have the files of an instance in common.

One host makes a file in the instance's folder, the other says whether it sees
it. What one tells the other is as with Nova's own driver, so that either may
be on either side.
"""

from collections.abc import Mapping
import contextlib
import os
import tempfile
from typing import Any

import nova.conf

CONF = nova.conf.CONF


def leave_file(instance: Any) -> dict[str, str] | None:
    """Make a file in the instance's folder; None without a folder.

    :returns: what the other host has to know
    """
    folder = os.path.join(CONF.instances_path, instance.uuid)
    if not os.path.isdir(folder):
        return None
    descriptor, path = tempfile.mkstemp(dir=folder)
    os.close(descriptor)
    return {'filename': path}


def sees_file(data: Mapping[str, str]) -> bool:
    """Say whether another host's file is here."""
    return os.path.exists(data['filename'])


def remove_file(data: Mapping[str, str]) -> None:
    """Remove the file that was made here; idempotent."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(data['filename'])
