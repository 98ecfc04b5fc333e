# SPDX-License-Identifier: Apache-2.0

"""A device taken from its guest first, and from the host then.

What the host has for the device stays until the guest has let go of it,
however long that takes: a guest may write to it until then.
"""

from collections.abc import Callable
from collections.abc import Mapping
import contextlib
import dataclasses
import time
from typing import Any

from oslo_log import log as logging

from nova_libvirt_driver import exception
from nova_libvirt_driver.guest import detaching
from nova_libvirt_driver.guest import device as device_module
from nova_libvirt_driver.guest import guests as guests_module
from nova_libvirt_driver.guest import handle
from nova_libvirt_driver.operations.steps import attached as attached_module
from nova_libvirt_driver.operations.steps import clean_ups
from nova_libvirt_driver import ports
from nova_libvirt_driver.spec import disk as disk_spec
from nova_libvirt_driver.spec import guest as guest_spec
from nova_libvirt_driver.spec import instance as instance_spec
from nova_libvirt_driver.spec import nic as nic_spec
from nova_libvirt_driver.storage import journal as journal_module
from nova_libvirt_driver.storage import rescue_files
from nova_libvirt_driver.storage import spec_record
from nova_libvirt_driver.xmlmodel import domain as domain_model

LOG = logging.getLogger(__name__)

BUSY_S = 60.0
"""How long another operation on the same guest is waited for."""

_LEFT = 'the guest has not let go'
"""Phase of an entry whose caller knows that the device is still there."""

_ASK_S = 3.0
_RELEASE_S = 5.0
_PAUSE_S = 0.2


@dataclasses.dataclass(frozen=True, slots=True)
class Unplug:
    """Takes devices from guests, now or as soon as these let go of them.

    :param attachment: finds what a device needs of the host, by its name;
        None where only another process knows it
    """

    guests: guests_module.Guests
    specs: spec_record.SpecRecords
    rescues: rescue_files.RescueFiles
    patience: detaching.Patience
    attachment: ports.AttachmentOf | None

    def returns(
            self, guest: handle.Guest, key: guest_spec.Key, *,
            runs: bool = False) -> str:
        """Say why a guest has a device again later, and how to end that.

        :param runs: it does, and so has no saved memory
        :returns: its state, as in an error; empty when the device stays away
        :raises StorageFailure: it cannot be seen
        """
        if not runs and guest.has_saved():
            # The device is a part of the memory.
            return 'suspended: resume it first'
        kept = self.rescues.kept_xml(guest)
        if kept is not None and device_module.find(
                domain_model.Domain.parse(kept).devices, key) is not None:
            return 'rescued: unrescue it first'
        return ''

    def from_guest(
            self, guest: handle.Guest, key: guest_spec.Key,
            tick: Callable[[], object] = lambda: None,
            seen: device_module.Both | None = None) -> None:
        """Take it from the guest; see :func:`detaching.detach`."""
        detaching.detach(guest, key, self.patience, tick, seen)

    def back(
            self, guest: handle.Guest, key: guest_spec.Key,
            entry: journal_module.Entry,
            tick: Callable[[], object]) -> None:
        """Take it from a guest that was about to get it.

        :param entry: of the operation; is let go when that gives way
        :param tick: as in :func:`detaching.detach`
        :raises GuestUnresponsive: it may get it still
        """
        _await_calls(guest)
        try:
            self.from_guest(guest, key, tick)
        except exception.WrongState:
            self.leave(entry)
            raise

    def from_host(
            self, instance: instance_spec.Instance, key: guest_spec.Key,
            attachments: ports.Attachments,
            patience_s: float = _RELEASE_S) -> None:
        """Disconnect a device that has left its guest, and forget it.

        The event of its removal may come before QEMU has closed it, so what
        is busy is tried for some seconds.
        """
        deadline = time.monotonic() + patience_s
        while True:
            try:
                attached_module.disconnect(attachments)
                break
            except Exception as error:
                if time.monotonic() >= deadline:
                    raise
                LOG.debug('%s: not disconnected yet: %s', key, error,
                          instance={'uuid': instance.uuid})
            time.sleep(_PAUSE_S)
        self.forget(instance, key)

    def forget(
            self, instance: instance_spec.Instance,
            key: guest_spec.Key) -> None:
        """Take a device out of the record."""
        self.specs.note(instance, lambda spec: spec.without_device(key))

    def leave(self, entry: journal_module.Entry) -> None:
        """Let go of an entry whose caller hears of a failure.

        The guest is not asked for the device again, but what becomes of it
        is settled.
        """
        try:
            entry.advance(_LEFT)
        except exception.StorageFailure as error:
            # The guest is asked once more then.
            LOG.warning('%s', error, instance={'uuid': entry.note.uuid})
        entry.release()

    def clean_up(
            self, entry: journal_module.Entry,
            attachments: Callable[[], ports.Attachments]) -> None:
        """Take a device away that an interrupted operation was about.

        :raises NotYetError: the guest still has it, or the host is
            connected to a volume still
        """
        note = entry.note
        key = key_of(note.values)
        guest = self.guests.find_or_none(note)
        if note.is_over and not (guest is not None and guest.has_saved()):
            return
        if guest is not None and not self._has_left(guest, key, entry):
            LOG.info('%s was attached again', key,
                     instance={'uuid': note.uuid})
            return
        try:
            # What is left was tried for long enough before.
            self.from_host(note, key, self._known(note),
                           0 if note.phase == _LEFT else _RELEASE_S)
        except exception.VolumeFailure as error:
            # What is done with the instance meanwhile need not wait for it.
            LOG.debug('The host is still connected to a volume: %s', error,
                      instance={'uuid': note.uuid})
            if entry.note.phase != _LEFT:
                entry.advance(_LEFT)
            raise clean_ups.NotYetError(str(error)) from error

    def remove_outside(self, entry: journal_module.Entry) -> None:
        """Disconnect a device of an instance that another host has by now.

        :raises NotYetError: the host is connected to a volume still
        """
        try:
            attached_module.disconnect(self._known(entry.note))
        except exception.VolumeFailure as error:
            raise clean_ups.NotYetError(str(error)) from error

    def _has_left(
            self, guest: handle.Guest, key: guest_spec.Key,
            entry: journal_module.Entry) -> bool:
        """Say whether the guest has let go; False: it was given it again."""
        if self.returns(guest, key):
            raise clean_ups.NotYetError(f'the guest would get {key} back')
        if entry.note.phase == _LEFT:
            device = guest.device(key)
            if device.defined() is not None:
                return False
            if device.live() is not None:
                raise clean_ups.NotYetError(f'the guest still has {key}')
            return True
        try:
            _await_calls(guest)
            # What the guest was asked for once it may give later: whatever
            # is to be done with it next does not wait for that.
            detaching.detach(guest, key, detaching.Patience(
                attempts=1, timeout_s=min(self.patience.timeout_s, _ASK_S)))
        except exception.GuestUnresponsive as error:
            raise clean_ups.NotYetError(str(error)) from error
        except exception.DeviceDetachFailed as error:
            LOG.warning('Left from an interrupted %s: %s',
                        entry.note.operation, error,
                        instance={'uuid': guest.uuid})
            entry.advance(_LEFT)
            raise clean_ups.NotYetError(str(error)) from error
        return True

    def _known(self, note: journal_module.Note) -> ports.Attachments:
        memos = note.values.get('memos', {})
        found = []
        for name in note.values['attachments']:
            one = self.attachment and self.attachment(
                note, name, memos.get(name))
            if one:
                found.append(one)
            else:
                LOG.info('%s is not known any more', name,
                         instance={'uuid': note.uuid})
        return found


def _await_calls(guest: handle.Guest) -> None:
    """See that no call into the guest is under way any more.

    One whose caller has given up, or was killed, may
    still give the guest a device.

    :raises GuestUnresponsive: there is one
    """
    if guest.is_active():
        with contextlib.suppress(exception.LibvirtFailure):
            guest.disk_errors()


def noted(
        key: guest_spec.Key, attachments: ports.Attachments, *,
        lasting: bool = False) -> dict[str, Any]:
    """Return what an entry of the journal says about a device.

    A loss of power takes the device from its guest. The definition, which
    may have it or not, is made again for the next start from what the caller
    or the record says; these change last. So an entry is to outlive that only
    for what there may be left on the host.

    :param lasting: or for another reason: saved memory has the device still
    """
    kind = 'disk' if isinstance(key, disk_spec.DiskKey) else 'nic'
    return {kind: dataclasses.asdict(key),
            'lasting': lasting or not all(
                isinstance(one, ports.Fleeting) and one.is_fleeting
                for one in attachments),
            'attachments': [one.name for one in attachments],
            'memos': {one.name: dict(one.memo) for one in attachments
                      if isinstance(one, ports.Remembered)}}


def key_of(values: Mapping[str, Any]) -> guest_spec.Key:
    """Return which device an entry of the journal is about."""
    if 'disk' in values:
        return disk_spec.DiskKey(**values['disk'])
    return nic_spec.NicKey(**values['nic'])
