# SPDX-License-Identifier: Apache-2.0

"""A look into one folder after the other, of which any may hang."""

import time

from nova_libvirt_driver.storage import disk_sizes


class Walk:
    """A walk through folders, on a native thread.

    :param time_s: after which it ends by itself
    :ivar growth_bytes: by how much the disks can grow, by folder
    :ivar ended: the thread has come back
    """

    def __init__(
            self, folders: list[str], sizes: disk_sizes.DiskSizes,
            time_s: float) -> None:
        self._folders = folders
        self._sizes = sizes
        self._time_s = time_s
        self._number = 0
        self._is_given_up = False
        self._behind: list[str] = []
        self.ended = False
        self.growth_bytes: dict[str, int] = {}

    def run(self) -> None:
        """Look at one after the other."""
        deadline_s = time.monotonic() + self._time_s
        try:
            for folder in self._folders:
                if self._is_given_up or time.monotonic() > deadline_s:
                    return
                self.growth_bytes[folder] = self._sizes.growth_bytes(folder)
                self._number += 1
        finally:
            self.ended = True

    def give_up(self) -> str:
        """Return the folder that hangs; nobody waits for it any more."""
        # The thread may go on to another one at this very moment.
        number, self._is_given_up = self._number, True
        self._behind = self._folders[number + 1:]
        return self._folders[min(number, len(self._folders) - 1)]

    def left(self) -> list[str]:
        """Return those that were not looked at, but for one that hangs."""
        if self._is_given_up:
            return self._behind
        return self._folders[self._number:]
