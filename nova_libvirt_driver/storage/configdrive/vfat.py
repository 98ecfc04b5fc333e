# SPDX-License-Identifier: Apache-2.0

"""A config drive as a disk: one vfat file system, made without a mount."""

from collections.abc import Mapping
import os
import tempfile

from nova_libvirt_driver import exception
from nova_libvirt_driver.storage.configdrive import limits
from nova_libvirt_driver.storage import tool as tool_module

LABEL = 'config-2'

_BYTES = limits.MAX_MIB * 1024 * 1024
_SECTORS_PER_CLUSTER = 4
_CLUSTER_BYTES = _SECTORS_PER_CLUSTER * 512
_RESERVED_BYTES = 1024 * 1024
"""For both tables and the root folder."""
_ROOT_ENTRIES = 512
# A name of 64 letters takes 6 entries, of 32 bytes each.
_NAME_BYTES = 6 * 32


def fill(
        path: str, files: Mapping[str, bytes],
        tool: tool_module.Tool) -> None:
    """Write a file system into a file.

    A folder with a copy of the files is beside it for the time this takes;
    its name begins with that of the file.

    :param files: contents by path, which :func:`limits.check` has allowed
    :raises InvalidRequest: they do not fit
    :raises OSError: there is no room
    :raises StorageFailure: a tool is missing, or failed
    """
    _check_room(files)
    os.truncate(path, _BYTES)
    tool.run(['mkfs.vfat', '-F', '16', '-n', LABEL,
              '-s', str(_SECTORS_PER_CLUSTER), '-r', str(_ROOT_ENTRIES),
              path])
    with tempfile.TemporaryDirectory(
            prefix=f'{os.path.basename(path)}.',
            dir=os.path.dirname(path)) as folder:
        _copy(folder, files)
        tops = sorted(os.listdir(folder))
        if tops:
            # Without -b: mtools 4.0.32 fails with it on a disk of this size.
            tool.run(['mcopy', '-Q', '-s', '-i', path,
                      *(os.path.join(folder, top) for top in tops), '::/'])


def _check_room(files: Mapping[str, bytes]) -> None:
    folders = limits.folders(files)
    entries = (len(files) + 3 * len(folders)) * _NAME_BYTES
    needed = _RESERVED_BYTES + entries + len(folders) * _CLUSTER_BYTES + sum(
        -(-len(content) // _CLUSTER_BYTES) * _CLUSTER_BYTES
        for content in files.values())
    tops = {path.partition('/')[0] for path in files}
    if needed > _BYTES or len(tops) * _NAME_BYTES > (_ROOT_ENTRIES - 1) * 32:
        raise exception.InvalidRequest(
            reason=f'the files do not fit on a config drive with vfat, of '
                   f'{limits.MAX_MIB} MiB; take iso9660')


def _copy(folder: str, files: Mapping[str, bytes]) -> None:
    for name in limits.folders(files):
        os.mkdir(os.path.join(folder, name), 0o700)
    for path, content in files.items():
        with open(os.path.join(folder, path), 'xb') as file:
            file.write(content)
