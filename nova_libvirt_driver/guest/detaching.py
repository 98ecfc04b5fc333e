# SPDX-License-Identifier: Apache-2.0

"""Taking a device out of a guest, which has to agree.

A detach goes through these states, and the XML decides each of them:

1. *defined*: the next start would have the device. Libvirt takes it away at
   once, without the guest.
2. *live*: the guest has it, and was not asked for it.
3. *asked*: QEMU waits for the guest to let go. Old versions of QEMU take a
   second request for a change of mind, new ones refuse it for some seconds;
   so there is one request at a time, and a refusal of that kind is none.
4. *gone*: libvirt has taken it out of the XML of the guest that runs. It
   says so in an event, which may be lost with the connection.

A guest that says no ends it, and so does one that is asked for a device as
often as it may be. QEMU does not forget what it was asked: the device may
leave later, and does with the guest's next stop.
"""

from collections.abc import Callable
import dataclasses

from nova_libvirt_driver import exception
from nova_libvirt_driver.guest import device as device_module
from nova_libvirt_driver.guest import handle
from nova_libvirt_driver.spec import event as event_spec
from nova_libvirt_driver.spec import instance as instance_spec

_REFUSALS = (exception.LibvirtFailure, exception.OperationRefused,
             exception.UnsupportedOperation)
_UNKNOWN = (exception.GuestUnresponsive, exception.HypervisorUnavailable)
"""After these it may have been done all the same."""

_CLOSING_S = 0.1
"""Between two looks for a device that is said to be gone."""


@dataclasses.dataclass(frozen=True, slots=True)
class Patience:
    """How often a guest is asked for a device, and how long each time."""

    attempts: int = 8
    timeout_s: float = 20.0


def detach(
        guest: handle.Guest, key: device_module.Key, patience: Patience,
        tick: Callable[[], object] = lambda: None,
        seen: device_module.Both | None = None) -> None:
    """Take a device out of a guest and of its definition.

    One that is in neither is fine, and so is a guest that is gone. Blocks
    until the guest has let go of it. A connection that is lost meanwhile,
    and got back in the time, is no matter.

    :param tick: called about twice a second; may raise to end the wait
    :param seen: what :meth:`device.Device.both` has said a moment ago
    :raises DeviceDetachFailed: the guest still has it; the definition need
        not
    :raises HypervisorUnavailable: whether the guest has it cannot be seen
    """
    device = guest.device(key)
    try:
        with guest.expecting(
                event_spec.DeviceEvent, event_spec.LifecycleEvent) as news:
            defined, live = seen or device.both()
            if defined is not None:
                _undefine(guest, device, defined)
            if live is not None:
                _take(_Request(guest, device, live.alias or ''), live, news,
                      patience, tick)
    except exception.InstanceNotFound:
        # The guest is gone, and the device with it.
        return


def _undefine(
        guest: handle.Guest, device: device_module.Device,
        found: device_module.Element) -> None:
    try:
        device.undefine(found)
    except _REFUSALS as error:
        # Libvirt has several errors for a device that is not there.
        if device.defined() is not None:
            raise _failed(
                guest, device, 'libvirt keeps it in the definition',
                cause='refused') from error


def _take(
        request: '_Request', found: device_module.Element,
        news: handle.Expectation, patience: Patience,
        tick: Callable[[], object]) -> None:
    for _ in range(patience.attempts):
        if request.ask(found) or news.wait(
                request.is_settled, patience.timeout_s, tick):
            break
        if not request.may_repeat():
            raise request.failure()
    else:
        raise request.failure()
    # Events have come before QEMU had let go.
    for _ in range(int(patience.timeout_s / _CLOSING_S) + 1):
        if request.is_gone():
            return
        news.wait(lambda change: False, _CLOSING_S, tick)
    raise request.failure()


class _Request:
    """What a guest was asked for, and has said to it."""

    def __init__(
            self, guest: handle.Guest, device: device_module.Device,
            alias: str) -> None:
        self._guest = guest
        self._device = device
        self._alias = alias
        self._doubt: exception.DriverError | None = None

    def ask(self, found: device_module.Element) -> bool:
        """Ask for the device; say whether it is gone already.

        :raises DeviceDetachFailed: libvirt or QEMU said no
        """
        self._doubt = None
        try:
            self._device.ask_back(found)
        except _UNKNOWN as error:
            self._doubt = error
        except (*_REFUSALS, exception.WrongState) as error:
            if self.is_gone():
                return True
            raise _failed(
                self._guest, self._device, 'QEMU refused to ask for it',
                cause='refused') from error
        return False

    def is_settled(self, news: event_spec.GuestEvent | None) -> bool:
        """Say whether it is gone, or is said to be.

        :raises DeviceDetachFailed: the guest said no
        """
        if not isinstance(news, event_spec.DeviceEvent):
            return self.is_gone()
        if news.alias != self._alias:
            # It may be the device all the same: libvirt did not name it.
            return not self._alias and self.is_gone()
        if not news.removed:
            raise _failed(
                self._guest, self._device, 'the guest refused to let go of '
                'it', cause='refused')
        return True

    def is_gone(self) -> bool:
        """Say whether the guest that runs has no such device."""
        try:
            return self._device.live() is None
        except exception.InstanceNotFound:
            return True

    def may_repeat(self) -> bool:
        """Say whether the guest could answer to another request."""
        if self._doubt is not None:
            return isinstance(self._doubt, (
                exception.GuestBusy, exception.HypervisorUnavailable))
        return not self._is_paused()

    def failure(self) -> exception.DeviceDetachFailed:
        """Return the error of a guest that has not let go in time."""
        if isinstance(self._doubt, exception.GuestUnresponsive):
            return _failed(
                self._guest, self._device,
                'another job of the guest goes on'
                if isinstance(self._doubt, exception.GuestBusy)
                else 'QEMU does not answer',
                cause='unresponsive', hint=self._doubt.next_step)
        if self._is_paused():
            return _failed(
                self._guest, self._device, 'the guest is paused',
                cause='paused', hint='unpause the instance: it lets go of '
                'the device then')
        return _failed(
            self._guest, self._device, 'the guest does not react to the '
            'request', cause='ignored', hint='wait until it has booted and '
            'try again; an operating system without PCI hot-plug has to be '
            'stopped: it is without the device then')

    def _is_paused(self) -> bool:
        return (self._guest.state().power
                is instance_spec.PowerState.PAUSED)


def _failed(
        guest: handle.Guest, device: device_module.Device, reason: str,
        **fields: str) -> exception.DeviceDetachFailed:
    return exception.DeviceDetachFailed(
        device=device.key, instance=guest.uuid, reason=reason, **fields)
