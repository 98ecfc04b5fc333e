# SPDX-License-Identifier: Apache-2.0

"""What a compute service supplies to the driver it hosts.

The driver knows these protocols only. The stand-alone service implements
them in ``compute``.
"""

from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
import contextlib
import dataclasses
import enum
import typing
from typing import Any

from nova_libvirt_driver import exception
from nova_libvirt_driver.spec import configdrive
from nova_libvirt_driver.spec import event
from nova_libvirt_driver.spec import guest
from nova_libvirt_driver.spec import image
from nova_libvirt_driver.spec import instance
from nova_libvirt_driver.spec import volume


class Notifier(typing.Protocol):
    """Sends notifications to those who operate the cloud."""

    def error(self, event_type: str, payload: Mapping[str, object]) -> None:
        """Send one notification with priority *error*.

        Blocks for seconds at most, whatever the message bus does: the
        caller is one whom others wait for. Never raises.
        """

    def info(self, event_type: str, payload: Mapping[str, object]) -> None:
        """Send one notification with priority *info*; never raises."""


class ServiceState(typing.Protocol):
    """The record that says whether this host takes new instances."""

    def set_host_enabled(
            self, host: str, *, enabled: bool, reason: str) -> None:
        """Make the record agree with the connection to libvirt.

        Idempotent; blocks for seconds at most. Disabling leaves a
        record alone that an operator has disabled; enabling undoes only
        what an earlier call disabled. After an error it is called again, some
        seconds later, until there is none.

        :param reason: why, in words; kept only when disabling
        """


class Progress(typing.Protocol):
    """Gets how far a verb is.

    What it raises ends the verb at that step: everything the verb has made
    is undone, and the exception goes on to the caller. That is the way to
    cancel.
    """

    def step(self, name: str) -> None:
        """Say that the named step begins."""

    def advance(self, done: int, total: int) -> None:
        """Say how much of the step is done, in bytes; total 0: unknown."""


class Attachment(typing.Protocol):
    """Something outside a guest that the guest is connected to.

    The networks of a guest are one, the secret of its TPM is another. The
    hosting service makes the object for one call of a verb, and the verb
    calls it while it holds the lock of the instance. A verb that starts the
    guest calls :meth:`prepare`, then :meth:`connect`, and :meth:`revert` if
    it fails; a verb that removes the guest calls :meth:`disconnect`. To
    stop a guest changes nothing.
    """

    @property
    def name(self) -> str:
        """What it is, as in "cannot disconnect NAME"."""

    def prepare(self, spec: guest.GuestSpec) -> guest.GuestSpec:
        """Return the spec with what the service knows only now.

        May wait for the service. Whatever the definition of the guest has
        to name, such as the path of a device, is on the host when this
        returns. Called before a running guest is stopped, and when the disks
        of a new guest exist.
        """

    def connect(self) -> contextlib.AbstractContextManager[bool]:
        """Connect a guest that is started within the context.

        Yields whether the guest has to wait: its CPUs do not run then
        until the context has ended, which blocks until the connection is
        ready. What an exception ends is reverted later, when the guest has
        been stopped. May be called again, for a guest that is put back.
        """

    def revert(self) -> None:
        """Disconnect what this object has connected; idempotent.

        What was connected before stays connected.
        """

    def disconnect(self) -> None:
        """Disconnect a guest that no longer exists; idempotent.

        Another process, now gone, may have connected it.
        """


@typing.runtime_checkable
class Fleeting(Attachment, typing.Protocol):
    """One of which a boot of this host may leave nothing."""

    is_fleeting: bool
    """Whether all that it does to the host is gone after a boot."""


class VolumeAttachment(Fleeting, typing.Protocol):
    """The volumes of a guest."""

    own: bool
    """Only those are disconnected that this driver has connected: what is
    said of them may be about another host."""

    @property
    def missing(self) -> list[volume.Volume]:
        """Those without which the guest was prepared.

        They could not be connected.
        """

    def extend(self, size_bytes: int) -> int:
        """Let the host see that the one volume has grown; may be repeated.

        :param size_bytes: what the volume service says
        :returns: how many bytes of it the guest is to see
        :raises VolumeFailure: the host does not see all of them
        """


Attachments = Sequence[Attachment]
"""In the order in which they are connected."""

AttachmentsOf = Callable[[instance.Instance], Attachments]

DriveOf = Callable[[str], configdrive.ConfigDriveSpec | None]
"""Returns the config drive of a guest, from the XML of its domain."""


class Home(enum.Enum):
    """Where the record of the service has an instance."""

    HERE = 'here'
    ELSEWHERE = 'elsewhere'
    DELETED = 'deleted'
    UNKNOWN = 'unknown'
    """It has none such: it is another record, or has forgotten it since."""


HomeOf = Callable[[instance.Instance], Home | None]
"""Returns where the service has an instance; None where this process does not
know. May raise anything when that cannot be seen now."""

Memo = Mapping[str, Any]
"""An attachment as JSON; without secrets."""


@typing.runtime_checkable
class Remembered(Attachment, typing.Protocol):
    """The attachment of one device that its service may forget.

    The journal keeps the memo while the device is attached or detached, so
    that the host can be disconnected from it whatever the service knows then.
    """

    memo: Memo


AttachmentOf = Callable[
    [instance.Instance, str, Memo | None], Attachment | None]
"""Returns that of one device of an instance, by its name and by its memo if
there is one; None when that is not enough, or another instance has the
device."""


class VolumeConnector(typing.Protocol):
    """Connects this host to volumes, and knows nothing of guests.

    *info* is always connection information as the volume service gave it,
    whole. Calls about one volume, or about volumes of one mounted file
    system, never overlap on a host: the caller sees to that.
    """

    @property
    def settings(self) -> volume.VolumeSettings:
        """How guests of this host get volumes."""

    def properties(self) -> Mapping[str, Any]:
        """Return what the volume service has to know of this host."""

    def connect(self, info: dict[str, Any]) -> str:
        """Connect the host; idempotent, may take minutes.

        What is found out, such as the path of the device, is written into
        *info* itself.

        :returns: the WWN that the device has given when it was asked just
            now; empty when it was not asked
        :raises VolumeFailure: it cannot be connected; something of it may be
            left, which :meth:`disconnect` removes
        """

    def unlock(self, info: dict[str, Any]) -> bytes | None:
        """Make an encrypted volume of a connected host readable.

        :returns: the passphrase with which QEMU decrypts it; None when the
            host does, and the path leads to what is decrypted
        :raises VolumeFailure: the key cannot be had, or does not fit
        """

    def disconnect(self, info: dict[str, Any], *, force: bool) -> None:
        """Disconnect the host, of whose guests none uses the volume.

        Idempotent; relies on nothing that :meth:`connect` has written.

        :param force: also when data that were not written yet are lost
        :raises VolumeFailure: it is connected still
        """

    def extend(self, info: dict[str, Any]) -> int:
        """Take note that a volume has grown; return its size in bytes.

        Only for volumes that are a device of the host.

        :raises VolumeFailure: a path to it has not grown
        """

    def extend_decrypted(self, info: dict[str, Any], size_bytes: int) -> int:
        """Return how much of a volume that has grown a guest can read.

        :param size_bytes: how large the volume is
        :returns: less, if it is encrypted
        :raises VolumeFailure: what decrypts it has not grown
        """


class Carrier(typing.Protocol):
    """Takes the files of a stopped guest to one other host."""

    def open(self, folder: str) -> bool:
        """Make a folder there, unless it is there; may take long.

        :returns: whether it is the one of that path that is here
        :raises StorageFailure: the host cannot be reached, or refuses
        """

    def collect(self, xml: str, folder: str) -> None:
        """Move into a folder what libvirt keeps of the guest elsewhere.

        That is what its TPM and its UEFI firmware remember. An attachment
        gives it back before the next start.

        :param xml: of the domain as it was before it was stopped
        :raises StorageFailure: it cannot be moved
        """

    def copy(
            self, source: str, target: str,
            watch: Callable[[], object]) -> None:
        """Copy a file or folder of this host to that one, which may have it.

        :param watch: to be called about once a second; what it raises ends
            the copying
        :raises StorageFailure: it is not there, or not complete
        """

    def remove(self, folder: str) -> None:
        """Remove a folder there and all in it; idempotent.

        :raises StorageFailure: something of it stays
        """


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
    """Gets how long things took, from those who wait for them.

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
    """Drops it."""

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
    attachments: AttachmentsOf | None = None
    """Returns those of an instance whose operation was interrupted; None
    where only another process knows them."""
    volumes: Callable[[], VolumeConnector] | None = None
    """Returns what connects this host to volumes, with the rights of the
    service itself; None where only another process can."""
    attachment: AttachmentOf | None = None
    """Returns that of one device whose attach or detach was interrupted."""
    home: HomeOf = lambda instance: None
    knows_instances: bool = False
    """The service knows its instances by itself. One that does not has those
    whose files are in its folder."""
