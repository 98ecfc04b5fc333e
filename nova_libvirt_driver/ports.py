# SPDX-License-Identifier: Apache-2.0

"""What a compute service supplies to the driver it hosts.

The driver knows these protocols only. The stand-alone service implements
them in ``compute``.
"""

from collections.abc import Callable
from collections.abc import Mapping
import dataclasses
import typing

from nova_libvirt_driver.spec import event


class Notifier(typing.Protocol):
    """Sends notifications to whoever operates the cloud."""

    def error(self, event_type: str, payload: Mapping[str, object]) -> None:
        """Send one notification with priority *error*.

        Blocks for seconds at the most, whatever the message bus does: the
        caller is one whom others wait for. Never raises.
        """

    def info(self, event_type: str, payload: Mapping[str, object]) -> None:
        """Send one notification with priority *info*; never raises."""


class ServiceState(typing.Protocol):
    """The record that says whether this host takes new instances."""

    def set_host_enabled(
            self, host: str, *, enabled: bool, reason: str) -> None:
        """Make the record agree with the connection to libvirt.

        Idempotent; blocks for seconds at the most. Disabling leaves a
        record alone that an operator has disabled; enabling undoes only
        what an earlier call disabled.

        :param reason: why, in words; kept only when disabling
        """


LifecycleListener = Callable[[event.LifecycleEvent], None]
"""Takes one event; called off libvirt's threads, in order per guest."""


@dataclasses.dataclass(frozen=True, slots=True)
class VirtAPI:
    """The ports one compute service hands to its driver."""

    notifier: Notifier
    service_state: ServiceState


class NullNotifier:
    """Sends nothing; for commands that only look."""

    def error(self, event_type: str, payload: Mapping[str, object]) -> None:
        """Drop it."""

    def info(self, event_type: str, payload: Mapping[str, object]) -> None:
        """Drop it."""


class NullServiceState:
    """Keeps no record; for commands that only look."""

    def set_host_enabled(
            self, host: str, *, enabled: bool, reason: str) -> None:
        """Drop it."""
