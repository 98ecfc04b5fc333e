# SPDX-License-Identifier: Apache-2.0

"""Folders for what is needed only while a verb runs."""

from collections.abc import Callable
import os
import re
import secrets

from nova_libvirt_driver import exception
from nova_libvirt_driver.storage import folder as folder_module

_NAME = re.compile(r'[0-9a-f]{32}')


class Scratch:
    """Makes and removes folders below one of their own.

    :param root: which is that folder
    :param group_id: returns QEMU's group, which has to write into them
    """

    def __init__(
            self, root: str,
            group_id: Callable[[], int | None]) -> None:
        self._root = root
        self._group_id = group_id

    def choose(self) -> str:
        """Return the path of a folder that is not made yet."""
        return self.at(secrets.token_hex(16))

    def at(self, name: str) -> str:
        """Return the path of the folder of a name."""
        return os.path.join(self._root, name)

    def make(self, path: str) -> None:
        """Make a chosen folder.

        :raises StorageFailure: it exists, or cannot be made
        """
        self._check(path)
        folder_module.ensure(self._root, self._group_id)
        folder_module.make(path, self._group_id())

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
                reason=f'{path} is not a folder in {self._root}')
