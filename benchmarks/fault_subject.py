# SPDX-License-Identifier: Apache-2.0

"""One connection to libvirt under test; run by ``benchmarks.faults``.

``python -m benchmarks.fault_subject SUBJECT URI`` looks at the guests of a
host, from several threads, and prints each answer and each event as a line of
JSON, with the time of CLOCK_MONOTONIC.
"""

from collections.abc import Callable
import json
import sys
import threading
import time
from typing import Any

from oslo_config import cfg

CALLERS = 4
PAUSE_S = 0.05
_lock = threading.Lock()


def say(**fields: Any) -> None:
    """Print a line."""
    with _lock:
        print(json.dumps({'at_s': time.monotonic(), **fields}), flush=True)


def ours(uri: str) -> Callable[[], object]:
    """Return a look through this driver."""
    from nova_libvirt_driver import conf
    from nova_libvirt_driver import driver as driver_module

    conf.register_opts(cfg.CONF)
    cfg.CONF([], default_config_files=[])
    cfg.CONF.set_override('connection_uri', uri, 'libvirt')
    for name, value in (('keepalive_interval', 2), ('keepalive_count', 3)):
        cfg.CONF.set_override(name, value, 'nova_libvirt_driver')
    driver = driver_module.LibvirtDriver()
    driver.register_event_listener(lambda event: say(
        event=str(event.transition), guest=event.name))
    driver.init_host('here')
    return driver.list_instances


def novas(uri: str) -> Callable[[], object]:
    """Return a look through the connection of Nova's own driver."""
    from nova import config
    from nova.virt.libvirt import host as host_module

    config.parse_args(['nova'], default_config_files=[], configure_db=False,
                      init_rpc=False)
    host = host_module.Host(uri, lifecycle_event_handler=lambda event: say(
        event=event.get_name(), guest=event.get_instance_uuid()))
    host.initialize()
    return lambda: [domain.name() for domain in
                    host.get_connection().listAllDomains(0)]


SUBJECTS = {'ours': ours, "Nova's": novas}


def look_on_and_on(look: Callable[[], object], thread: int) -> None:
    """Look until the process ends, and say how each look ended."""
    while True:
        started_s = time.monotonic()
        try:
            look()
        except Exception as error:
            say(ok=False, since_s=started_s, thread=thread,
                error=type(error).__name__)
        else:
            say(ok=True, since_s=started_s, thread=thread)
        time.sleep(PAUSE_S)


def main(subject: str, uri: str) -> None:
    """Look until the standard input ends."""
    look = SUBJECTS[subject](uri)
    for number in range(CALLERS):
        threading.Thread(
            target=look_on_and_on, args=(look, number), daemon=True).start()
    sys.stdin.read()


if __name__ == '__main__':
    main(*sys.argv[1:])
