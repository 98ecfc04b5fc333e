# SPDX-License-Identifier: Apache-2.0

"""Ends operations that were interrupted, each by its own clean-up."""

from collections.abc import Callable
from collections.abc import Iterator
import contextlib
from typing import Protocol
from typing import runtime_checkable

from oslo_log import log as logging

from nova_libvirt_driver import exception
from nova_libvirt_driver.guest import guests as guests_module
from nova_libvirt_driver.guest import reach
from nova_libvirt_driver.operations.steps import elsewhere
from nova_libvirt_driver import ports
from nova_libvirt_driver.spec import instance as instance_spec
from nova_libvirt_driver.storage import journal as journal_module

LOG = logging.getLogger(__name__)

_DESTROY, _DISCONNECT = 'destroy', 'disconnect volume'
"""The operations on what is left of guests that are gone."""


class NotYetError(Exception):
    """A clean-up has to wait for something, and nothing waits for it."""


class Operation(Protocol):
    """An operation that writes down in the journal what it is about."""

    def clean_up(
            self, entry: journal_module.Entry,
            attachments: Callable[[], ports.Attachments]) -> None:
        """Finish or undo what was interrupted; the caller has the instance.

        May be repeated until it succeeds, and finds the instance in any
        state: a deletion ends what was interrupted after the domain, and
        maybe the folder, has gone.

        :param attachments: returns what the instance may be connected to
        :raises NotYetError: it is for a later time
        """


@runtime_checkable
class Outside(Operation, Protocol):
    """One that makes or connects what is outside the instance's folder."""

    def remove_outside(self, entry: journal_module.Entry) -> None:
        """Remove them; the instance may be another host's by now."""


@runtime_checkable
class Open(Operation, Protocol):
    """One that can end its call and stay open, for another to decide."""

    def is_decided(self, entry: journal_module.Entry) -> bool:
        """Say whether what it waits for has come, and it can be cleaned up.

        Asked before its deadline; at that it is cleaned up in any case.
        """


@runtime_checkable
class Departing(Operation, Protocol):
    """One by which a guest goes to another host."""

    def has_left(self, note: journal_module.Note) -> bool:
        """Say whether the guest is there, or may be, and uses its files."""

    def give_up(
            self, entry: journal_module.Entry,
            attachments: Callable[[], ports.Attachments]) -> None:
        """Do as the clean-up, when files of the guest may have come back.

        :raises NotYetError: the guest may be there still
        """


class CleanUps:
    """Knows the clean-up of each operation.

    :param attachments: None where only another process knows them
    """

    def __init__(
            self, journal: journal_module.Journal,
            guests: guests_module.Guests,
            attachments: ports.AttachmentsOf | None) -> None:
        self._journal = journal
        self._guests = guests
        self._attachments = attachments
        self._operations: dict[str, Operation] = {}

    def register(self, name: str, operation: Operation) -> None:
        """Let an operation of that name be cleaned up after from now on."""
        self._operations[name] = operation

    def settle(
            self, instance: instance_spec.Instance, *,
            given_up: bool = False) -> list[journal_module.Note]:
        """End what was interrupted; the caller has the instance.

        :param given_up: what an earlier move has left open as well, unless
            the guest comes to this host, or is up on it
        :returns: what is open, and not decided yet
        :raises DriverError: it cannot be ended now, and stays
        """
        waiting = []
        with self.left(instance) as entries:
            for entry in entries:
                if entry.note.is_open and not (
                        self._is_down(instance) if given_up
                        else self._is_decided(entry)):
                    waiting.append(entry.note)
                elif not self.end(entry, given_up=given_up) and (
                        entry.note.is_open or self._can_be_open(entry)):
                    waiting.append(entry.note)
        return waiting

    def _can_be_open(self, entry: journal_module.Entry) -> bool:
        """Say whether it may wait all the same when its time is over."""
        return isinstance(
            self._operations.get(entry.note.operation), Open)

    def _is_decided(self, entry: journal_module.Entry) -> bool:
        operation = self._operations.get(entry.note.operation)
        return isinstance(operation, Open) and operation.is_decided(entry)

    @contextlib.contextmanager
    def left(
            self, instance: instance_spec.Instance
    ) -> Iterator[list[journal_module.Entry]]:
        """Lend, locked, what was interrupted on an instance on this host.

        What a former version wrote down names no owner. It is taken for ours
        when the domain is here: then whatever is done to it and to its files
        is done on the host that has it.
        """
        with self._journal.left(instance.uuid) as entries:
            yield [entry for entry in entries
                   if entry.note.owner is not None or self._is_here(instance)]

    def foreign(
            self, instance: instance_spec.Instance
    ) -> list[journal_module.Note]:
        """Return what other hosts have under way, or left, on an instance."""
        return [note for note in self._journal.foreign(instance.uuid)
                if note.owner is not None or not self._is_here(instance)]

    def at_work(
            self, instance: instance_spec.Instance
    ) -> list[journal_module.Note]:
        """Return for which of those the files of the instance may be needed.

        What only cleans up needs none, and may stay for as long as its host
        is gone. Two of them must not wait for each other.
        """
        return [note for note in self.foreign(instance) if not (
            note.is_rest or note.operation == _DISCONNECT
            or note.values.get('confirmed'))]

    def departed(
            self, instance: instance_spec.Instance
    ) -> list[journal_module.Note]:
        """Return by what a guest may have gone from here to another host."""
        return [note for note in self._journal.notes(instance.uuid)
                if self._journal.is_ours(note) and (
                    operation := self._departs(note))
                and operation.has_left(note)]

    def _departs(self, note: journal_module.Note) -> Departing | None:
        operation = self._operations.get(note.operation)
        return operation if isinstance(operation, Departing) else None

    def end_by_force(self, uuid: str, entry_id: str) -> None:
        """Clean up, as far as that can be done, and forget the operation.

        It may be one of another host that is gone.

        :raises HypervisorUnavailable: nothing can be done now
        """
        with self._journal.left(uuid, entry_id, foreign=True) as entries:
            for entry in entries:
                try:
                    self.end(entry, forced=True)
                except exception.HypervisorUnavailable:
                    raise
                except Exception as error:
                    LOG.error('An interrupted %s is forgotten, though: %s',
                              entry.note.operation, error,
                              instance={'uuid': uuid})
                    entry.end()
                    # Its clean-up may have left it open, and let go of it.
                    with self._journal.left(
                            uuid, entry_id, foreign=True) as kept:
                        for one in kept:
                            one.end()

    def end(
            self, entry: journal_module.Entry, *, forced: bool = False,
            given_up: bool = False) -> bool:
        """Clean up after an interrupted operation, and forget it.

        :param forced: also without attachments that are not known here
        :param given_up: see :meth:`settle`
        :returns: False when it is for a later time, and the entry stays
        :raises NotYetError: though it is forced
        :raises WrongState: those are not known to this process
        :raises DriverError: it cannot be done now, and the entry stays
        """
        note = entry.note
        operation = self._operations.get(note.operation)
        if operation is None:
            LOG.warning(
                'This version cannot clean up after an interrupted %s',
                note.operation, instance={'uuid': note.uuid})
            if forced:
                entry.end()
            return forced
        try:
            self._clean_up(
                operation, entry, forced=forced, given_up=given_up)
            if self.foreign(note) and self._has_stayed(note):
                keep_files(self._journal, note)
        except NotYetError:
            if forced:
                raise
            return False
        except (KeyError, TypeError) as error:
            raise exception.StorageFailure(
                reason=f'the entry of a {note.operation} makes no sense: '
                f'{error!r}', path=self._journal.folder) from error
        except exception.ForeignDomain as error:
            LOG.warning('Left from an interrupted %s: %s', note.operation,
                        error, instance={'uuid': note.uuid})
        entry.end()
        LOG.info('Cleaned up after an interrupted %s', note.operation,
                 instance={'uuid': note.uuid})
        return True

    def _has_stayed(self, note: journal_module.Note) -> bool:
        """Say whether the guest is here, up or not, and not on its way."""
        guest = self._guests.find_or_none(note)
        return note.operation != _DISCONNECT and guest is not None and (
            guest.state().power not in reach.UP
            or elsewhere.has_arrived(self._guests, note))

    def _clean_up(
            self, operation: Operation, entry: journal_module.Entry, *,
            forced: bool, given_up: bool) -> None:
        note = entry.note
        if entry.superseded_by() is not None:
            if not self._journal.is_ours(note):
                # By force: the guest here is the one that superseded it.
                return
            self._guests.remove(note)
            if not note.is_rest:
                if isinstance(operation, Outside):
                    operation.remove_outside(entry)
                return
        elif note.is_rest:
            if self._guests.find_or_none(note) is not None:
                return
            if self.at_work(note) and not forced:
                raise NotYetError('another host is at work on the instance')
        known = self._known(note, forced=forced)
        clean_up = (operation.give_up if given_up and isinstance(
            operation, Departing) else operation.clean_up)
        clean_up(entry, lambda: known(note))
        if entry.note.is_rest and not note.is_rest:
            raise NotYetError('what follows the domain is left to do')

    def _known(
            self, note: journal_module.Note, *,
            forced: bool) -> ports.AttachmentsOf:
        if self._attachments is not None:
            return self._attachments
        names = note.values.get('attachments')
        if names and not forced:
            raise exception.WrongState(
                tried=f'clean up after a {note.operation}',
                instance=note.uuid,
                state='connected to what only its service knows: '
                f'{", ".join(names)}')
        return lambda instance: ()

    def _is_down(self, instance: instance_spec.Instance) -> bool:
        guest = self._guests.find_or_none(instance)
        return guest is None or guest.state().power not in reach.UP

    def _is_here(self, instance: instance_spec.Instance) -> bool:
        try:
            return self._guests.find_or_none(instance) is not None
        except exception.ForeignDomain:
            return False


@contextlib.contextmanager
def kept_open(
        entry: journal_module.Entry, timeout_s: float) -> Iterator[None]:
    """Let an entry that cannot be ended say what an operator may do.

    :param timeout_s: after how long it is tried again
    :raises WrongState: as raised by what is done in it
    """
    try:
        yield
    except exception.WrongState as error:
        with contextlib.suppress(exception.StorageFailure):
            entry.leave_open(
                entry.note.phase, timeout_s, hint=error.next_step)
        raise


def keep_files(
        journal: journal_module.Journal,
        instance: instance_spec.Instance) -> None:
    """Have no other host remove the files of a guest that is up here.

    It was up there as well, and the deletion there waits for what had begun
    here. To be called before that ends.

    :raises StorageFailure: an entry cannot be read or written
    """
    journal.supersede(instance.uuid, lambda note: (
        note.operation == _DESTROY and bool(
            note.values.get('destroy_disks'))))
