# SPDX-License-Identifier: Apache-2.0

"""Keeps two services from minding the same host with the same record."""

import os
import urllib.parse

from nova_libvirt_driver import exception
from nova_libvirt_driver.filesystem import locking


class InstanceLock:
    """Held as long as the process lives; the kernel lets go of it."""

    def __init__(self, state_path: str, host: str) -> None:
        self._name = f"running-{urllib.parse.quote(host, safe='')}.lock"
        self._host = host
        self._state_path = state_path
        self._descriptor: int | None = None

    def acquire(self) -> None:
        """Take the lock; never waits for it.

        :raises AlreadyRunning: another service has it
        :raises OSError: the folder cannot be written
        """
        path = locking.beside(self._state_path, self._name)
        self._descriptor = locking.try_lock(path)
        if self._descriptor is None:
            raise exception.AlreadyRunning(host=self._host, path=path)

    def release(self) -> None:
        """Let go of the lock; idempotent."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)
