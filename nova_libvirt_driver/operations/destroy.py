# SPDX-License-Identifier: Apache-2.0

"""Removing a guest and all that belongs to it."""

from collections.abc import Callable
from collections.abc import Collection
from collections.abc import Iterator
from collections.abc import Sequence
import contextlib
import dataclasses

from oslo_log import log as logging

from nova_libvirt_driver import exception
from nova_libvirt_driver.guest import guests as guests_module
from nova_libvirt_driver.operations.steps import attached as attached_module
from nova_libvirt_driver.operations.steps import clean_ups as clean_ups_module
from nova_libvirt_driver.operations.steps import elsewhere
from nova_libvirt_driver.operations.steps import exclusive as exclusive_module
from nova_libvirt_driver import ports
from nova_libvirt_driver.spec import instance as instance_spec
from nova_libvirt_driver.storage import folder as folder_module
from nova_libvirt_driver.storage import journal as journal_module

LOG = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, slots=True)
class _Claims:
    """What other hosts have of a guest.

    :ivar departed: by what it may be on one of them, with its files
    :ivar awaited: what else ends there before its files are removed here
    :ivar here_despite: ids of what it is certain to be here despite
    """

    departed: Sequence[journal_module.Note]
    awaited: Sequence[journal_module.Note]
    here_despite: Sequence[str]


@dataclasses.dataclass(frozen=True, slots=True)
class Destroy:
    """Removes guests.

    Steps: end whatever operation is under way for the instance; note in the
    journal that it goes; cut the power; undefine the domain; disconnect the
    attachments; remove the folder, unless another host is at work on it; end
    what was interrupted on the instance. Each may be repeated.

    When the process is killed, the next one that looks into the journal does
    the rest. After a failure, of which the caller knows, only what follows a
    domain that has gone is left for later, as nothing else would find it; and
    so are files that another host is at work on, if the guest was up here.
    Else they may be those of a guest on that host, and stay.
    """

    OPERATION = 'destroy'

    guests: guests_module.Guests
    folders: folder_module.Folders
    exclusive: exclusive_module.Exclusive
    journal: journal_module.Journal
    clean_ups: clean_ups_module.CleanUps

    def destroy(
            self, instance: instance_spec.Instance,
            attachments: ports.Attachments, *, destroy_disks: bool,
            progress: ports.Progress) -> None:
        """Remove a guest; see :meth:`base.ComputeDriver.destroy`."""
        with (self.exclusive.take_over(instance, self.OPERATION),
              self.clean_ups.left(instance) as interrupted):
            claims = self._claims(instance)
            with self._noted(
                    instance, attachments,
                    # Later it may be forgotten who uses the disks.
                    destroy_disks=destroy_disks and not claims.departed,
                    here_despite=claims.here_despite) as noted:
                self._remove(
                    instance, attachments, noted, claims,
                    destroy_disks=destroy_disks, progress=progress)
                for entry in interrupted:
                    self._end(entry)
                progress.step('finish')
        LOG.info('Instance %s destroyed', instance.name,
                 instance={'uuid': instance.uuid})

    def clean_up(
            self, entry: journal_module.Entry,
            attachments: Callable[[], ports.Attachments]) -> None:
        """Finish an interrupted deletion."""
        note = entry.note
        names = note.values.get('attachments', ())
        assert isinstance(names, Collection)
        self._remove(
            note, [one for one in attachments() if one.name in names], entry,
            self._claims(note, entry),
            destroy_disks=bool(note.values['destroy_disks']),
            progress=ports.NullProgress())

    def _end(self, entry: journal_module.Entry) -> None:
        """End what was interrupted on a guest that has gone by now."""
        try:
            self.clean_ups.end(entry)
        except Exception as error:
            # The entry stays: nothing of it is a reason to keep the guest.
            LOG.error('What an interrupted %s left cannot be cleaned up now, '
                      'will retry: %s', entry.note.operation, error,
                      instance={'uuid': entry.note.uuid})

    def delete_files(self, instance: instance_spec.Instance) -> bool:
        """Remove the files of a guest that has no domain any more.

        They stay while another host is at work on it.

        :returns: True when nothing of them is left
        """
        with self.exclusive.take_over(instance, self.OPERATION):
            if (self.guests.find_or_none(instance) is not None
                    or self.clean_ups.at_work(instance)
                    or self.clean_ups.departed(instance)):
                return False
            self.folders.kept(instance).remove()
            self.folders.of(instance).remove()
        return not self.folders.of(instance).exists()

    @contextlib.contextmanager
    def _noted(
            self, instance: instance_spec.Instance,
            attachments: ports.Attachments, *, destroy_disks: bool,
            here_despite: Sequence[str]
    ) -> Iterator[journal_module.Entry | None]:
        """Keep an entry in the journal, if there is room for one."""
        with contextlib.ExitStack() as stack:
            try:
                entry = self.journal.begin(
                    self.OPERATION, uuid=instance.uuid, name=instance.name,
                    destroy_disks=destroy_disks, here_despite=here_despite,
                    attachments=[one.name for one in attachments])
            except exception.StorageFailure as error:
                # A deletion is what makes room on a full disk.
                LOG.warning('Deleting without an entry in the journal: %s',
                            error, instance={'uuid': instance.uuid})
                yield None
                return
            stack.callback(entry.release)
            try:
                yield entry
            except exception.ForeignDomain:
                # Refused, with nothing done.
                entry.end()
                raise
            except BaseException:
                _leave_rest(entry)
                raise
            if not entry.note.is_rest:
                entry.end()

    def _foreign(
            self, instance: instance_spec.Instance,
            entry: journal_module.Entry | None) -> list[journal_module.Note]:
        """Return what other hosts have; an operator's *entry* may be one."""
        return [note for note in self.clean_ups.at_work(instance)
                if not note.phase.startswith(elsewhere.GONE)
                and (entry is None or note.id != entry.note.id)]

    def _others(
            self, instance: instance_spec.Instance
    ) -> list[journal_module.Note]:
        """Return by what other hosts have a guest, or had or get it."""
        return [note for note in self.clean_ups.at_work(instance)
                if note.operation != self.OPERATION]

    def _claims(
            self, instance: instance_spec.Instance,
            entry: journal_module.Entry | None = None) -> _Claims:
        """See what other hosts have of a guest.

        A domain that is here and not up may be one from before that, unless
        it is proved to have come.

        :param entry: what is known already, if the deletion was interrupted
        """
        known = _here_despite(entry)
        others = [note for note in self._others(instance)
                  if note.id not in known]
        foreign = self._foreign(instance, entry)
        departed = self.clean_ups.departed(instance)
        ids = [*known, *(note.id for note in others)]
        if not departed and (not others or elsewhere.has_arrived(
                self.guests, instance)):
            return _Claims((), foreign, ids)
        awaited = [note for note in foreign if note not in others]
        if not departed and len(others) == 1 and (
                elsewhere.has_come_and_stopped(self.guests, others[0])):
            return _Claims((), awaited, ids)
        return _Claims([*departed, *others], awaited, known)

    def _remove(
            self, instance: instance_spec.Instance,
            attachments: ports.Attachments,
            entry: journal_module.Entry | None,
            claims: _Claims, *, destroy_disks: bool,
            progress: ports.Progress) -> None:
        progress.step('domain')
        if claims.departed or entry is not None and entry.note.is_rest and (
                entry.superseded_by() is not None):
            # It may run elsewhere, with its files.
            attached_module.of_here(attachments)
        had_domain = self.guests.remove(
            instance, keep_state=bool(claims.departed) or not destroy_disks)
        progress.step('disconnect')
        with contextlib.ExitStack() as stack:
            if destroy_disks:
                stack.callback(
                    self._remove_files, instance, entry,
                    [*claims.awaited, *claims.departed], progress)
            # Before the files, and whatever fails: the next attempt may no
            # longer know what the guest was connected to.
            stack.callback(attached_module.disconnect, attachments)
            if entry is not None and destroy_disks and claims.awaited and (
                    not claims.departed) and (
                    had_domain or claims.here_despite):
                # Of a guest that was elsewhere, the files are needed there.
                entry.leave_rest()

    def _remove_files(
            self, instance: instance_spec.Instance,
            entry: journal_module.Entry | None,
            foreign: Sequence[journal_module.Note],
            progress: ports.Progress) -> None:
        progress.step('files')
        if entry is not None and entry.superseded_by() is not None:
            return
        folder = self.folders.of(instance)
        if not foreign:
            folder.remove()
        for note in foreign if folder.exists() else ():
            LOG.warning(
                'The files are left: a %s of the instance is under way, or '
                'was interrupted, on %s%s', note.operation,
                note.owner or 'an unknown host',
                f': {note.phase}' if note.phase else '',
                instance={'uuid': instance.uuid})


def _here_despite(entry: journal_module.Entry | None) -> list[str]:
    # The power of the guest may be off by now.
    return [] if entry is None else list(
        entry.note.values.get('here_despite', ()))


def _leave_rest(entry: journal_module.Entry) -> None:
    with contextlib.suppress(exception.StorageFailure):
        try:
            entry.leave_rest()
        except exception.StorageFailure:
            # All of it would be done later. This needs no room.
            entry.end()
