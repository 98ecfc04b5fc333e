# SPDX-License-Identifier: Apache-2.0

"""What happens on libvirt's thread when a guest's power state changes."""

from nova_libvirt_driver.connection import decode
from nova_libvirt_driver.connection import inbox as inbox_module
from nova_libvirt_driver.connection import protocol
from nova_libvirt_driver.connection import router as router_module


class Lifecycle:
    """Turns a lifecycle event of libvirt into a value in the inbox."""

    def __init__(
            self, inbox: inbox_module.Inbox,
            router: router_module.Router) -> None:
        self._inbox = inbox
        self._router = router

    def receive(
            self, domain: protocol.Domain, number: int, detail: int,
            opaque: object) -> None:
        """Take one event; runs on a thread of libvirt, never blocks.

        :param opaque: generation of the session that reports it; anything
            else counts as the present one
        """
        generation = (opaque if isinstance(opaque, int)
                      else self._router.generation)
        change = decode.lifecycle(domain, number, detail, generation)
        if change is not None:
            self._inbox.put(change)
