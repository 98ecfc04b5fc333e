# SPDX-License-Identifier: Apache-2.0

"""What is left where, when a guest gets a device or loses one."""

from collections.abc import Callable
import dataclasses
import os
import threading
import time
from typing import Any

import fixtures
import libvirt

from nova_libvirt_driver import exception
from nova_libvirt_driver.guest import device as device_module
from nova_libvirt_driver.operations import resize_disk
from nova_libvirt_driver.operations.steps import disk_copy
from nova_libvirt_driver.operations.steps import exclusive
from nova_libvirt_driver import ports
from nova_libvirt_driver.spec import device as device_spec
from nova_libvirt_driver.spec import disk as disk_spec
from nova_libvirt_driver.spec import guest as guest_spec
from nova_libvirt_driver.spec import instance as instance_spec
from nova_libvirt_driver.spec import nic as nic_spec
from nova_libvirt_driver.testing import fake_attachment
from nova_libvirt_driver.testing import fake_devices
from nova_libvirt_driver.testing import fake_libvirt
from nova_libvirt_driver.testing import fake_ports
from nova_libvirt_driver.testing import fake_progress
from nova_libvirt_driver.xmlmodel import domain as domain_model
from tests import guests
from tests.unit.operations import whole

Bus = disk_spec.DiskBus

VOLUME = '0d6a2f3e-5b0c-4c39-9d55-6a9ed1a0f3c1'
SOURCE = disk_spec.DiskSource(
    kind=disk_spec.SourceKind.BLOCK, path='/dev/mapper/one')
BARE = disk_spec.DiskSpec(
    target_dev='', id=VOLUME, serial=VOLUME, bus=Bus.VIRTIO, format='raw',
    source=disk_spec.DiskSource(kind=disk_spec.SourceKind.BLOCK))
"""A volume of which only a host that is connected knows the path."""
NIC = nic_spec.NicSpec(
    id='f2a0f6e1-7a0b-4f4c-9a51-1d5bb4d4b1aa', mac='52:54:00:00:00:02',
    kind=nic_spec.NicKind.BRIDGE, source='br0', target_dev='tap1')

CODES = (
    libvirt.VIR_ERR_INVALID_ARG, libvirt.VIR_ERR_OPERATION_FAILED,
    libvirt.VIR_ERR_INTERNAL_ERROR, libvirt.VIR_ERR_CONFIG_UNSUPPORTED,
    libvirt.VIR_ERR_OPERATION_DENIED, libvirt.VIR_ERR_OPERATION_TIMEOUT)

Unplug = fake_devices.Unplug


class DeviceTestCase(whole.WholeTestCase):

    forgotten = False
    """The service knows no device any more."""

    def setUp(self) -> None:
        super().setUp()
        self.outside = self.useFixture(fixtures.TempDir()).path
        self.config.config(
            group='libvirt', device_detach_attempts=1,
            device_detach_timeout=1)
        self.driver = self.make_driver()
        self.spec = self.guest(devices=device_spec.DeviceSpec(
            video=None, usb_model='qemu-xhci'))
        self.driver.spawn(self.spec)

    @property
    def domain(self) -> fake_libvirt.Guest:
        guest, = self.hypervisor.guests
        return guest

    def attachment_of(
            self, instance: instance_spec.Instance,
            name: str,
            memo: ports.Memo | None) -> ports.Attachment | None:
        if self.forgotten:
            return self.attachment(name=memo['path']) if memo else None
        return self.attachment(name=name)

    def attachment(
            self, at: Callable[[str], object] = lambda point: None, *,
            name: str = 'volume') -> fake_attachment.FakeAttachment:
        """Return one that finds out what the volume is kept in."""
        def change(spec: guest_spec.GuestSpec) -> guest_spec.GuestSpec:
            found = spec.device(BARE.key)
            if not isinstance(found, disk_spec.DiskSpec):
                return spec
            return spec.with_device(found_source(found))

        return fake_attachment.FakeAttachment(
            os.path.join(self.outside, name), at, change=change)

    def attach(
            self, wanted: guest_spec.Device = BARE,
            at: Callable[[str], object] = lambda point: None,
            progress: ports.Progress = ports.NullProgress()) -> None:
        attachments = [self.attachment(at)]
        if isinstance(wanted, disk_spec.DiskSpec):
            self.driver.attach_disk(
                self.spec, wanted, attachments=attachments,
                progress=progress)
        else:
            self.driver.attach_nic(
                self.spec, wanted, attachments=attachments,
                progress=progress)

    def detach(
            self, key: guest_spec.Key = BARE.key,
            at: Callable[[str], object] = lambda point: None) -> None:
        attachments = [self.attachment(at)]
        if isinstance(key, disk_spec.DiskKey):
            self.driver.detach_disk(
                self.spec, key, attachments=attachments)
        else:
            self.driver.detach_nic(
                self.spec, key, attachments=attachments)

    def connected(self) -> list[str]:
        return os.listdir(self.outside)

    def element(
            self, key: guest_spec.Key = BARE.key, *,
            inactive: bool = True) -> str:
        """Return the XML of the device, empty when it is not there."""
        found = device_module.find(domain_model.Domain.parse(
            self.domain.xml(inactive=inactive)).devices, key)
        return '' if found is None else found.to_xml()

    def state(self, key: guest_spec.Key = BARE.key) -> dict[str, bool]:
        """Say in which places the device is."""
        return {
            'connected': bool(self.connected()),
            'defined': bool(self.element(key)),
            'live': self.domain.active and bool(
                self.element(key, inactive=False)),
            'recorded': self.driver.get_spec(
                self.spec).device(key) is not None,
            'journal': bool(self.journal.notes())}

    def nowhere(self) -> dict[str, bool]:
        return dict.fromkeys(
            ('connected', 'defined', 'live', 'recorded', 'journal'), False)

    def everywhere(self, **fields: bool) -> dict[str, bool]:
        return {**dict.fromkeys(
            ('connected', 'defined', 'live', 'recorded'), True),
            'journal': False, **fields}

    def wait_for(self, state: dict[str, bool]) -> None:
        fake_ports.wait_until(lambda: self.state() == state, str(state))


def found_source(disk: disk_spec.DiskSpec) -> disk_spec.DiskSpec:
    return dataclasses.replace(disk, source=SOURCE)


class AttachTest(DeviceTestCase):

    def test_a_device_is_there_at_once_and_at_the_next_start(self) -> None:
        for wanted in (BARE, on(Bus.SCSI), on(Bus.USB), NIC):
            with self.subTest(wanted=wanted):
                self.attach(wanted)

                self.assertEqual(
                    self.everywhere(), self.state(wanted.key))
                before = self.element(wanted.key)

                self.driver.reboot(
                    self.driver.get_spec(self.spec),
                    guest_spec.RebootType.HARD)

                self.assertEqual(before, self.element(wanted.key))
                self.detach(wanted.key)
                self.assertEqual(self.nowhere(), self.state(wanted.key))

    def test_what_libvirt_is_asked(self) -> None:
        self.attach()
        self.detach()

        self.assertEqual(
            {'lookupByUUIDString': 2, 'XMLDesc': 2, 'attachDeviceFlags': 1},
            self.calls_of(self.attach))
        # Twice it is read, and once more when it is said to be gone.
        self.assertEqual(
            {'lookupByUUIDString': 4, 'XMLDesc': 3, 'detachDeviceFlags': 2},
            self.calls_of(self.detach))

    def test_a_stopped_guest_has_it_from_its_next_start_on(self) -> None:
        self.driver.power_off(self.spec)

        self.attach()
        stopped = self.state()
        self.driver.power_on(self.driver.get_spec(self.spec))

        self.assertEqual(self.everywhere(live=False), stopped)
        self.assertEqual(self.everywhere(), self.state())

    def test_a_verb_that_is_asked_for_meanwhile_keeps_it(self) -> None:
        instance = instance_spec.InstanceRef(self.spec.uuid, self.spec.name)
        for stopped, verb in (
                (True, lambda: self.driver.power_on(instance)),
                (False, lambda: self.driver.reboot(
                    instance, guest_spec.RebootType.HARD)),
                (False, lambda: self.driver.rescue(
                    instance, self.image.id))):
            with self.subTest(verb=verb):
                if stopped:
                    self.driver.power_off(self.spec)

                self.attach_with(verb)

                if self.state()['live']:
                    self.assertEqual(self.everywhere(), self.state())
                    self.detach()
        self.driver.unrescue(instance)
        self.assertEqual(self.everywhere(), self.state())

    def attach_with(self, verb: Callable[[], object]) -> None:
        """Attach the device, and call a verb before that has ended."""
        begun = threading.Event()

        def at(point: str) -> None:
            if point == 'connected':
                begun.set()

        def wait() -> None:
            begun.wait(60)
            verb()

        self.assertEqual([None, None], fake_ports.run_threads(
            [lambda: self.attach(at=at), wait]))

    def test_a_disk_of_another_bus_gets_another_name(self) -> None:
        names = [self.driver.attach_disk(self.spec, found_source(
            disk)).target_dev for disk in (
                on(Bus.SCSI, 'a'), on(Bus.USB, 'b'), on(Bus.VIRTIO, 'c'))]

        self.assertEqual(['sda', 'sdb', 'vdb'], names)

    def test_scsi_disks_share_a_controller_of_the_first_model(self) -> None:
        for number in range(9):
            self.driver.attach_disk(self.spec, found_source(on(
                Bus.SCSI, str(number),
                scsi_model='' if number else 'lsilogic')))

        domain = domain_model.Domain.parse(self.domain.xml())
        self.assertEqual([('lsilogic', 0)], [
            (one.model, one.index) for one in domain.devices.controllers
            if one.type == 'scsi'])
        self.assertEqual([(0, number) for number in range(9)], [
            (one.address.controller, one.address.unit)
            for one in domain.devices.disks if one.target_bus == 'scsi'])

    def test_what_cannot_be_is_refused_before_anything_is_done(self) -> None:
        self.attach()
        self.refuse(exception.WrongState)
        self.detach()
        self.refuse(exception.InvalidRequest, on(
            Bus.VIRTIO, target_dev='vda'))
        self.refuse(exception.DeviceAttachFailed, on(Bus.SATA))
        self.driver.rescue(self.spec, self.image.id)
        self.refuse(exception.WrongState)
        self.driver.unrescue(self.spec)
        self.driver.suspend(self.spec)
        self.refuse(exception.WrongState)

    def refuse(
            self, kind: type[Exception],
            wanted: disk_spec.DiskSpec = BARE) -> None:
        before = self.state(wanted.key)
        reached: list[str] = []

        self.assertRaises(kind, self.attach, wanted, reached.append)

        self.assertEqual([], reached)
        self.assertEqual(before, self.state(wanted.key))

    def test_a_failure_at_any_step_leaves_nothing(self) -> None:
        for point in fake_attachment.POINTS:
            with self.subTest(point=point):
                self.assertRaises(
                    fake_attachment.Failed, self.attach, BARE,
                    fake_attachment.failing(point))

                self.assertEqual(self.nowhere(), self.state())

    def test_an_error_of_any_code_is_raised_and_leaves_nothing(self) -> None:
        for code in CODES:
            with self.subTest(code=code):
                self.hypervisor.fail_next(
                    'attachDeviceFlags', guests.failure(code))

                self.assertRaises(exception.DriverError, self.attach)

                self.assertEqual(self.nowhere(), self.state())

    def test_a_failed_disk_takes_its_controller_with_it(self) -> None:
        def fail(point: str) -> None:
            if point == 'connected':
                self.domain.hotplug.happens['was attached'] = (
                    lambda: self.hypervisor.fail_next(
                        'attachDeviceFlags', guests.failure(CODES[0])))

        self.assertRaises(
            exception.LibvirtFailure, self.attach, on(Bus.SCSI), fail)

        self.assertEqual(self.nowhere(), self.state())
        for inactive in (False, True):
            self.assertNotIn('type="scsi"', self.domain.xml(
                inactive=inactive))

    def test_a_reply_that_is_lost_leaves_nothing(self) -> None:
        def lose() -> None:
            self.hypervisor.break_connections()
            raise guests.failure(
                libvirt.VIR_ERR_INTERNAL_ERROR, 'client socket is closed',
                libvirt.VIR_FROM_RPC)

        self.domain.hotplug.happens['was attached'] = lose

        self.assertRaises(exception.HypervisorUnavailable, self.attach)

        self.wait_for(self.nowhere())

    def test_who_cancels_at_any_step_leaves_nothing(self) -> None:
        progress = fake_progress.RecordingProgress()
        self.attach(progress=progress)
        self.detach()
        for number, step in enumerate(progress.steps):
            with self.subTest(step=step):
                self.assertRaises(
                    fake_progress.Stopped, self.attach,
                    progress=fake_progress.FailingProgress(number + 1))

                self.assertEqual(self.nowhere(), self.state())

    def test_what_the_guest_keeps_stays_connected_until_it_lets_go(
            self) -> None:
        self.domain.hotplug.unplug = Unplug.IGNORE

        self.assertRaises(
            fake_attachment.Failed, self.attach, BARE,
            fake_attachment.failing('started'))
        kept = self.state()
        self.hypervisor.complete_unplugs(self.domain)

        self.assertEqual(self.everywhere(
            defined=False, recorded=False, journal=True), kept)
        self.wait_for(self.nowhere())


class DetachTest(DeviceTestCase):

    def test_twice_is_as_good_as_once(self) -> None:
        self.attach()

        self.detach()
        self.detach()

        self.assertEqual(self.nowhere(), self.state())
        self.assertEqual(1, len(self.domain.hotplug.asked))

    def test_all_who_ask_at_once_get_the_one_result(self) -> None:
        for unplugs, kind in ((Unplug.IGNORE, exception.DeviceDetachFailed),
                              (Unplug.OBEY, type(None))):
            with self.subTest(unplugs=unplugs):
                if not self.connected():
                    self.attach()
                self.domain.hotplug.asked.clear()
                self.domain.hotplug.pending.clear()
                self.domain.hotplug.unplug = unplugs

                results = fake_ports.run_threads([self.detach] * 5)

                self.assertEqual([kind] * 5, [type(one) for one in results])
                self.assertEqual(1, len(self.domain.hotplug.asked))

    def test_what_a_guest_ignores_stays_and_goes_when_it_lets_go(
            self) -> None:
        self.attach()
        self.domain.hotplug.unplug = Unplug.IGNORE

        error = self.assertRaises(
            exception.DeviceDetachFailed, self.detach)
        again = self.assertRaises(
            exception.DeviceDetachFailed, self.detach)
        kept = self.state()
        self.hypervisor.complete_unplugs(self.domain)

        self.assertEqual(('ignored', 'ignored'), (
            error.fields['cause'], again.fields['cause']))
        self.assertEqual(self.everywhere(defined=False, journal=True), kept)
        self.wait_for(self.nowhere())

    def test_it_goes_with_the_guest_s_stop(self) -> None:
        for verb in ('power_off', 'destroy'):
            with self.subTest(verb=verb):
                self.ignored()

                getattr(self.driver, verb)(self.spec)
                self.driver._parts.operations.recovery.wake()

                fake_ports.wait_until(
                    lambda: not self.connected(), 'disconnected')
                fake_ports.wait_until(
                    lambda: not self.journal.notes(), 'the journal')

    def ignored(self) -> None:
        """Attach the device to a guest that keeps it."""
        if not self.domain.active:
            self.driver.power_on(self.spec)
        self.attach()
        self.domain.hotplug.unplug = Unplug.IGNORE
        self.assertRaises(exception.DeviceDetachFailed, self.detach)

    def test_a_guest_that_got_it_again_keeps_it(self) -> None:
        self.ignored()

        self.driver.reboot(
            self.driver.get_spec(self.spec), guest_spec.RebootType.HARD)
        self.driver._parts.operations.recovery.wake()

        self.wait_for(self.everywhere())

    def test_what_is_busy_on_the_host_is_tried_again(self) -> None:
        self.attach()

        self.detach(at=fake_attachment.failing('disconnect'))

        self.assertEqual(self.nowhere(), self.state())

    def test_a_guest_that_is_gone_is_disconnected(self) -> None:
        self.attach()
        self.hypervisor.remove_guest(self.domain)

        self.detach()

        self.assertEqual([], self.connected())

    def test_a_suspended_guest_is_left_alone(self) -> None:
        self.attach()
        self.driver.suspend(self.spec)

        self.assertRaises(exception.WrongState, self.detach)

        self.assertEqual(self.everywhere(live=False), self.state())

    def test_a_rescued_guest_keeps_what_it_had_before(self) -> None:
        self.attach()
        self.driver.rescue(self.spec, self.image.id)

        self.assertRaises(exception.WrongState, self.detach)
        self.driver.unrescue(self.driver.get_spec(self.spec))

        self.assertEqual(self.everywhere(), self.state())

    def test_a_port_that_is_gone_goes_once_it_can(self) -> None:
        for before, after in (
                (self.driver.suspend, self.driver.resume),
                (self.rescue, self.driver.unrescue)):
            with self.subTest(before=before):
                self.attach(NIC)
                before(self.spec)

                self.driver.detach_nic(
                    self.spec, NIC.key, later=True,
                    attachments=[self.attachment()])
                waiting = self.state(NIC.key)
                after(self.spec)
                self.driver._parts.operations.recovery.wake()

                self.assertEqual((True, True), (
                    waiting['connected'], waiting['journal']))
                fake_ports.wait_until(
                    lambda: self.state(NIC.key) == self.nowhere(), 'gone')

    def rescue(self, spec: guest_spec.GuestSpec) -> None:
        self.driver.rescue(spec, self.image.id)

    def test_a_larger_volume_is_told_to_a_guest_that_runs(self) -> None:
        self.attach()
        self.domain.sizes['vdb'] = 1 << 20

        self.driver.extend_disk(self.spec, BARE.key, 1 << 21)

        self.assertEqual(1 << 21, self.domain.sizes['vdb'])
        self.assertRaises(
            exception.InvalidRequest, self.driver.extend_disk, self.spec,
            BARE.key, 1 << 20)
        self.assertRaises(
            exception.InvalidRequest, self.driver.extend_disk, self.spec,
            disk_spec.DiskKey(id='other'), 1 << 22)

    def test_a_larger_volume_waits_for_another_operation(self) -> None:
        self.attach()
        self.domain.sizes['vdb'] = 1 << 20
        parts = self.driver._parts
        extending = resize_disk.ResizeDisk(
            disk_copy.DiskCopy(
                parts.guests, parts.storage.folders, parts.storage.qemu_img,
                parts.storage.policy, timeout_s=1),
            parts.storage.disks, parts.storage.specs,
            exclusive.Exclusive(self.journal.folder, 'here', busy_s=0.0))
        held = threading.Event()

        def hold() -> None:
            with parts.operations.exclusive.hold(self.spec, 'snapshot'):
                held.set()
                time.sleep(0.5)

        def extend() -> None:
            held.wait(60)
            extending.extend(
                self.spec, BARE.key, 1 << 21, None, ports.NullProgress())

        self.assertEqual(
            [None, None], fake_ports.run_threads([hold, extend]))
        self.assertEqual(1 << 21, self.domain.sizes['vdb'])


def on(
        bus: disk_spec.DiskBus, name: str = VOLUME,
        **fields: Any) -> disk_spec.DiskSpec:
    """Return a volume on a bus."""
    return dataclasses.replace(
        BARE, bus=bus, **{'id': name, 'serial': name, **fields})
