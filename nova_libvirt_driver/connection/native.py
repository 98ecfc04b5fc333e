# SPDX-License-Identifier: Apache-2.0

"""Which kind of threads the process runs on.

A process is an eventlet process when eventlet has replaced the standard
library's threads; that some library has merely imported eventlet does not
make it one, and it is never imported from here.
"""

import importlib
import sys
from types import ModuleType


def in_eventlet_process() -> bool:
    """Say whether threads of this process are eventlet's green ones."""
    patcher = sys.modules.get('eventlet.patcher')
    return patcher is not None and bool(patcher.is_monkey_patched('thread'))


def original(name: str) -> ModuleType:
    """Return a standard module as it is without eventlet.

    Code that libvirt runs on threads of its own must not touch a green
    lock or queue: it would switch to another hub, or hang.
    """
    if in_eventlet_process():
        original_of = sys.modules['eventlet.patcher'].original
        module: ModuleType = original_of(name)
        return module
    return importlib.import_module(name)
