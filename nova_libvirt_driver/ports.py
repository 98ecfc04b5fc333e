# SPDX-License-Identifier: Apache-2.0

"""What a compute service supplies to the driver it hosts.

The driver knows these protocols only. The stand-alone service implements
them in ``compute``.
"""

from collections.abc import Callable
from collections.abc import Mapping
import contextlib
import dataclasses
import typing

from nova_libvirt_driver import exception
from nova_libvirt_driver.spec import event
from nova_libvirt_driver.spec import guest
from nova_libvirt_driver.spec import image


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
        what an earlier call disabled. After an error it is called again, some
        seconds later, until there is none.

        :param reason: why, in words; kept only when disabling
        """


class Progress(typing.Protocol):
    """Is told how far a verb is.

    What it raises ends the verb at that step: everything the verb has made
    is undone, and the exception goes on to the caller. That is the way to
    cancel.
    """

    def step(self, name: str) -> None:
        """Say that the named step begins."""

    def advance(self, done: int, total: int) -> None:
        """Say how much of the step is done, in bytes; total 0: unknown."""


class Network(typing.Protocol):
    """Connects the interfaces of one guest to their networks.

    Without it libvirt does all that is to be done.
    """

    def completed(self, spec: guest.GuestSpec) -> guest.GuestSpec:
        """Return the guest with its interfaces and its config drive.

        Called when its disks are made, for it may have to wait until the
        network service has the interfaces. An exception undoes the making
        of the guest.

        :param spec: the guest without them
        """

    def connected(self) -> contextlib.AbstractContextManager[bool]:
        """Connect the interfaces of a guest that is started within.

        Gives whether the guest has to wait: its CPUs do not run then before
        the context is left, which blocks until its networks are ready. An
        exception from there undoes the making of the guest.
        """

    def disconnect(self) -> None:
        """Undo that, when there is something to undo."""


class ImageSource(typing.Protocol):
    """Keeps images; under Nova the image service, else a local folder."""

    def show(self, image_id: str) -> image.Image:
        """Describe an image.

        :raises ImageNotFound: there is none
        """

    def download(
            self, image_id: str, file: typing.BinaryIO,
            progress: Progress) -> None:
        """Write the bytes of an image to a file; may take long.

        :raises ImageNotFound: there is none
        :raises StorageFailure: they cannot be had
        """

    def upload(
            self, described: image.Image, file: typing.BinaryIO,
            progress: Progress) -> None:
        """Keep the bytes of a file as the image that is described.

        An image of that identifier may be registered already, without
        bytes. On failure there is no image with half of the bytes.

        :raises StorageFailure: they cannot be kept
        """


class Observer(typing.Protocol):
    """Is told how long things took, by those who wait for them.

    Called often and by many threads, but never on a native thread of an
    eventlet process; must neither block nor raise.
    """

    def call(self, name: str, outcome: str, took_s: float) -> None:
        """Take note of a call into libvirt.

        :param name: a method of libvirt, or what the call was for; one of
            a hundred or so, never with the name of a guest in it
        :param outcome: ``ok``, or the class of what was raised
        :param took_s: without waiting for a turn
        """

    def verb(self, name: str, outcome: str, took_s: float) -> None:
        """Take note of a verb of the driver, such as ``spawn``."""


LifecycleListener = Callable[[event.LifecycleEvent], None]
"""Takes one event; called off libvirt's threads, in order per guest."""


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


class NullProgress:
    """Tells nobody."""

    def step(self, name: str) -> None:
        """Drop it."""

    def advance(self, done: int, total: int) -> None:
        """Drop it."""


class NullImages:
    """Has no image."""

    def show(self, image_id: str) -> image.Image:
        """Refuse: there is none."""
        raise exception.ImageNotFound(image=image_id)

    def download(
            self, image_id: str, file: typing.BinaryIO,
            progress: Progress) -> None:
        """Refuse: there is none."""
        raise exception.ImageNotFound(image=image_id)

    def upload(
            self, described: image.Image, file: typing.BinaryIO,
            progress: Progress) -> None:
        """Refuse: there is no place for it."""
        raise exception.StorageFailure(
            reason=f'there is no place to keep image {described.id}')


@dataclasses.dataclass(frozen=True, slots=True)
class VirtAPI:
    """The ports one compute service hands to its driver."""

    notifier: Notifier
    service_state: ServiceState
    images: ImageSource = NullImages()
