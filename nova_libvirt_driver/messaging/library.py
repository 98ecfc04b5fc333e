# SPDX-License-Identifier: Apache-2.0

"""The library oslo.messaging, loaded without what it would import besides.

It loads oslo.service, which would choose eventlet for a process that has not
chosen yet. In a process with native threads, native threads are chosen here;
a choice that the process has made already stands. With oslo.service before
4.2, which knows eventlet only, that library is loaded and nothing of it used.
"""

import importlib
from typing import Any
import warnings

from oslo_service import backend

from nova_libvirt_driver.calls import runtime


def _load() -> Any:
    chosen = getattr(backend, 'get_backend_type', None)
    if chosen is not None and chosen() is None and (
            not runtime.in_eventlet_process()):
        backend.init_backend(backend.BackendType.THREADING)
    return importlib.import_module('oslo_messaging')


with warnings.catch_warnings():
    # Libraries below it warn of eventlet merely because it is installed.
    warnings.simplefilter('ignore')
    oslo_messaging = _load()
