# SPDX-License-Identifier: Apache-2.0

"""Whether a guest that was let go while it ran is up on another host.

The record of the service does not say so by itself. It has a server on the
host that it has left when nova-compute is killed at the end of a migration,
and it has one that is to come on this host before it is here. So the other
host is asked.
"""

import dataclasses

from oslo_log import log as logging

from nova_libvirt_driver import exception
from nova_libvirt_driver.guest import guests as guests_module
from nova_libvirt_driver.guest import migration
from nova_libvirt_driver.operations.steps import verdict
from nova_libvirt_driver import ports
from nova_libvirt_driver.spec import instance as instance_spec
from nova_libvirt_driver.storage import folder as folder_module
from nova_libvirt_driver.storage import journal as journal_module

LOG = logging.getLogger(__name__)

MOVED, GONE = 'moved', 'gone to '
"""The phase in which a guest is on the other host, and how that begins in
which nothing is left to do here."""

_STOPPED = frozenset(('shutdown', 'destroyed', 'crashed', 'saved'))
"""Libvirt's words for a guest that has run here since libvirt was started."""

_LEFT = 'migration'
"""Libvirt's word for one that stands still as its memory is elsewhere."""

_SETTLED_S = 60.0
"""How long libvirt may change files that a guest has left."""


@dataclasses.dataclass(frozen=True, slots=True)
class Elsewhere:
    """Knows of guests that were let go what their entries do not say.

    :param home: returns where the service has an instance
    """

    guests: guests_module.Guests
    folders: folder_module.Folders
    journal: journal_module.Journal
    home: ports.HomeOf

    def is_missed(self, note: journal_module.Note) -> bool:
        """Say whether a guest may be wanted here, and be up elsewhere.

        A host that cannot be asked may have it.
        """
        home = self.home(note)
        if home is ports.Home.ELSEWHERE or (
                # For as long as it runs, it uses files that both have.
                home is ports.Home.DELETED and not note.values['is_shared']
                # Another process than the service does not know.
                or home is None and not note.phase.startswith(GONE)):
            return False
        return not self.is_back(note) and self._may_be_there(note)

    def is_back(self, note: journal_module.Note) -> bool:
        """Say whether a guest that had gone is up here."""
        return has_arrived(self.guests, note)

    def was_deleted(self, note: journal_module.Note) -> bool:
        """Say whether it is certain that a guest was deleted where it went.

        What stands still here is a copy that libvirt has left, then.
        """
        guest = self.guests.find_or_none(note)
        if guest is not None and migration.is_up(
                here := guest.state()) and here.reason != _LEFT:
            return False
        return self._is_deletion_noted(note) and state_there(
            self.guests, note) is None

    def _is_deletion_noted(self, note: journal_module.Note) -> bool:
        # The other host was certain to have it, and writes down why.
        if any(note.id in other.values.get('here_despite', ())
               for other in self.journal.foreign(note.uuid)):
            return True
        return note.phase == MOVED and (
            self.home(note) is ports.Home.DELETED
            or bool(note.values['is_shared'])
            and not self.folders.of(note).exists())

    def remove_here(self, instance: instance_spec.Instance) -> None:
        """Remove the domain of a guest that is on the other host.

        There is one when libvirt could not finish here: it stands still, has
        gone down, or was let go on.

        :raises MigrationUnclear: it runs
        """
        guest = self.guests.find_or_none(instance)
        if guest is None:
            return
        state = guest.state()
        if migration.runs(state) and state.reason != migration.CANCELED:
            raise exception.MigrationUnclear(
                instance=instance.uuid, destination='the other host',
                reason='it runs here as well')
        self.guests.remove(instance, keep_state=True)

    def has_come(self, note: journal_module.Note) -> bool:
        """Say whether the files here are others than the guest has left."""
        moved_at = note.values.get('moved_at')
        return moved_at is not None and self.folders.of(
            note).changed_at() > moved_at + _SETTLED_S

    def tell_rest(self, note: journal_module.Note) -> None:
        """Say what is left of a guest that its service has no more."""
        folder, uri = self.folders.of(note), note.values['uri']
        home, is_shared = self.home(note), note.values['is_shared']
        if home is ports.Home.DELETED and not is_shared:
            LOG.warning('The instance was deleted after it was '
                        'live-migrated: look whether its guest is still '
                        'on %s, and remove it there', uri,
                        instance={'uuid': note.uuid})
        elif is_shared and folder.exists() and home in (
                ports.Home.DELETED, ports.Home.UNKNOWN):
            LOG.warning('The instance was live-migrated to %s, where it is '
                        'gone, and its service has it no more: see whether '
                        'any file in %s is needed still, and remove it', uri,
                        folder.path, instance={'uuid': note.uuid})

    def _may_be_there(self, note: journal_module.Note) -> bool:
        """Say whether it may be up there.

        Or is defined there, and its disks are not here.
        """
        there = state_there(self.guests, note)
        if isinstance(there, verdict.Unknown):
            return True
        return migration.is_up(there) or (
            there is not None and not self.folders.of(note).exists())


def has_arrived(
        guests: guests_module.Guests,
        instance: instance_spec.Instance) -> bool:
    """Say whether a guest is up here, and not only on its way."""
    guest = guests.find_or_none(instance)
    here = None if guest is None else guest.state()
    return (here is not None and migration.is_up(here)
            and here.reason != 'starting-up' and verdict.decide(
                None, here, verdict.UNKNOWN) is verdict.Verdict.STAYED)


def has_come_and_stopped(
        guests: guests_module.Guests, note: journal_module.Note) -> bool:
    """Say whether it is certain that a guest came here, and was stopped here.

    It is when the URI to which it was let go leads to the domain here. Which
    host that is is known to no one else.

    :param note: another host's, by which it was let go
    """
    if not note.values.get('is_shared') or not (
            note.phase == MOVED or note.phase.startswith(GONE)):
        return False
    guest = guests.find_or_none(note)
    if guest is None or guest.state().reason not in _STOPPED:
        return False
    try:
        return guests.migration(note).leads_here(str(note.values['uri']))
    except exception.DriverError as error:
        LOG.debug('It is not seen whether the guest has come: %s', error,
                  instance={'uuid': note.uuid})
        return False


def state_there(
        guests: guests_module.Guests, note: journal_module.Note
) -> verdict.State | verdict.Unknown:
    """Return the state of a guest where it was let go to."""
    try:
        return guests.migration(note).state_at(str(note.values['uri']))
    except exception.DriverError as error:
        LOG.debug('The other host cannot be asked: %s', error,
                  instance={'uuid': note.uuid})
        return verdict.UNKNOWN


def supersede(
        journal: journal_module.Journal, guests: guests_module.Guests,
        instance: instance_spec.Instance) -> None:
    """Have an instance from now on that other hosts had.

    :raises WrongState: one of them has let its guest go, and it is up where
        it went, or may be
    """
    for note in journal.foreign(instance.uuid):
        uri = note.values.get('uri')
        if not uri or not note.phase:
            continue
        try:
            is_up = migration.is_up(guests.migration(instance).state_at(uri))
            state = f'up on {uri}' if is_up else ''
        except exception.DriverError as error:
            state = f'maybe up on {uri}, which cannot be asked: {error}'
        if state:
            raise exception.WrongState(
                tried='start it here', instance=instance.uuid, state=state,
                hint='it was let go to that host while it ran. Let its '
                'service know that it is there or, once it is certain that '
                'it runs nowhere: nova-libvirt operations clean --force '
                f'{note.id}')
    journal.supersede(instance.uuid)
