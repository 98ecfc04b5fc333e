# SPDX-License-Identifier: Apache-2.0

"""Folders for what is needed only while a verb runs."""

from collections.abc import Callable
import os
import re
import secrets

from nova_libvirt_driver import exception
from nova_libvirt_driver.storage import folder as folder_module

_FOLDER = 'snapshots'
_MODE = 0o750
_NAME = re.compile(r'[0-9a-f]{32}')


class Scratch:
    """Makes and removes folders below that of the instances.

    :param group_id: returns QEMU's group, which has to write into them
    """

    def __init__(
            self, instances_path: str,
            group_id: Callable[[], int | None] = lambda: None) -> None:
        self._root = os.path.join(instances_path, _FOLDER)
        self._group_id = group_id

    def choose(self) -> str:
        """Return the path of a folder that is not made yet."""
        return os.path.join(self._root, secrets.token_hex(16))

    def make(self, path: str) -> None:
        """Make a chosen folder.

        :raises StorageFailure: it exists, or cannot be made
        """
        self._check(path)
        group_id = self._group_id()
        try:
            if not os.path.isdir(self._root):
                os.makedirs(self._root, mode=_MODE, exist_ok=True)
                folder_module.let_group_in(self._root, group_id)
            os.mkdir(path, _MODE)
            os.chmod(path, _MODE)
            folder_module.let_group_in(path, group_id)
        except OSError as error:
            raise exception.StorageFailure(
                reason=f'cannot make the folder {path}: {error.strerror}',
                path=self._root) from error

    def remove(self, path: str) -> None:
        """Remove a chosen folder and all in it; idempotent.

        :raises InvalidRequest: it is none that could have been chosen
        :raises StorageFailure: something of it stays
        """
        self._check(path)
        folder_module.remove_tree(path)

    def _check(self, path: str) -> None:
        folder, name = os.path.split(path)
        if folder != self._root or not _NAME.fullmatch(name):
            raise exception.InvalidRequest(
                reason=f'{path} is no folder in {self._root}')
