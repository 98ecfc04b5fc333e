# SPDX-License-Identifier: Apache-2.0

"""Turns signals into messages for the main thread.

A handler does nothing but put a message, so nothing is ever stopped from
within a handler, in the middle of something else.
"""

import signal
from types import FrameType
from typing import Any

from nova_libvirt_driver.compute import control as control_module

STOP = ('SIGTERM', 'SIGINT')
RELOAD = 'SIGHUP'


def install(handler: Any, control: control_module.Control) -> None:
    """Take over the signals; main thread only.

    :param handler: oslo.service's SignalHandler. Its launcher has put
        handlers there that end the process from within; they go.
    """
    def stop(signum: int, frame: FrameType | None) -> None:
        control.put(control_module.StopRequest(signal.Signals(signum).name))

    def reload(signum: int, frame: FrameType | None) -> None:
        control.put(control_module.ReloadRequest())

    handler.clear()
    handler.add_handlers(STOP, stop)
    handler.add_handler(RELOAD, reload)
