# SPDX-License-Identifier: Apache-2.0

"""Making a guest."""

from collections.abc import Callable
import dataclasses
import socket

from oslo_log import log as logging

from nova_libvirt_driver import exception
from nova_libvirt_driver.operations.steps import attached as attached_module
from nova_libvirt_driver.operations.steps import domains as domains_module
from nova_libvirt_driver.operations.steps import elsewhere
from nova_libvirt_driver.operations.steps import exclusive as exclusive_module
from nova_libvirt_driver.operations.steps import serial_ports
from nova_libvirt_driver.operations.steps import undo as undo_module
from nova_libvirt_driver import ports
from nova_libvirt_driver.spec import guest as guest_spec
from nova_libvirt_driver.storage import folder as folder_module
from nova_libvirt_driver.storage import instance_files
from nova_libvirt_driver.storage import journal as journal_module

LOG = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, slots=True)
class Spawn:
    """Makes a guest, or leaves nothing of it behind.

    Steps: check that name and uuid are free; note in the journal what is
    about to be made; make the folder; get the image into the cache; make
    the disks and the kernel; prepare the attachments; define the domain; make
    the config drive; record the spec; connect it and start it; let it run.

    When a step fails, the domain is removed and disconnected, and the folder
    is removed. When the process is killed, the next one that looks into the
    journal does that.
    What was in the cache stays there.
    """

    OPERATION = 'spawn'

    domains: domains_module.Domains
    folders: folder_module.Folders
    files: instance_files.InstanceFiles
    exclusive: exclusive_module.Exclusive
    journal: journal_module.Journal
    host: str

    def spawn(
            self, spec: guest_spec.GuestSpec, images: ports.ImageSource,
            attachments: ports.Attachments, *, power_on: bool,
            progress: ports.Progress,
            config_drive: ports.DriveOf | None = None) -> None:
        """Make a guest; see :meth:`base.ComputeDriver.spawn`."""
        self.folders.prepare()
        with (self.exclusive.hold(spec, self.OPERATION, progress,
                                  given_up=True) as watched,
              self.domains.ports.reservation() as reservation,
              undo_module.Undo(self.OPERATION, spec) as undo):
            watched.step('check')
            spec = self._settled(spec)
            # What makes no domain is refused before anything is created, and
            # before libvirt is asked for a name that may be no text.
            xml = self._build(spec, reservation)
            self._refuse_existing(spec)
            _refuse_taken(spec)
            entry = undo.begin(
                self.journal, has_folder=False,
                attachments=[one.name for one in attachments])
            # Own entry first: it makes NFS look into the folder again.
            elsewhere.supersede(self.journal, self.domains.guests, spec)
            try:
                watched.step('folder')
                folder = self.folders.make(spec)
            except BaseException:
                # Another host was faster.
                self.journal.give_back(spec.uuid)
                raise
            undo.add('remove the folder', folder.remove)
            entry.advance('folder made', has_folder=True)
            self.files.make(spec, images, watched)
            attached = attached_module.Attached(attachments, watched, undo)
            completed = self._settled(attached.prepare(spec))
            if completed != spec:
                spec, xml = completed, self._build(completed, reservation)
            watched.step('define')
            # Before it is defined: a reply that is lost leaves a domain.
            undo.add('remove the domain',
                     lambda: self.domains.guests.remove(spec))
            guest = self.domains.guests.define(xml, spec)
            if config_drive is not None:
                # Only libvirt knows the addresses that are in it.
                spec = dataclasses.replace(
                    spec, config_drive=config_drive(guest.xml()))
            self.files.describe(spec, watched)
            if power_on:
                attached.start(guest, spec)
            watched.step('finish')
            undo.commit()
            LOG.info('Instance %s created', spec.name,
                     instance={'uuid': spec.uuid})

    def clean_up(
            self, entry: journal_module.Entry,
            attachments: Callable[[], ports.Attachments]) -> None:
        """Remove what there is of a guest whose spawn was interrupted."""
        instance = entry.note
        self.domains.guests.remove(instance)
        attached_module.disconnect(attachments())
        if entry.superseded_by() is None:
            folder = self.folders.of(instance)
            if entry.note.values.get('has_folder', True):
                folder.remove()
            else:
                # It may be that of a host that was faster.
                folder.remove_empty()

    def xml(self, spec: guest_spec.GuestSpec) -> str:
        """Return the XML that :meth:`spawn` would define."""
        with self.domains.ports.reservation() as reservation:
            return self._build(self._settled(spec), reservation)

    def _settled(self, spec: guest_spec.GuestSpec) -> guest_spec.GuestSpec:
        return self.domains.settle(self.files.settle(spec))

    def _build(
            self, spec: guest_spec.GuestSpec,
            reservation: serial_ports.Reservation) -> str:
        return self.domains.build(
            spec, self.domains.plan_new(spec), reservation).to_xml()

    def _refuse_existing(self, spec: guest_spec.GuestSpec) -> None:
        guests = self.domains.guests
        if guests.find_or_none(spec) is not None:
            raise exception.InstanceExists(
                instance=spec.uuid, host=self.host,
                which=', as a domain of that uuid')
        folder = self.folders.of(spec)
        if folder.exists():
            raise exception.InstanceExists(
                instance=spec.uuid, host=self.host,
                which=f': its folder {folder.path} is there, but no domain',
                hint=self._hint(spec.uuid, folder.path))
        if guests.name_owner(spec.name) is not None:
            raise exception.InstanceExists(
                instance=spec.name, host=self.host)

    def _hint(self, uuid: str, path: str) -> str:
        for note in self.journal.foreign(uuid):
            owner = note.owner or 'an unknown host'
            return (f'a {note.operation} was interrupted on {owner}, and the '
                    'guest may be running there: start the service there')
        return ('an earlier attempt, or a host that was down, has left it: '
                f'see whether any file in {path} is needed still, and remove '
                'it')


def _refuse_taken(spec: guest_spec.GuestSpec) -> None:
    """Refuse to forward a port of the host that something else has."""
    for nic in spec.nics:
        for one in nic.forwards:
            kind = (socket.SOCK_STREAM if one.protocol == 'tcp'
                    else socket.SOCK_DGRAM)
            if not serial_ports.is_free(one.address, one.host_port, kind):
                raise exception.InvalidRequest(
                    reason=f'{one.protocol} port {one.host_port} of '
                    f'{one.address} cannot be forwarded: something on this '
                    'host has it, or this user may not; choose another one')
