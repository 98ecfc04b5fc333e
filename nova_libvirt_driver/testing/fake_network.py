# SPDX-License-Identifier: Apache-2.0

"""Networks of guests that remember what was asked of them."""

from collections.abc import Callable
from collections.abc import Iterator
import contextlib
import dataclasses

from nova_libvirt_driver.spec import guest as guest_spec
from nova_libvirt_driver.spec import nic as nic_spec


class FakeNetwork:
    """Stands for ``ports.Network``.

    :param look: called when the guest is started, before it may run on
    :param wait: the guest has to wait
    :param error: the networks do not become ready
    :ivar nics: those that the guest gets
    """

    def __init__(
            self, look: Callable[[], object], wait: bool, *,
            error: Exception | None = None) -> None:
        self.nics: tuple[nic_spec.NicSpec, ...] = ()
        self.seen: list[object] = []
        self.disconnected = False
        self._look = look
        self._wait = wait
        self._error = error

    def completed(self, spec: guest_spec.GuestSpec) -> guest_spec.GuestSpec:
        """Return the guest with the interfaces."""
        return dataclasses.replace(spec, nics=self.nics)

    @contextlib.contextmanager
    def connected(self) -> Iterator[bool]:
        """Let the guest be started, and look at it."""
        yield self._wait
        self.seen.append(self._look())
        if self._error is not None:
            raise self._error

    def disconnect(self) -> None:
        """Remember that."""
        self.disconnected = True
