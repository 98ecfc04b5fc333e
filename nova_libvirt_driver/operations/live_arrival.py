# SPDX-License-Identifier: Apache-2.0

"""Getting a host ready for a guest that comes while it runs.

Whether it has come is decided by the host that it leaves; as long as that has
said nothing, what was prepared stays, and a domain that runs is never
touched.
"""

from collections.abc import Callable
from collections.abc import Sequence
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
from nova_libvirt_driver.operations.steps import exclusive as exclusive_module
from nova_libvirt_driver.operations.steps import undo as undo_module
from nova_libvirt_driver import ports
from nova_libvirt_driver.spec import guest as guest_spec
from nova_libvirt_driver.spec import instance as instance_spec
from nova_libvirt_driver.spec import live_migration as migration_spec
from nova_libvirt_driver.storage import journal as journal_module
from nova_libvirt_driver.storage import storage as storage_module
from nova_libvirt_driver.xmlmodel import domain as domain_model

LOG = logging.getLogger(__name__)

_PREPARED_S = 900.0
"""How long the guest may take to begin to come."""
_ARRIVAL_S = 60.0
_LOST_S = 10.0
"""For how long libvirt may call a guest broken whose memory is all here."""
_LOOK_S = 1.0

_PREPARED, _COMING = 'prepared', 'the guest comes'
_UNKNOWN_HINT = (
    'its service does not know the instance; once it is certain that it was '
    'deleted, remove what comes: virsh destroy')


@dataclasses.dataclass(frozen=True, slots=True)
class LiveArrival:
    """Prepares this host for guests that come, and finishes or undoes that.

    Steps of the preparation: make the folder and the disks, unless they are
    shared with the other host; prepare and connect the attachments; choose
    ports for serial consoles; leave it open. When a step fails, all is
    undone.

    What is neither finished nor undone is decided by the domain: one that does
    not come any more has arrived. Without one it is undone after a quarter of
    an hour.
    """

    OPERATION = 'receive'

    domains: domains_module.Domains
    storage: storage_module.Storage
    exclusive: exclusive_module.Exclusive
    clean_ups: clean_ups_module.CleanUps
    home: ports.HomeOf
    reserved: dict[str, contextlib.ExitStack] = dataclasses.field(
        default_factory=dict)
    """Ports of serial consoles of guests that are to come, by uuid."""

    def prepare(
            self, spec: guest_spec.GuestSpec, images: ports.ImageSource,
            attachments: ports.Attachments, *,
            disks: Sequence[migration_spec.MovedDisk] | None,
            progress: ports.Progress) -> guest_spec.GuestSpec:
        """Make ready for a guest; see the contract's verb."""
        with (self.exclusive.hold(
                spec, self.OPERATION, progress, given_up=True) as watched,
              undo_module.Undo(self.OPERATION, spec) as undo):
            watched.step('check')
            if self.domains.guests.find_or_none(spec) is not None:
                raise exception.InstanceExists(
                    instance=spec.name, host=self.storage.policy.host)
            entry = undo.begin(
                self.storage.journal, made=disks is not None,
                attachments=[one.name for one in attachments])
            if disks is not None:
                self._make_files(spec, disks, images, watched, undo)
            attached = attached_module.Attached(attachments, watched, undo)
            spec = attached.prepare(spec)
            attached.connect()
            watched.step('ports')
            spec = self._reserve(spec, undo)
            watched.step('leave open')
            undo.hand_over(entry, _PREPARED, _PREPARED_S)
        return spec

    def finish(
            self, spec: guest_spec.GuestSpec,
            progress: ports.Progress) -> None:
        """Take a guest as one of this host; see the contract's verb."""
        with self.exclusive.hold(
                spec, self.OPERATION, progress,
                continuing=self.OPERATION) as watched:
            watched.step('arrive')
            guest = self._arrived(spec)
            watched.step('define')
            self._make_lasting(guest)
            watched.step('record')
            self.storage.files.describe(spec, watched)
            self._end_open(spec)
            watched.step('end')
        LOG.info('Instance %s arrived while it runs', spec.name,
                 instance={'uuid': spec.uuid})

    def undo(
            self, instance: instance_spec.Instance,
            attachments: ports.Attachments,
            progress: ports.Progress) -> None:
        """Remove what was prepared; see the contract's verb."""
        with self.exclusive.hold(
                instance, self.OPERATION, progress,
                continuing=self.OPERATION) as watched:
            watched.step('remove')
            try:
                with self.storage.journal.picked_up(
                        instance.uuid, self.OPERATION) as entry:
                    self._undo(instance, attachments,
                               made=bool(entry.note.values['made']))
                    entry.end()
            except exception.WrongState:
                if self._is_open(instance):
                    raise
                # Undone before, or prepared by another driver. A domain
                # is that of a guest that was here before, then.
                self._undo(instance, attachments, made=False, is_open=False)

    def is_decided(self, entry: journal_module.Entry) -> bool:
        """Say whether the guest is here, and does not come any more."""
        guest = self.domains.guests.find_or_none(entry.note)
        if guest is None:
            return False
        if self._is_coming(guest):
            return self.home(entry.note) is ports.Home.DELETED
        return migration.runs(guest.state())

    def clean_up(
            self, entry: journal_module.Entry,
            attachments: Callable[[], ports.Attachments]) -> None:
        """Finish or undo what was left open."""
        note = entry.note
        guest = self.domains.guests.find_or_none(note)
        if guest is not None:
            # There was none, and libvirt keeps only one that has come: it
            # may have been stopped since.
            if not self._is_coming(guest):
                self._make_lasting(guest)
                self._release(note)
                return
            home = self.home(note)
            if home is not ports.Home.DELETED:
                with contextlib.suppress(exception.StorageFailure):
                    # A migration may take hours.
                    entry.leave_open(_COMING, _PREPARED_S, **(
                        {'hint': f'{_UNKNOWN_HINT} {note.uuid}'}
                        if home is ports.Home.UNKNOWN else {}))
                raise clean_ups_module.NotYetError(_COMING)
            LOG.warning('The instance was deleted while its guest came, and '
                        'is removed here', instance={'uuid': note.uuid})
            self.domains.guests.remove(note)
        self._undo(note, attachments(), made=bool(note.values['made']))

    def _make_files(
            self, spec: guest_spec.GuestSpec,
            disks: Sequence[migration_spec.MovedDisk],
            images: ports.ImageSource, progress: ports.Progress,
            undo: undo_module.Undo) -> None:
        folder = self.storage.folders.of(spec)
        if folder.exists():
            raise exception.StorageFailure(
                reason=f'{folder.path} is there, and is not shared with the '
                'host from which the instance is to come: look what it is, '
                'and remove it', path=folder.path)
        progress.step('folder')
        undo.add('remove the folder', folder.remove)
        self.storage.folders.make(spec)
        self.storage.files.receive(spec, disks, images, progress)

    def _reserve(
            self, spec: guest_spec.GuestSpec,
            undo: undo_module.Undo) -> guest_spec.GuestSpec:
        with contextlib.ExitStack() as stack:
            reservation = stack.enter_context(
                self.domains.ports.reservation())
            spec = reservation.filled(spec)
            self._release(spec)
            self.reserved[spec.uuid] = stack.pop_all()
            undo.add('give back the ports', lambda: self._release(spec))
        return spec

    def _release(self, instance: instance_spec.Instance) -> None:
        self.reserved.pop(instance.uuid, contextlib.ExitStack()).close()

    def _arrived(self, instance: instance_spec.Instance) -> handle.Guest:
        """Return the guest once all of it is here."""
        guest = self.domains.guests.find(instance)
        begun_at = whole_at = time.monotonic()
        while self._is_coming(guest):
            now = time.monotonic()
            if guest.state().reason != migration.BROKEN:
                whole_at = now
            elif now >= whole_at + _LOST_S:
                # The host that it has left has said that it is here.
                LOG.error('The memory of the guest is lost: its QEMU on the '
                          'host that it has left is dead. It is stopped, and '
                          'its disks are here: start it',
                          instance={'uuid': guest.uuid})
                guest.destroy()
                break
            if now >= begun_at + _ARRIVAL_S:
                raise exception.WaitTimeout(
                    awaited='the end of the migration', timeout_s=_ARRIVAL_S)
            time.sleep(_LOOK_S)
        return guest

    def _is_coming(self, guest: handle.Guest) -> bool:
        return migration.is_up(guest.state()) and (
            self.domains.guests.migration(guest).job() is migration.Job.IN)

    def _make_lasting(self, guest: handle.Guest) -> None:
        """See that the guest is the same at its next start.

        The host that it has left, or another driver there, may have said
        nothing of that.
        """
        live = domain_model.Domain.parse(guest.xml())
        lasting = domain_model.Domain.parse(guest.xml(inactive=True))
        before = lasting.canonical()
        _take_places(lasting, live)
        if lasting.canonical() != before:
            LOG.warning('The definition of the guest was that of another '
                        'host, and is mended',
                        instance={'uuid': guest.uuid})
            self.domains.guests.define(lasting.to_xml(), guest)

    def _undo(
            self, instance: instance_spec.Instance,
            attachments: ports.Attachments, *, made: bool,
            is_open: bool = True) -> None:
        guest = self.domains.guests.find_or_none(instance)
        if guest is not None and (
                not is_open or _has_begun_to_run(guest.state())):
            raise exception.WrongState(
                tried='remove what was prepared for it',
                instance=instance.uuid, state='here',
                hint='see with virsh where the guest runs')
        self.domains.guests.remove(instance, keep_state=not made)
        self._release(instance)
        attached_module.disconnect(attachments)
        if made:
            self.storage.folders.of(instance).remove()

    def _is_open(self, instance: instance_spec.Instance) -> bool:
        return any(note.uuid == instance.uuid and self.storage.journal.is_ours(
            note) and note.operation == self.OPERATION
            for note in self.storage.journal.notes())

    def _end_open(self, instance: instance_spec.Instance) -> None:
        with self.clean_ups.left(instance) as entries:
            for entry in entries:
                if entry.note.operation == self.OPERATION:
                    entry.end()
        self._release(instance)


def _has_begun_to_run(state: reach.GuestState) -> bool:
    """Say whether a guest runs, or has run before all of it was here."""
    return migration.runs(state) or state.reason in migration.POST_COPY


def _take_places(
        lasting: domain_model.Domain, live: domain_model.Domain) -> None:
    """Let a definition name what the running guest has of this host."""
    disks = {disk.target_dev: disk for disk in live.devices.disks}
    for disk in lasting.devices.disks:
        found = disks.get(disk.target_dev)
        if found is not None and _source(found) != _source(disk):
            disk.take_source(found)
    nics = {(nic.mac, nic.alias): nic for nic in live.devices.interfaces}
    for nic in lasting.devices.interfaces:
        there = nics.get((nic.mac, nic.alias))
        if there is not None and (
                nic.type, nic.source_bridge, nic.source_path) != (
                there.type, there.source_bridge, there.source_path):
            nic.take_place(there)


def _source(disk: object) -> tuple[object, ...]:
    return tuple(getattr(disk, name) for name in (
        'type', 'source_file', 'source_dev', 'source_protocol',
        'source_name'))
