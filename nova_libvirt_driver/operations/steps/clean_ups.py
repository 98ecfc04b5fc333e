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
from nova_libvirt_driver import ports
from nova_libvirt_driver.spec import instance as instance_spec
from nova_libvirt_driver.storage import journal as journal_module

LOG = logging.getLogger(__name__)


class NotYetError(Exception):
    """A clean-up has to wait for something, and nothing waits for it."""


class Operation(Protocol):
    """An operation that writes down in the journal what it is about."""

    OPERATION: str
    """Its name there."""

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

    def register(self, operation: Operation) -> None:
        """Let an operation clean up after itself from now on."""
        self._operations[operation.OPERATION] = operation

    def settle(
            self, instance: instance_spec.Instance
    ) -> list[journal_module.Note]:
        """End what was interrupted; the caller has the instance.

        :returns: what is open, and not decided yet
        :raises DriverError: it cannot be ended now, and stays
        """
        waiting = []
        with self.left(instance) as entries:
            for entry in entries:
                if entry.note.is_open and not self._is_decided(entry):
                    waiting.append(entry.note)
                else:
                    self.end(entry)
        return waiting

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

    def end(
            self, entry: journal_module.Entry, *,
            forced: bool = False) -> None:
        """Clean up after an interrupted operation, and forget it.

        :param forced: also without attachments that are not known here
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
            return
        try:
            self._clean_up(operation, entry, forced=forced)
        except NotYetError:
            if forced:
                raise
            return
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

    def _clean_up(
            self, operation: Operation, entry: journal_module.Entry, *,
            forced: bool) -> None:
        note = entry.note
        instance = instance_spec.InstanceRef(note.uuid, note.name)
        if entry.superseded_by() is not None:
            if not self._journal.is_ours(note):
                # By force: the guest here is the one that superseded it.
                return
            self._guests.remove(instance)
            if isinstance(operation, Outside):
                operation.remove_outside(entry)
            return
        if note.is_rest:
            if self._guests.find_or_none(instance) is not None:
                return
            if self.foreign(instance) and not forced:
                raise NotYetError('another host is at work on the instance')
        known = self._known(note, forced=forced)
        operation.clean_up(entry, lambda: known(instance))
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

    def _is_here(self, instance: instance_spec.Instance) -> bool:
        try:
            return self._guests.find_or_none(instance) is not None
        except exception.ForeignDomain:
            return False
