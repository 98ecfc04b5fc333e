# SPDX-License-Identifier: Apache-2.0

"""Keeps two services from minding the same host with the same record."""

import os
import urllib.parse

from oslo_concurrency import lockutils

from nova_libvirt_driver import exception


class InstanceLock:
    """Held as long as the process lives; the kernel lets go of it."""

    def __init__(self, state_path: str, host: str) -> None:
        name = f"running-{urllib.parse.quote(host, safe='')}.lock"
        self._host = host
        self._path = os.path.join(state_path, name)
        self._lock = lockutils.InterProcessLock(self._path)

    def acquire(self) -> None:
        """Take the lock; never waits for it.

        :raises AlreadyRunning: another service has it
        :raises OSError: the folder cannot be written
        """
        if not self._lock.acquire(blocking=False):
            raise exception.AlreadyRunning(host=self._host, path=self._path)

    def release(self) -> None:
        """Let go of the lock."""
        self._lock.release()
