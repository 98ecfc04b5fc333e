# SPDX-License-Identifier: Apache-2.0

"""One listener under test; run by ``benchmarks.events``.

``python -m benchmarks.event_subject SUBJECT URI`` notes when it hears of an
event of a guest, and tells when it is asked; times are of CLOCK_MONOTONIC.
"""

from collections.abc import Callable
import sys
import threading
import time
from typing import Any

import libvirt
from oslo_config import cfg

from benchmarks import command_loop

_QUIET_S = 0.5
_LIMIT_S = 60.0


class Heard:
    """What was heard, by guest."""

    def __init__(self) -> None:
        self._times_s: dict[str, list[float]] = {}

    def take(self, guest: str) -> None:
        """Note one event; on any thread."""
        now_s = time.monotonic()
        self._times_s.setdefault(guest, []).append(now_s)

    def answer(self, command: dict[str, Any]) -> command_loop.Answer:
        """Forget all, or tell all when as much was heard as is expected."""
        if command['verb'] == 'forget':
            self._times_s = {}
            return {}
        deadline_s = time.monotonic() + _LIMIT_S
        last_s = time.monotonic()
        heard = -1
        while self._count() < command['expected'] and (
                time.monotonic() < min(deadline_s, last_s + 10 * _QUIET_S)):
            if self._count() != heard:
                heard, last_s = self._count(), time.monotonic()
            time.sleep(_QUIET_S / 10)
        # There might be more than is right.
        time.sleep(_QUIET_S)
        return {'times_s': self._times_s}

    def _count(self) -> int:
        return sum(map(len, list(self._times_s.values())))


def plain(uri: str, take: Callable[[str], None]) -> object:
    """Listen with nothing but the binding."""
    libvirt.virEventRegisterDefaultImpl()

    def loop() -> None:
        while True:
            libvirt.virEventRunDefaultImpl()

    threading.Thread(target=loop, daemon=True).start()
    connection = libvirt.open(uri)
    connection.domainEventRegisterAny(
        None, libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE,
        lambda conn, domain, event, detail, opaque: take(
            domain.UUIDString()), None)
    return connection


def ours(uri: str, take: Callable[[str], None]) -> object:
    """Listen with this driver."""
    from nova_libvirt_driver import conf
    from nova_libvirt_driver import driver as driver_module

    conf.register_opts(cfg.CONF)
    cfg.CONF([], default_config_files=[])
    cfg.CONF.set_override('connection_uri', uri, 'libvirt')
    driver = driver_module.LibvirtDriver()
    driver.register_event_listener(lambda event: take(event.uuid))
    driver.init_host('bench')
    return driver


def in_tree(uri: str, take: Callable[[str], None]) -> object:
    """Listen with the connection of Nova's own driver."""
    from nova import config
    from nova.virt.libvirt import host as host_module

    config.parse_args(['nova'], default_config_files=[], configure_db=False,
                      init_rpc=False)
    host = host_module.Host(uri, lifecycle_event_handler=lambda event: take(
        event.get_instance_uuid()))
    host.initialize()
    host.get_connection()
    return host


LISTENERS: dict[str, Callable[[str, Callable[[str], None]], object]] = {
    'libvirt': plain, 'ours': ours, 'in-tree': in_tree}


def main(name: str, uri: str) -> None:
    """Listen until the standard input ends."""
    output = command_loop.private_output()
    heard = Heard()
    listener = LISTENERS[name](uri, heard.take)
    command_loop.serve(heard.answer, output, {'who': type(listener).__name__})


if __name__ == '__main__':
    main(*sys.argv[1:])
