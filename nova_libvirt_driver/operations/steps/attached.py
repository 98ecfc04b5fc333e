# SPDX-License-Identifier: Apache-2.0

"""Connecting a guest to what is outside it, around its start."""

from collections.abc import Iterable
from collections.abc import Iterator
import contextlib
import dataclasses

from nova_libvirt_driver import exception
from nova_libvirt_driver.guest import handle
from nova_libvirt_driver.operations.steps import undo as undo_module
from nova_libvirt_driver import ports
from nova_libvirt_driver.spec import guest as guest_spec
from nova_libvirt_driver.spec import instance as instance_spec


@dataclasses.dataclass(frozen=True, slots=True)
class Attached:
    """Starts a guest that has attachments.

    :param undo: gets what stops the guest again and disconnects it
    """

    attachments: ports.Attachments
    progress: ports.Progress
    undo: undo_module.Undo

    def prepare(self, spec: guest_spec.GuestSpec) -> guest_spec.GuestSpec:
        """Return the spec as the attachments complete it.

        Called before the guest is changed in any way, so that it is the last
        thing to be undone.
        """
        for attachment in self.attachments:
            self.progress.step(f'prepare {attachment.name}')
            # Before the step: one that fails may have done half of it.
            self._revert_later(attachment)
            spec = attachment.prepare(spec)
        return spec

    def prepare_recorded(
            self, spec: guest_spec.GuestSpec | None,
            names: Iterable[str]) -> guest_spec.GuestSpec | None:
        """Prepare for a start after an interrupted operation.

        :param spec: as it is recorded; None when it is not
        :param names: of the attachments that the operation had
        :raises WrongState: some of those are not known here
        """
        lost = set(names) - {one.name for one in self.attachments}
        if lost:
            raise exception.WrongState(
                tried='start it again', instance=self.undo.uuid,
                state='connected to what its service does not know any '
                f'more: {", ".join(sorted(lost))}')
        if spec is not None:
            return self.prepare(spec)
        for attachment in self.attachments:
            self._revert_later(attachment)
        return None

    def connect(self) -> None:
        """Connect a guest that another host will let run here."""
        with self._connected():
            self.progress.step('connected')

    def start(
            self, guest: handle.Guest, spec: guest_spec.GuestSpec | None, *,
            drop_saved: bool = False) -> None:
        """Start a stopped guest; it runs once everything is connected.

        :param spec: names the ports to forward; None where it is not known
        :param drop_saved: there may be saved memory, which is not wanted
        """
        # Before the start: one that outlives its deadline may succeed.
        self.undo.add('stop the guest', guest.destroy)
        with self._connected() as wait:
            if drop_saved and guest.has_saved():
                guest.remove_saved()
            guest.start(paused=wait)
        _forward(guest, spec)
        if wait:
            self.progress.step('run')
            guest.resume()

    def start_saved(
            self, guest: handle.Guest, spec: guest_spec.GuestSpec) -> None:
        """Let a guest go on from its saved memory.

        It never waits: whether it was paused when it was saved would be
        forgotten.
        """
        self.undo.add('suspend the guest', lambda: _save(guest))
        with self._connected():
            guest.start()
        _forward(guest, spec)

    def _revert_later(self, attachment: ports.Attachment) -> None:
        self.undo.add(f'disconnect {attachment.name}', attachment.revert)

    @contextlib.contextmanager
    def _connected(self) -> Iterator[bool]:
        """Yield whether the guest has to wait."""
        wait = False
        with contextlib.ExitStack() as stack:
            for attachment in self.attachments:
                self.progress.step(f'connect {attachment.name}')
                wait |= stack.enter_context(attachment.connect())
            self.progress.step('start')
            yield wait


@contextlib.contextmanager
def starting(
        operation: str, instance: instance_spec.Instance,
        attachments: ports.Attachments,
        progress: ports.Progress) -> Iterator[Attached]:
    """Start a guest within; what an exception ends is undone."""
    with undo_module.Undo(operation, instance) as undo:
        yield Attached(attachments, progress, undo)
        undo.commit()


def of_here(attachments: ports.Attachments) -> ports.Attachments:
    """Return attachments of a guest that has moved.

    What its service says of its volumes by now is how the other host has
    them.
    """
    for one in attachments:
        # To look for the whole protocol asks each property for its value.
        if hasattr(one, 'own'):
            one.own = True
    return attachments


def disconnect(attachments: ports.Attachments) -> None:
    """Disconnect a guest that is gone; one failure does not stop the rest."""
    with contextlib.ExitStack() as stack:
        for attachment in attachments:
            stack.callback(attachment.disconnect)


def _forward(
        guest: handle.Guest, spec: guest_spec.GuestSpec | None) -> None:
    # QEMU forgets them whenever it ends.
    for nic in spec.nics if spec is not None else ():
        if nic.forwards:
            guest.forward(nic.key, nic.forwards)


def _save(guest: handle.Guest) -> None:
    # Its memory is nowhere else once it has started.
    if guest.is_active():
        guest.save()
