# SPDX-License-Identifier: Apache-2.0

"""Stopping a guest on one host and starting it on another, or another size.

The files of the guest are set aside on the source until the migration is
confirmed or reverted, and what goes to the destination are copies.
"""

from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Set
import contextlib
import dataclasses
import functools
import os

from oslo_log import log as logging

from nova_libvirt_driver.events import router as router_module
from nova_libvirt_driver import exception
from nova_libvirt_driver.guest import guests as guests_module
from nova_libvirt_driver.guest import handle
from nova_libvirt_driver.guest import reach
from nova_libvirt_driver.operations.steps import attached as attached_module
from nova_libvirt_driver.operations.steps import domains as domains_module
from nova_libvirt_driver.operations.steps import elsewhere
from nova_libvirt_driver.operations.steps import exclusive as exclusive_module
from nova_libvirt_driver.operations.steps import rebuild as rebuild_module
from nova_libvirt_driver.operations.steps import shutdown
from nova_libvirt_driver.operations.steps import undo as undo_module
from nova_libvirt_driver import ports
from nova_libvirt_driver.privileged import client
from nova_libvirt_driver.spec import disk as disk_spec
from nova_libvirt_driver.spec import guest as guest_spec
from nova_libvirt_driver.spec import instance as instance_spec
from nova_libvirt_driver.spec import policy as policy_spec
from nova_libvirt_driver.storage import instance_files
from nova_libvirt_driver.storage import journal as journal_module
from nova_libvirt_driver.storage import storage as storage_module
from nova_libvirt_driver.storage import usage

LOG = logging.getLogger(__name__)

_QCOW2 = policy_spec.ImageBackend.QCOW2
_RUNNING = instance_spec.PowerState.RUNNING


@dataclasses.dataclass(frozen=True, slots=True)
class Departure:
    """Lets guests go, and forgets them.

    Steps: make a folder on the other host; stop the guest; disconnect it; set
    its files aside, and with them what libvirt keeps elsewhere if it is to go
    to another host; copy them; undefine the domain, unless it stays. When a
    step fails, or the process is killed, the files are put back and the domain
    is defined; the guest stays stopped.
    """

    OPERATION = 'migrate'

    guests: guests_module.Guests
    storage: storage_module.Storage
    rebuild: rebuild_module.Rebuild
    exclusive: exclusive_module.Exclusive

    def depart(
            self, instance: instance_spec.Instance,
            carrier: ports.Carrier | None, attachments: ports.Attachments, *,
            images: ports.ImageSource, image_id: str, timeout_s: float,
            retry_interval_s: float,
            progress: ports.Progress) -> list[disk_spec.DiskUse]:
        """Stop a guest and copy its files; see the contract's verb."""
        folder = self.storage.folders.of(instance)
        with (self.exclusive.hold(
                instance, self.OPERATION, progress, stopping=True) as watched,
              undo_module.Undo(self.OPERATION, instance) as undo):
            watched.step('check')
            guest = self.guests.find(instance)
            xml, seen = self._checked(guest, instance), guest.xml()
            found = usage.disks(folder.path)
            entry = undo.begin(self.storage.journal, attachments=[
                one.name for one in attachments])
            # Of an earlier migration: must not be taken for those of now.
            self.storage.folders.kept(instance).remove()
            is_shared, copy, flat = True, self.storage.disks.copy, set[str]()
            if carrier is not None:
                watched.step('reach the other host')
                is_shared = carrier.open(folder.path)
                if not is_shared:
                    undo.add('remove the folder on the other host',
                             lambda: carrier.remove(folder.path))
                    copy, flat = carrier.copy, self.storage.files.rooted(
                        instance, _known(images, image_id))
            watched.step('stop')
            if timeout_s > 0:
                shutdown.run(guest, timeout_s, retry_interval_s, watched)
            guest.destroy()
            watched.step('disconnect')
            attached_module.disconnect(attachments)
            watched.step('set aside')
            entry.advance('files set aside', aside=True)
            undo.add('put the files back', lambda: self._put_back(instance))
            self.storage.files.set_aside(instance, xml)
            if carrier is not None:
                watched.step('collect')
                carrier.collect(
                    seen, self.storage.folders.kept(instance).path)
            if is_shared:
                self.storage.folders.make(instance)
            self._copy(instance, copy, flat, watched)
            if carrier is not None:
                watched.step('undefine')
                guest.undefine(keep_state=True)
            undo.commit()
        LOG.info('Instance %s is ready to start elsewhere', guest.name,
                 instance={'uuid': instance.uuid})
        return found

    def confirm(
            self, instance: instance_spec.Instance, *, is_here: bool) -> None:
        """Forget what was set aside; see the contract's verb."""
        with (self.exclusive.hold(instance, self.OPERATION),
              undo_module.Undo(self.OPERATION, instance) as undo):
            undo.begin(self.storage.journal, confirmed=True, is_here=is_here)
            self._forget(instance, is_here=is_here)
            undo.commit()

    def clean_up(
            self, entry: journal_module.Entry,
            attachments: Callable[[], ports.Attachments]) -> None:
        """Put the files back, or finish to forget them."""
        note = entry.note
        if note.values.get('confirmed'):
            self._forget(note, is_here=bool(note.values['is_here']))
            return
        if note.values.get('aside'):
            self._put_back(note)
        _disconnect_stopped(self.guests, note, attachments)

    def _checked(
            self, guest: handle.Guest,
            instance: instance_spec.Instance) -> str:
        """Return the XML of a guest that may go."""
        state = ('rescued: unrescue it first'
                 if self.rebuild.is_rescued(instance)
                 else 'suspended: resume it first' if guest.has_saved()
                 else '')
        if state:
            raise exception.WrongState(
                tried='migrate it', instance=instance.uuid, state=state)
        return guest.xml(inactive=True)

    def _copy(
            self, instance: instance_spec.Instance,
            copy: Callable[[str, str, Callable[[], None]], None],
            flat: Set[str], progress: ports.Progress) -> None:
        """Copy the kept files.

        :param flat: paths of disks that go with what they are based on
        """
        source, target = (self.storage.folders.kept(instance),
                          self.storage.folders.of(instance))
        names = self.storage.files.travelling(instance)
        progress.step('copy')
        for number, name in enumerate(names):
            watch = functools.partial(progress.advance, number, len(names))
            watch()
            path, there = (os.path.join(folder.path, name)
                           for folder in (source, target))
            if there in flat:
                whole = path + instance_files.FLAT
                self.storage.qemu_img.flatten(
                    path, _QCOW2, whole, _QCOW2, progress=progress)
                copy(whole, there, watch)
                os.unlink(whole)
            else:
                client.ensure_readable(path)
                copy(path, there, watch)

    def _put_back(self, instance: instance_spec.Instance) -> None:
        _restore(self.storage.files, self.guests, instance)

    def _forget(
            self, instance: instance_spec.Instance, *, is_here: bool) -> None:
        if not is_here:
            # One that another driver, or a former version, has let go.
            guest = self.guests.find_or_none(instance)
            if guest is not None and guest.state().power in reach.UP:
                raise exception.WrongState(
                    tried='confirm its migration', instance=instance.uuid,
                    state='running on the host that it has left')
            self.guests.remove(instance)
        self.storage.folders.kept(instance).remove()


@dataclasses.dataclass(frozen=True, slots=True)
class Arrival:
    """Starts guests from files that have come, or have come back.

    Steps: let the files of before be those of the instance, when it comes
    back; fetch what its disks are based on and make them larger; prepare the
    attachments; define the domain; make the config drive unless it has come;
    connect it and start it. When a step fails, the domain goes, or is defined
    as it was, and the guest is disconnected; the files stay.
    """

    OPERATION = 'finish migration'

    domains: domains_module.Domains
    storage: storage_module.Storage
    rebuild: rebuild_module.Rebuild
    exclusive: exclusive_module.Exclusive
    restarts: router_module.Restarts

    def arrive(
            self, spec: guest_spec.GuestSpec, images: ports.ImageSource,
            attachments: ports.Attachments, *, formats: Mapping[str, str],
            power_on: bool, config_drive: ports.DriveOf | None,
            progress: ports.Progress) -> None:
        """Start a guest whose files have come; see the contract's verb."""
        with self._starting(spec, attachments, progress) as attached:
            guest = self.domains.guests.find_or_none(spec)
            if guest is not None and guest.state().power in reach.UP:
                raise exception.WrongState(
                    tried='start it from files that have come',
                    instance=spec.uuid, state='up on this host')
            attached.progress.step('files')
            self.storage.files.fit(
                spec, images, formats, attached.progress)
            self._define(spec, attached, power_on=power_on,
                         config_drive=config_drive)
        LOG.info('Instance %s arrived', spec.name,
                 instance={'uuid': spec.uuid})

    def revert(
            self, described: guest_spec.Described,
            images: ports.ImageSource, attachments: ports.Attachments, *,
            power_on: bool, progress: ports.Progress) -> None:
        """Start a guest as it was; see the contract's verb."""
        with self._starting(described, attachments, progress,
                            reverted=True) as attached:
            guests = self.domains.guests
            guest = guests.find_or_none(described)
            if guest is not None and guest.state().power is _RUNNING:
                return
            attached.progress.step('put back')
            _restore(self.storage.files, guests, described)
            spec = self.storage.specs.current(described)
            self.storage.files.complete(spec, images, attached.progress)
            self._define(spec, attached, power_on=power_on)
        LOG.info('Migration of instance %s reverted', spec.name,
                 instance={'uuid': spec.uuid})

    def clean_up(
            self, entry: journal_module.Entry,
            attachments: Callable[[], ports.Attachments]) -> None:
        """Disconnect a guest that was not started; its files stay."""
        note, guests = entry.note, self.domains.guests
        if note.values.get('reverted'):
            _restore(self.storage.files, guests, note)
        _disconnect_stopped(guests, note, attachments)

    @contextlib.contextmanager
    def _starting(
            self, described: guest_spec.Described,
            attachments: ports.Attachments, progress: ports.Progress,
            **values: object) -> Iterator[attached_module.Attached]:
        with (self.exclusive.hold(
                described, self.OPERATION, progress,
                given_up=True) as watched,
              self.restarts.during(described.uuid),
              attached_module.starting(
                  self.OPERATION, described, attachments,
                  watched) as attached):
            attached.undo.begin(self.storage.journal, attachments=[
                one.name for one in attachments], **values)
            # On shared storage: the host that it has left is done with it.
            elsewhere.supersede(
                self.storage.journal, self.domains.guests, described)
            yield attached

    def _define(
            self, spec: guest_spec.GuestSpec,
            attached: attached_module.Attached, *, power_on: bool,
            config_drive: ports.DriveOf | None = None) -> None:
        guests = self.domains.guests
        spec = attached.prepare(spec)
        guest = guests.find_or_none(spec)
        with self.domains.ports.reservation() as reservation:
            xml = self.rebuild.xml(
                spec, guest, self.domains.plan, reservation)
            if guest is None:
                attached.undo.add(
                    'remove the domain',
                    lambda: guests.remove(spec, keep_state=True))
            else:
                before = guest.xml(inactive=True)
                guest.destroy()
                attached.undo.add('define the domain as it was',
                                  lambda: guests.define(before, spec))
            attached.progress.step('define')
            guest = guests.define(xml, spec)
            drive = self.storage.folders.of(spec).config_drive
            if config_drive is not None and not os.path.exists(drive):
                spec = dataclasses.replace(
                    spec, config_drive=config_drive(guest.xml()))
            self.storage.files.describe(spec, attached.progress)
            if power_on:
                attached.start(guest, spec, drop_saved=True)


def _known(images: ports.ImageSource, image_id: str) -> str:
    """Return the id of an image that any host can fetch; empty for none."""
    with contextlib.suppress(exception.ImageNotFound):
        return images.show(image_id).id if image_id else ''
    return ''


def _restore(
        files: instance_files.InstanceFiles, guests: guests_module.Guests,
        instance: instance_spec.Instance) -> None:
    """Put back files and domain of a guest that has not left after all."""
    guest = guests.find_or_none(instance)
    if guest is not None and guest.state().power in reach.UP:
        # It is stopped before its files are set aside: those that are kept
        # are older, of a migration that was never confirmed.
        return
    with files.putting_back(instance) as xml:
        if xml is not None and guest is None:
            guests.define(xml, instance)


def _disconnect_stopped(
        guests: guests_module.Guests, instance: instance_spec.Instance,
        attachments: Callable[[], ports.Attachments]) -> None:
    guest = guests.find_or_none(instance)
    if guest is None or guest.state().power not in reach.UP:
        attached_module.disconnect(attachments())
