# SPDX-License-Identifier: Apache-2.0

"""The native thread on which libvirt delivers its events.

The event loop belongs to libvirt and is one for the process. It has to run
before a connection is opened: keepalive and the in-process QEMU driver
depend on it.
"""

import os

import libvirt

from nova_libvirt_driver.connection import native

_RETRY_S = 0.1


class _Loop:
    """State of the process-wide loop."""

    def __init__(self) -> None:
        self.registered = False
        self.pid = 0
        self.failures = 0


_loop = _Loop()
_lock = native.original('threading').Lock()


def ensure_running() -> None:
    """Start the loop unless it runs; safe to call at any time."""
    with _lock:
        if not _loop.registered:
            # Otherwise the library prints every error on stderr, on top of
            # raising it.
            libvirt.registerErrorHandler(_discard, None)
            libvirt.virEventRegisterDefaultImpl()
            _loop.registered = True
        if _loop.pid != os.getpid():
            _loop.pid = os.getpid()
            native.original('threading').Thread(
                target=_run, name='libvirt-loop', daemon=True).start()


def failures() -> int:
    """Return how often one turn of the loop failed, and was repeated."""
    return _loop.failures


def _run() -> None:
    sleep = native.original('time').sleep
    while True:
        try:
            libvirt.virEventRunDefaultImpl()
        except Exception:
            # The thread must live: without it no event, no keepalive. It
            # cannot log, a log handler may hold a green lock.
            _loop.failures += 1
            sleep(_RETRY_S)


def _discard(context: object, error: object) -> None:
    """Take what libvirt would print."""
