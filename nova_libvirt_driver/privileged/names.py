# SPDX-License-Identifier: Apache-2.0

"""Names of the files that the privileged functions work on.

Shared by both sides: the service finds the name of a file that it cannot
read, and the privileged process takes no other names.
"""

import os
import re

_UUID = '[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}'
# Nova renames the folder of an instance for as long as it is resized.
_INSTANCE = f'{_UUID}(?:_resize|_del)?'

CONSOLE_LOG = 'console.log'
OLD_LOGS = 10
"""More than libvirt's log daemon keeps by default."""

_DISKS = (
    (re.compile(_INSTANCE),
     re.compile(r'disk(?:\.(?:local|swap|config|rescue|config\.rescue'
                r'|eph[0-9]{1,3}))?|kernel|ramdisk')),
    # The image cache; Nova has an option for its name.
    (re.compile(r'(?!\.)[\w.-]+', re.ASCII), re.compile('[0-9a-f]{40}')),
    (re.compile('snapshots/[0-9a-f]{32}'),
     re.compile(r'copy(?:\.[a-z0-9]+)?')),
)


def is_instance(folder: str) -> bool:
    """Say whether a folder is that of an instance."""
    return re.fullmatch(_INSTANCE, folder) is not None


def is_disk(folder: str, name: str) -> bool:
    """Say whether a file is a disk, seen from the instances' folder."""
    return any(folders.fullmatch(folder) and names.fullmatch(name)
               for folders, names in _DISKS)


def of_disk(path: str) -> tuple[str, str] | None:
    """Return folder and name of a disk, None when it can be no such file.

    The folder is relative to that of the instances, wherever that is.
    """
    words = os.path.normpath(path).split(os.sep)
    for depth in (1, 2):
        folder = '/'.join(words[-1 - depth:-1])
        if is_disk(folder, words[-1]):
            return folder, words[-1]
    return None
