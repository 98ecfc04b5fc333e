# SPDX-License-Identifier: Apache-2.0

"""Turns signals into messages for the main thread.

A handler does nothing but put a message, so nothing is ever stopped from
within a handler, in the middle of something else.
"""

import signal
from types import FrameType

from nova_libvirt_driver.compute import control as control_module

STOP = (signal.SIGTERM, signal.SIGINT)
RELOAD = signal.SIGHUP


def install(
        control: control_module.Control, *,
        on_terminal: bool = False) -> None:
    """Take over the signals; main thread only.

    :param on_terminal: a person watches, and SIGHUP says that the terminal
        was closed
    """
    def stop(signum: int, frame: FrameType | None) -> None:
        control.put(control_module.StopRequest(signal.Signals(signum).name))

    def reload(signum: int, frame: FrameType | None) -> None:
        control.put(control_module.ReloadRequest())

    for number in STOP:
        signal.signal(number, stop)
    signal.signal(RELOAD, stop if on_terminal else reload)
