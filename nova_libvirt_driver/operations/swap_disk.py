# SPDX-License-Identifier: Apache-2.0

"""Moving a guest that runs from one volume to another."""

from collections.abc import Callable
from collections.abc import Iterator
import contextlib
import dataclasses

from oslo_log import log as logging

from nova_libvirt_driver.configurators import hot_plug
from nova_libvirt_driver import exception
from nova_libvirt_driver.guest import block
from nova_libvirt_driver.guest import devices as devices_module
from nova_libvirt_driver.guest import handle
from nova_libvirt_driver.operations.steps import attached
from nova_libvirt_driver.operations.steps import block_job
from nova_libvirt_driver.operations.steps import clean_ups
from nova_libvirt_driver.operations.steps import domains as domains_module
from nova_libvirt_driver.operations.steps import exclusive as exclusive_module
from nova_libvirt_driver.operations.steps import undo as undo_module
from nova_libvirt_driver.operations.steps import unplug as unplug_module
from nova_libvirt_driver import ports
from nova_libvirt_driver.spec import disk as disk_spec
from nova_libvirt_driver.spec import guest as guest_spec
from nova_libvirt_driver.spec import instance as instance_spec
from nova_libvirt_driver.storage import journal as journal_module
from nova_libvirt_driver.storage import spec_record
from nova_libvirt_driver.xmlmodel.devices import disk as disk_model
from nova_libvirt_driver.xmlmodel import domain as domain_model

LOG = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, slots=True)
class SwapDisk:
    """Moves guests from one volume to another, which they do not notice.

    Steps: note in the journal from where to where; connect the host to the
    new volume; copy the old one to it under the guest, with QEMU's own means;
    let the guest go on with the copy; disconnect the host from the old one.

    When a step fails, or the process is killed, the guest is asked which of
    the two it has by now, and the host is disconnected from the other one.
    What fails once the guest has the new one is no error, and is tried again.

    :param attachment: finds what one volume needs of the host, by its name;
        None where only another process knows it
    """

    OPERATION = 'swap'

    domains: domains_module.Domains
    specs: spec_record.SpecRecords
    exclusive: exclusive_module.Exclusive
    journal: journal_module.Journal
    attachment: ports.AttachmentOf | None

    def swap(
            self, spec: guest_spec.GuestSpec, key: disk_spec.DiskKey,
            wanted: disk_spec.DiskSpec, size_bytes: int,
            old: ports.Attachment, new: ports.Attachment,
            progress: ports.Progress) -> None:
        """Move a disk; see :meth:`base.ComputeDriver.swap_disk`."""
        with (self.exclusive.hold(
                spec, self.OPERATION, progress,
                wait_s=unplug_module.BUSY_S) as watched,
              undo_module.Undo(self.OPERATION, spec) as undo):
            watched.step('check')
            guest = self.domains.guests.find(spec)
            now = _disk_of(guest, key)
            swap = _Swap(guest, key, devices_module.source_of(now), [old],
                         [new])
            undo.begin(self.journal, source=swap.source,
                       **unplug_module.noted(key, (old, new)))
            undo.add('leave the guest with one of the two', swap.settle)
            target = self._prepared(guest, spec, now, wanted, new, watched)
            disk = guest.disk(now.target_dev or '')
            watched.step('copy')
            xml = target.element.to_xml()
            block_job.follow(
                guest, disk, lambda: disk.copy_to(xml), _is_ready, watched)
            watched.step('pivot')
            _pivot(swap, disk)
            # The caller must not take the guest's volume away any more.
            with _only_logged(spec):
                swap.settle()
                self.specs.note(spec, lambda known: known.without_device(
                    key).with_device(target.spec))
                if size_bytes:
                    disk.resize(size_bytes)
                undo.commit()
        LOG.info('%s swapped for %s', key, wanted.key,
                 instance={'uuid': spec.uuid})

    def clean_up(
            self, entry: journal_module.Entry,
            attachments: Callable[[], ports.Attachments]) -> None:
        """Leave a guest with one of the two, and the host with that one."""
        note, values = entry.note, entry.note.values
        old, new = (
            self._known(note, name, values['memos'].get(name))
            for name in values['attachments'])
        try:
            _Swap(self.domains.guests.find_or_none(note),
                  disk_spec.DiskKey(**values['disk']), values['source'],
                  old, new).settle()
        except exception.VolumeFailure as error:
            LOG.debug('The host is still connected to a volume: %s', error,
                      instance={'uuid': note.uuid})
            raise clean_ups.NotYetError(str(error)) from error

    def remove_outside(self, entry: journal_module.Entry) -> None:
        """Disconnect both, of a guest that has been removed here."""
        self.clean_up(entry, lambda: ())

    def _known(
            self, instance: instance_spec.Instance, name: str,
            memo: ports.Memo | None) -> ports.Attachments:
        found = self.attachment and self.attachment(instance, name, memo)
        return [found] if found else []

    def _prepared(
            self, guest: handle.Guest, spec: guest_spec.GuestSpec,
            now: disk_model.Disk, wanted: disk_spec.DiskSpec,
            new: ports.Attachment, progress: ports.Progress) -> hot_plug.Plug:
        progress.step(f'prepare {new.name}')
        spec = new.prepare(spec.with_device(wanted))
        found = spec.device(wanted.key)
        assert isinstance(found, disk_spec.DiskSpec)
        # Libvirt knows two places for it.
        if found.encryption is not None or '<encryption' in now.to_xml():
            raise exception.UnsupportedOperation(
                tried=f'copy {wanted.key}',
                reason='QEMU decrypts the volume, and copies no such')
        found = dataclasses.replace(
            found, target_dev=now.target_dev or '',
            bus=disk_spec.DiskBus(now.target_bus or found.bus))
        progress.step(f'connect {new.name}')
        with new.connect():
            pass
        return hot_plug.target(found, self.domains.inputs(
            spec.with_machine(domain_model.Domain.parse(
                guest.xml()).os.machine or '')))


@dataclasses.dataclass(frozen=True, slots=True)
class _Swap:
    """A guest that has one of two volumes.

    :param source: where the bytes of the old one are
    """

    guest: handle.Guest | None
    key: disk_spec.DiskKey
    source: str
    old: ports.Attachments
    new: ports.Attachments

    def settle(self) -> None:
        """End the copying, and disconnect the volume that is not in use.

        :raises GuestUnresponsive: that cannot be seen
        """
        if self.guest is None:
            attached.disconnect([*self.old, *self.new])
            return
        live = self.guest.device(self.key).live()
        if isinstance(live, disk_model.Disk):
            self.guest.disk(live.target_dev or '').abort()
        # Not reverted: the new one has the serial number of the old one, and
        # so would count as connected before.
        attached.disconnect(self.old if self.has_new() else self.new)

    def has_new(self) -> bool:
        """Say whether the guest has the new one by now."""
        assert self.guest is not None
        device = self.guest.device(self.key)
        found = device.live() or device.defined()
        return isinstance(found, disk_model.Disk) and (
            devices_module.source_of(found) != self.source)


def _disk_of(
        guest: handle.Guest, key: disk_spec.DiskKey) -> disk_model.Disk:
    found = guest.device(key).live()
    if not isinstance(found, disk_model.Disk):
        state = ('without it' if guest.device(key).defined() is None
                 else 'stopped: start it')
        raise exception.WrongState(
            tried=f'swap {key}', instance=guest.uuid, state=state)
    return found


def _is_ready(job: block.BlockJob | None) -> bool:
    """Say whether a copy follows its disk."""
    if job is None:
        raise exception.StorageFailure(
            reason='the copying ended before its time', path='')
    return job.ready


def _pivot(swap: _Swap, disk: block.Disk) -> None:
    try:
        disk.pivot()
    except exception.DriverError:
        # A reply may have been lost.
        if not swap.has_new():
            raise


@contextlib.contextmanager
def _only_logged(instance: instance_spec.Instance) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        LOG.warning('The guest has the other volume; what is left to do will '
                    'be tried again: %s', error,
                    instance={'uuid': instance.uuid})
