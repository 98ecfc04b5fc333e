# SPDX-License-Identifier: Apache-2.0

"""Giving a guest that is there another disk or interface."""

from collections.abc import Callable
import contextlib
import dataclasses

from oslo_log import log as logging

from nova_libvirt_driver.configurators import hot_plug
from nova_libvirt_driver import exception
from nova_libvirt_driver.guest import device as device_module
from nova_libvirt_driver.guest import handle
from nova_libvirt_driver.operations.steps import domains as domains_module
from nova_libvirt_driver.operations.steps import exclusive as exclusive_module
from nova_libvirt_driver.operations.steps import rebuild as rebuild_module
from nova_libvirt_driver.operations.steps import undo as undo_module
from nova_libvirt_driver.operations.steps import unplug as unplug_module
from nova_libvirt_driver import ports
from nova_libvirt_driver.spec import disk as disk_spec
from nova_libvirt_driver.spec import guest as guest_spec
from nova_libvirt_driver.spec import nic as nic_spec
from nova_libvirt_driver.storage import journal as journal_module
from nova_libvirt_driver.storage import spec_record
from nova_libvirt_driver.xmlmodel.devices import controller as controller_model
from nova_libvirt_driver.xmlmodel import domain as domain_model

LOG = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, slots=True)
class _Place:
    """A guest that is to have another device."""

    guest: handle.Guest
    described: hot_plug.Place
    taken: frozenset[str]
    """Names of its disks."""


@dataclasses.dataclass(frozen=True, slots=True)
class Attach:
    """Gives guests devices.

    Steps: see that the guest has a place for the device; note in the journal
    what it is about to get; prepare what the device needs of the host, and
    connect it; attach the device, with a controller before it if it needs
    one; put it into the record, so that it is there after the next start.

    When a step fails, the device is taken back from the guest and is
    disconnected then. When the process is killed, the next one that looks
    into the journal does that. What the guest does not let go of stays
    connected, and in the journal, until it does.
    """

    OPERATION = 'attach'

    domains: domains_module.Domains
    rebuild: rebuild_module.Rebuild
    unplug: unplug_module.Unplug
    specs: spec_record.SpecRecords
    exclusive: exclusive_module.Exclusive
    journal: journal_module.Journal

    def disk(
            self, spec: guest_spec.GuestSpec, disk: disk_spec.DiskSpec,
            attachments: ports.Attachments,
            progress: ports.Progress) -> disk_spec.DiskSpec:
        """Attach a disk; see :meth:`base.ComputeDriver.attach_disk`."""
        found = self._attach(spec, disk, attachments, progress)
        assert isinstance(found, disk_spec.DiskSpec)
        return found

    def nic(
            self, spec: guest_spec.GuestSpec, nic: nic_spec.NicSpec,
            attachments: ports.Attachments,
            progress: ports.Progress) -> None:
        """Attach an interface; see :meth:`base.ComputeDriver.attach_nic`."""
        self._attach(spec, nic, attachments, progress)

    def _attach(
            self, spec: guest_spec.GuestSpec, device: guest_spec.Device,
            attachments: ports.Attachments,
            progress: ports.Progress) -> guest_spec.Device:
        with (self.exclusive.hold(
                spec, self.OPERATION, progress,
                wait_s=unplug_module.BUSY_S) as watched,
              undo_module.Undo(self.OPERATION, spec) as undo):
            watched.step('check')
            place = self._look(spec, device.key)
            spec = spec.with_machine(place.described.now.os.machine or '')
            device = self._named(place, spec, device)
            hot_plug.check(
                place.described, device, self.domains.inputs(spec))
            entry = undo.begin(self.journal, **unplug_module.noted(
                device.key, attachments))
            # One step: what the guest keeps is not disconnected.
            undo.add(f'take {device.key} back', lambda: self._take_back(
                lambda: self.unplug.back(
                    place.guest, device.key, entry, watched.give_way),
                spec, device.key, attachments))
            plug = self._prepared(place, spec, device, attachments, watched)
            self._plug_in(place, plug, attachments, watched)
            watched.step('record')
            self.specs.note(spec, lambda known: known.with_device(plug.spec))
            undo.commit()
        LOG.info('%s attached', device.key, instance={'uuid': spec.uuid})
        return plug.spec

    def _look(
            self, spec: guest_spec.GuestSpec,
            key: guest_spec.Key) -> _Place:
        guest, *texts = self.domains.guests.read(spec)
        defined, now = map(domain_model.Domain.parse, texts)
        state = ''
        if self.rebuild.is_rescued(spec):
            state = 'rescued: unrescue it first'
        elif now.id is None and guest.has_saved():
            state = 'suspended: resume it'
        elif any(device_module.find(one.devices, key) is not None
                 for one in (defined, now)):
            state = 'connected to it already'
        if state:
            raise exception.WrongState(
                tried=f'attach {key}', instance=spec.uuid, state=state)
        return _Place(guest, hot_plug.Place(now, defined), frozenset(
            disk.target_dev or '' for one in (defined, now)
            for disk in one.devices.disks))

    def _named(
            self, place: _Place, spec: guest_spec.GuestSpec,
            wanted: guest_spec.Device) -> guest_spec.Device:
        if not isinstance(wanted, disk_spec.DiskSpec):
            return wanted
        if wanted.target_dev in place.taken:
            raise exception.InvalidRequest(
                reason=f'the name {wanted.target_dev} is that of another '
                'disk of the guest')
        return dataclasses.replace(
            wanted, target_dev=wanted.target_dev or self.domains.free_name(
                wanted, spec, place.taken))

    def _prepared(
            self, place: _Place, spec: guest_spec.GuestSpec,
            wanted: guest_spec.Device, attachments: ports.Attachments,
            progress: ports.Progress) -> hot_plug.Plug:
        spec = spec.with_device(wanted)
        for attachment in attachments:
            progress.step(f'prepare {attachment.name}')
            spec = attachment.prepare(spec)
        found = spec.device(wanted.key)
        assert found is not None
        inputs = self.domains.inputs(spec)
        if isinstance(found, disk_spec.DiskSpec):
            assert isinstance(wanted, disk_spec.DiskSpec)
            return hot_plug.disk(place.described, dataclasses.replace(
                found, target_dev=wanted.target_dev), inputs)
        return hot_plug.nic(found, inputs)

    def _plug_in(
            self, place: _Place, plug: hot_plug.Plug,
            attachments: ports.Attachments,
            progress: ports.Progress) -> None:
        slot = place.guest.device(plug.spec.key)
        live = place.described.is_live
        with contextlib.ExitStack() as connected:
            for attachment in attachments:
                progress.step(f'connect {attachment.name}')
                connected.enter_context(attachment.connect())
            progress.step('attach')
            if plug.controller is not None:
                slot.attach(plug.controller.to_xml(), live=live)
            try:
                slot.attach(plug.element.to_xml(), live=live)
            except BaseException:
                if plug.controller is not None:
                    _take_controller(slot, plug.controller, live=live)
                raise

    def _take_back(
            self, unplug: Callable[[], object], spec: guest_spec.GuestSpec,
            key: guest_spec.Key, attachments: ports.Attachments) -> None:
        unplug()
        with contextlib.ExitStack() as stack:
            stack.callback(self.unplug.forget, spec, key)
            for attachment in attachments:
                stack.callback(attachment.revert)


def _take_controller(
        slot: device_module.Device, controller: controller_model.Controller,
        *, live: bool) -> None:
    # One that has a disk after all is busy, and stays.
    with contextlib.suppress(exception.DriverError):
        slot.undefine(controller)
        if live:
            slot.ask_back(controller)
