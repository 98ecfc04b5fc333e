# SPDX-License-Identifier: Apache-2.0

"""Letting a guest go to another host while it runs.

This host decides where the guest is in the end, by what libvirt says of the
job and by the domains on both hosts.
"""

from collections.abc import Callable
import contextlib
import dataclasses
import time

from oslo_log import log as logging

from nova_libvirt_driver import exception
from nova_libvirt_driver.guest import handle
from nova_libvirt_driver.guest import migration
from nova_libvirt_driver.guest import reach
from nova_libvirt_driver.operations.steps import attached as attached_module
from nova_libvirt_driver.operations.steps import clean_ups as clean_ups_module
from nova_libvirt_driver.operations.steps import domains as domains_module
from nova_libvirt_driver.operations.steps import elsewhere as elsewhere_module
from nova_libvirt_driver.operations.steps import exclusive as exclusive_module
from nova_libvirt_driver.operations.steps import outgoing as outgoing_module
from nova_libvirt_driver.operations.steps import post_copy as post_copy_module
from nova_libvirt_driver.operations.steps import rebuild as rebuild_module
from nova_libvirt_driver.operations.steps import relocation
from nova_libvirt_driver.operations.steps import steering as steering_module
from nova_libvirt_driver.operations.steps import undo as undo_module
from nova_libvirt_driver.operations.steps import verdict as verdict_module
from nova_libvirt_driver import ports
from nova_libvirt_driver.spec import event as event_spec
from nova_libvirt_driver.spec import guest as guest_spec
from nova_libvirt_driver.spec import instance as instance_spec
from nova_libvirt_driver.spec import live_migration as migration_spec
from nova_libvirt_driver.storage import journal as journal_module
from nova_libvirt_driver.storage import storage as storage_module
from nova_libvirt_driver.xmlmodel import domain as domain_model

LOG = logging.getLogger(__name__)

_FOREVER_S = 3e6
_POST_S = 3600.0
"""How long the service may take to do what follows a migration."""
_UNCLEAR_S = 60.0
_LOOK_S = 1.0
_HELD_S = 15.0
"""How long a guest stands still for an answer of the other host."""

_MIGRATING = 'migrating'
_MOVED, _GONE = elsewhere_module.MOVED, elsewhere_module.GONE
_PAUSED = instance_spec.PowerState.PAUSED
_Verdict = verdict_module.Verdict


@dataclasses.dataclass(frozen=True, slots=True)
class LiveDeparture:
    """Lets running guests go, and forgets them.

    Steps: read the domain and write it for the other host; copy the files
    that libvirt does not copy; migrate; see where the guest is. When a step
    fails the guest runs on here. When it has moved, the operation stays open
    until the service has done what follows, and its record has the guest on
    the other host: until then the guest must not be started here.

    When the process is killed meanwhile, the job is aborted by the next one,
    unless it is too late, and then it is seen where the guest is.
    """

    OPERATION = 'live-migrate'

    domains: domains_module.Domains
    storage: storage_module.Storage
    rebuild: rebuild_module.Rebuild
    exclusive: exclusive_module.Exclusive
    outgoing: outgoing_module.Outgoing
    elsewhere: elsewhere_module.Elsewhere
    post_copy: post_copy_module.PostCopy
    running: dict[str, steering_module.Steering] = dataclasses.field(
        default_factory=dict)
    """Those of this process that are under way, by uuid."""

    def migrate(
            self, spec: guest_spec.GuestSpec,
            destination: migration_spec.Destination,
            carrier: ports.Carrier | None, attachments: ports.Attachments, *,
            report: steering_module.Report,
            progress: ports.Progress) -> None:
        """Let a guest go; see the contract's verb."""
        with (self.exclusive.hold(spec, self.OPERATION, progress) as watched,
              undo_module.Undo(self.OPERATION, spec) as undo):
            watched.step('check')
            guest = self.domains.guests.find(spec)
            before = self._checked(guest)
            entry = undo.begin(
                self.storage.journal, attachments=[
                    one.name for one in attachments],
                uri=destination.uri, is_shared=destination.is_shared,
                migrate_uri=destination.migrate_uri,
                was_paused=before.power is _PAUSED)
            watched.step('read')
            request = self.outgoing.request(guest, spec, destination)
            if carrier is not None and not destination.is_shared:
                watched.step('copy files')
                self.outgoing.copy_files(spec, destination, carrier, watched)
            watched.step('migrate')
            entry.advance(_MIGRATING)
            ended = self._run(guest, request, report, watched)
            is_whole = self.post_copy.follow(
                guest, destination, watched.give_way,
                **({'patience_s': 0.0} if ended.reason else {}))
            try:
                self._settle(guest, before, entry.note, ended,
                             wait_s=_UNCLEAR_S if is_whole else 0.0)
            except exception.MigrationUnclear:
                # Looked at again, until it is clear.
                with contextlib.suppress(exception.StorageFailure):
                    undo.hand_over(entry, _MIGRATING, 0.0)
                raise
            try:
                undo.hand_over(
                    entry, _MOVED, _POST_S, moved_at=time.time())
            except exception.StorageFailure as error:
                # As an error, it would have a guest that has moved taken
                # for one that has not.
                LOG.error('What the guest has left here may stay: %s', error,
                          instance={'uuid': spec.uuid})
        LOG.info('Instance %s was live-migrated to %s', spec.name,
                 destination.uri, instance={'uuid': spec.uuid})

    def check(self, instance: instance_spec.Instance) -> None:
        """See whether a guest can go; see the contract's verb."""
        self._checked(self.domains.guests.find(instance))

    def abort(self, instance: instance_spec.Instance) -> None:
        """End a migration; see the contract's verb."""
        steering = self.running.get(instance.uuid)
        if steering is not None:
            steering.abort()
            return
        # Of a process that was killed, maybe.
        guest = self.domains.guests.find(instance)
        steering_module.check_abortable(guest)
        job = self.domains.guests.migration(instance)
        if job.job() is not migration.Job.OUT:
            raise _not_migrating('abort its migration', instance)
        job.abort()

    def force_complete(self, instance: instance_spec.Instance) -> None:
        """Bring a migration to its end; see the contract's verb."""
        steering = self.running.get(instance.uuid)
        if steering is None:
            raise _not_migrating('complete its migration', instance)
        steering.complete()

    def disconnect(
            self, instance: instance_spec.Instance,
            attachments: ports.Attachments) -> None:
        """Disconnect a guest that has moved; see the contract's verb."""
        with self.exclusive.hold(
                instance, self.OPERATION, continuing=self.OPERATION):
            self._remove_left(instance)
            attached_module.disconnect(attachments)

    def forget(
            self, instance: instance_spec.Instance,
            attachments: ports.Attachments) -> None:
        """Remove what is left of a guest that has moved; see the contract."""
        with (self.exclusive.hold(instance, self.OPERATION,
                                  continuing=self.OPERATION),
              self.storage.journal.picked_up(
                  instance.uuid, self.OPERATION) as entry):
            self._leave(entry, attachments, with_files=True)
            if not self._keep(entry):
                entry.end()

    def is_decided(self, entry: journal_module.Entry) -> bool:
        """Say whether the guest is back, or is wanted elsewhere by now.

        Before that, who has let the guest go does what follows.
        """
        note = entry.note
        return self.elsewhere.is_back(note) or (
            note.phase.startswith(_GONE)
            and not self.elsewhere.is_missed(note))

    def has_left(self, note: journal_module.Note) -> bool:
        """Say whether the guest is on the other host, or may be."""
        if note.phase.startswith(_GONE):
            return self.elsewhere.is_missed(note)
        if note.phase != _MIGRATING:
            return note.phase == _MOVED and not self.elsewhere.is_back(note)
        return self._look(note, None, wait_s=0.0) in (
            _Verdict.MOVED, _Verdict.UNCLEAR)

    def clean_up(
            self, entry: journal_module.Entry,
            attachments: Callable[[], ports.Attachments]) -> None:
        """Finish a migration that was killed, whichever way it went."""
        self._finish(entry, attachments, with_files=True)

    def give_up(
            self, entry: journal_module.Entry,
            attachments: Callable[[], ports.Attachments]) -> None:
        """Finish it for a guest whose files may have come back."""
        self._finish(entry, attachments, given_up=True,
                     with_files=entry.note.phase == _MOVED)

    def _finish(
            self, entry: journal_module.Entry,
            attachments: Callable[[], ports.Attachments], *,
            with_files: bool, given_up: bool = False) -> None:
        note = entry.note
        is_gone = note.phase.startswith(_GONE)
        if not (is_gone or note.phase == _MOVED or (
                note.phase == _MIGRATING and self._end_killed(
                    note, given_up=given_up))):
            return
        if self.elsewhere.is_back(note):
            LOG.info('The guest is back from %s', note.values['uri'],
                     instance={'uuid': note.uuid})
            return
        if not is_gone:
            with clean_ups_module.kept_open(entry, _UNCLEAR_S):
                self._leave(
                    entry, attached_module.of_here(attachments()),
                    with_files=with_files and not (
                        self.elsewhere.has_come(note)))
        if self._keep(entry):
            raise clean_ups_module.NotYetError(
                'its service has the guest here, and it is not')

    def _end_killed(
            self, note: journal_module.Note, *, given_up: bool) -> bool:
        """End a migration whose process was killed; say whether it moved.

        :raises MigrationUnclear: it was not seen where the guest is
        """
        guest = self.domains.guests.find_or_none(note)
        uri = str(note.values['uri'])
        if guest is not None:
            self.post_copy.end_left(guest, note.values)
        found = self._found(note)
        if found is _Verdict.STAYED:
            if guest is not None and not note.values.get('was_paused'):
                _run_on(guest)
        elif found is _Verdict.LOST and (
                given_up or note.values['is_shared']):
            if guest is not None and steering_module.is_broken(guest):
                # It waits for its QEMU there, and nothing else ends that.
                guest.destroy()
            LOG.error('The memory of the guest is lost: it runs neither '
                      'here nor on %s. It is stopped, and its disks are '
                      'here%s: let its service start it', uri,
                      '' if note.values['is_shared'] else
                      ', as it has left them', instance={'uuid': note.uuid})
        elif found is not _Verdict.MOVED:
            # Nothing else may begin on it meanwhile.
            raise exception.MigrationUnclear(
                instance=note.uuid, destination=uri,
                reason='the end of its migration was not seen' if (
                    found is not _Verdict.LOST) else
                'neither host has it, and only its disks there are those '
                'of its last moment',
                hint='see with virsh on both hosts where the guest runs. '
                'Once it is certain that it runs nowhere: nova-libvirt '
                f'operations clean --force {note.id}')
        else:
            LOG.warning('The guest went to %s: its migration was complete '
                        'when this service was killed', uri,
                        instance={'uuid': note.uuid})
            self.elsewhere.remove_here(note)
            return True
        return False

    def _keep(self, entry: journal_module.Entry) -> bool:
        """Have nothing done to a guest that has gone, as long as need be.

        :returns: whether that is so
        """
        note, uri = entry.note, str(entry.note.values['uri'])
        if not self.elsewhere.is_missed(note):
            self.elsewhere.tell_rest(note)
            return False
        is_known = note.phase.startswith(_GONE)
        if not (is_known and note.is_open):
            entry.leave_open(
                f'{_GONE}{uri}', _FOREVER_S, hint='it must not be started '
                'here: let its service know the host on which it runs (under '
                'Nova, host and node of the instance in its database), or, '
                'once it is certain that it runs nowhere, remove the entry: '
                f'nova-libvirt operations clean --force {note.id}')
        if not is_known:
            LOG.info('The guest is on %s; nothing is done to it here until '
                     'the record of its service says so', uri,
                     instance={'uuid': note.uuid})
        return True

    def _checked(self, guest: handle.Guest) -> reach.GuestState:
        """Return the state of a guest that may go."""
        instance = instance_spec.InstanceRef(guest.uuid, guest.name)
        state = guest.state()
        if state.power not in (
                instance_spec.PowerState.RUNNING, _PAUSED):
            raise exception.WrongState(
                tried='live-migrate it', instance=guest.uuid,
                state='suspended' if guest.has_saved()
                else state.power.name.lower())
        if self.rebuild.is_rescued(instance):
            raise exception.WrongState(
                tried='live-migrate it', instance=guest.uuid,
                state='rescued', hint='unrescue it first')
        job = self.domains.guests.migration(instance)
        if job.job() is not migration.Job.NONE:
            raise exception.WrongState(
                tried='live-migrate it', instance=guest.uuid,
                state='busy with another job', hint='wait for its end')
        bound = relocation.bound_to_host(
            domain_model.Domain.parse(guest.xml()))
        if bound:
            raise exception.WrongState(
                tried='live-migrate it', instance=guest.uuid, state=bound,
                hint='migrate the instance while it is stopped')
        return state

    def _run(
            self, guest: handle.Guest, request: migration.Request,
            report: steering_module.Report,
            progress: exclusive_module.Watched) -> steering_module.Ended:
        """Migrate; what is asked to end it only ends the job."""
        job = self.domains.guests.migration(guest)
        with guest.expecting(
                event_spec.JobCompletedEvent,
                event_spec.MigrationIterationEvent) as news:
            steering = steering_module.Steering(
                guest, job, request.ways, _reporter(report, progress),
                news.clock)
            self.running[guest.uuid] = steering
            ended = steering_module.Ended(steering)
            try:
                run = job.start(request, lambda: news.take(
                    event_spec.JobCompletedEvent(
                        uuid=guest.uuid, name=guest.name, generation=0,
                        timestamp=time.time(), success=True, operation=0)))

                def settles(change: event_spec.GuestEvent | None) -> bool:
                    if run.ended:
                        return True
                    if isinstance(
                            change, event_spec.MigrationIterationEvent):
                        ended.guard(lambda: steering.iterated(
                            change.iteration))
                    return False

                while True:
                    try:
                        news.wait(settles, _FOREVER_S, lambda: _tick(
                            guest, steering, ended, progress))
                        break
                    except KeyboardInterrupt as interrupt:
                        ended.early(interrupt)
                    except steering_module.StuckError:
                        break
            finally:
                del self.running[guest.uuid]
        ended.returned, ended.failure = run.returned, run.error
        return ended

    def _settle(
            self, guest: handle.Guest, before: reach.GuestState,
            note: journal_module.Note, ended: steering_module.Ended, *,
            wait_s: float) -> None:
        """See where the guest is; return only when it has moved."""
        uri = str(note.values['uri'])
        found = self._found(
            note, ended.returned, wait_s=wait_s,
            held=bool(wait_s and ended.failure) and _hold(guest))
        if found is _Verdict.MOVED:
            if ended.failure is not None:
                LOG.warning('The guest has moved, though libvirt said: %s',
                            ended.failure, instance={'uuid': guest.uuid})
            try:
                self.elsewhere.remove_here(note)
            except exception.MigrationUnclear:
                raise
            except exception.DriverError as error:
                LOG.error('The guest has moved, but its domain is still '
                          'here, will retry: %s', error,
                          instance={'uuid': guest.uuid})
            return
        reason = str(ended.failure or 'libvirt did not say why')
        if found is _Verdict.STAYED:
            if before.power is not _PAUSED:
                _run_on(guest)
            self._keep_files(guest, uri)
            if ended.reason is not None:
                raise ended.reason
            kind = (exception.MigrationCancelled if ended.steering.aborted
                    else exception.MigrationFailed)
            raise kind(instance=guest.uuid, destination=uri, reason=reason
                       ) from ended.failure
        kind_unclear = (
            exception.MigrationBroken if steering_module.is_broken(guest)
            else exception.MigrationUnclear)
        raise kind_unclear(
            instance=guest.uuid, destination=uri, reason=reason
        ) from ended.failure

    def _keep_files(self, instance: instance_spec.Instance, uri: str) -> None:
        try:
            clean_ups_module.keep_files(self.storage.journal, instance)
        except exception.StorageFailure as error:
            raise exception.MigrationUnclear(
                instance=instance.uuid, destination=uri, reason=str(error)
            ) from error

    def _found(
            self, note: journal_module.Note, returned: bool | None = None, *,
            wait_s: float = 0.0,
            held: bool = False) -> verdict_module.Verdict:
        """Say where the guest is, or was until it was deleted there."""
        found = self._look(note, returned, wait_s=wait_s, held=held)
        return (_Verdict.MOVED if found is not _Verdict.MOVED
                and self.elsewhere.was_deleted(note) else found)

    def _look(
            self, note: journal_module.Note, returned: bool | None, *,
            wait_s: float, held: bool = False) -> verdict_module.Verdict:
        """Say where the guest is; waits until that can be seen."""
        begun_at = time.monotonic()
        while True:
            waited_s = time.monotonic() - begun_at
            found = self._seen(
                note, returned, held=held and waited_s < _HELD_S)
            if waited_s >= wait_s or (
                    found not in (_Verdict.UNCLEAR, _Verdict.LOST)):
                return found
            time.sleep(_LOOK_S)

    def _seen(
            self, note: journal_module.Note, returned: bool | None, *,
            held: bool) -> verdict_module.Verdict:
        try:
            guest = self.domains.guests.find_or_none(note)
            here = None if guest is None else guest.state()
        except exception.InstanceNotFound:
            here = None
        except exception.DriverError as error:
            LOG.debug('The guest cannot be looked at: %s', error,
                      instance={'uuid': note.uuid})
            return _Verdict.UNCLEAR
        there = elsewhere_module.state_there(self.domains.guests, note)
        found = verdict_module.decide(returned, here, there, held=held)
        LOG.debug('libvirt said %s; here %s, there %s: %s', returned, here,
                  there, found, instance={'uuid': note.uuid})
        if found is _Verdict.STAYED and isinstance(
                there, verdict_module.Unknown):
            # Libvirt lets it go on here also when only the last answer from
            # there is lost.
            LOG.warning('The guest runs on here, and %s cannot be asked '
                        'whether it runs there as well: see there with '
                        'virsh, and destroy it there if so',
                        note.values['uri'], instance={'uuid': note.uuid})
        return found

    def _remove_left(self, instance: instance_spec.Instance) -> None:
        """Remove what libvirt has left standing still of a guest.

        :raises WrongState: it is up here, and is not seen to be up where it
            went, or to have been deleted there; or it comes back
        """
        guests = self.domains.guests
        guest = guests.find_or_none(instance)
        if guest is None or not migration.is_up(guest.state()):
            return
        for note in self.storage.journal.notes(instance.uuid):
            if note.operation == self.OPERATION and (
                    self.storage.journal.is_ours(note)
                    and self._found(note) is _Verdict.MOVED
                    and self.post_copy.is_let_go(guest)):
                self.elsewhere.remove_here(instance)
                return
        raise exception.WrongState(
            tried='disconnect it from the host that it has left',
            instance=instance.uuid, state='here',
            hint='see with virsh on both hosts where the guest runs. "virsh '
            f'resume {instance.uuid}" on this host takes what is here for '
            f'the guest, "virsh destroy {instance.uuid}" for a copy that is '
            'left of it')

    def _leave(
            self, entry: journal_module.Entry,
            attachments: ports.Attachments, *, with_files: bool) -> None:
        """Remove what is here of a guest that is on another host."""
        note = entry.note
        self._remove_left(note)
        self.elsewhere.remove_here(note)
        attached_module.disconnect(attachments)
        if with_files and not note.values['is_shared']:
            self.storage.folders.of(note).remove()


def _reporter(
        report: steering_module.Report,
        progress: ports.Progress) -> steering_module.Report:
    def tell(figures: migration_spec.Figures) -> None:
        progress.advance(figures.total - figures.remaining, figures.total)
        report(figures)

    return tell


def _tick(
        guest: handle.Guest, steering: steering_module.Steering,
        ended: steering_module.Ended,
        progress: exclusive_module.Watched) -> None:
    ended.guard(steering.tick)
    if ended.reason is None:
        ended.guard(progress.give_way)
    elif steering_module.is_broken(guest):
        # Libvirt's call may wait for the other host for ever.
        raise steering_module.StuckError()
    else:
        ended.insist()


def _hold(guest: handle.Guest) -> bool:
    """Let a guest stand still that libvirt lets go on; say whether it does.

    It may run on the other host.
    """
    try:
        state = guest.state()
        if not migration.runs(state) or state.reason != migration.CANCELED:
            return False
        guest.pause()
    except exception.DriverError as error:
        LOG.warning('The guest cannot be held until it is seen whether it '
                    'runs on the other host: %s', error,
                    instance={'uuid': guest.uuid})
        return False
    return True


def _run_on(guest: handle.Guest) -> None:
    """Let a guest run that stands still for a migration that failed."""
    try:
        if guest.state().power is _PAUSED:
            guest.resume()
    except exception.DriverError as error:
        LOG.error('The guest stays paused after its migration has failed: '
                  '%s', error, instance={'uuid': guest.uuid})


def _not_migrating(
        tried: str, instance: instance_spec.Instance) -> exception.WrongState:
    return exception.WrongState(
        tried=tried, instance=instance.uuid, state='not being migrated',
        hint='see "nova-libvirt operations"')
