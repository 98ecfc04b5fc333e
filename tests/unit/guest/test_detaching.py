# SPDX-License-Identifier: Apache-2.0

"""How a device leaves a guest, and what keeps it there."""

from collections.abc import Callable
import itertools

import libvirt

from nova_libvirt_driver import exception
from nova_libvirt_driver.guest import detaching
from nova_libvirt_driver.guest import device as device_module
from nova_libvirt_driver.spec import disk as disk_spec
from nova_libvirt_driver.spec import nic as nic_spec
from nova_libvirt_driver.testing import fake_devices
from tests import guests
from tests.unit.guest import handles
from tests.unit.operations import verbs

VOLUME = '0d6a2f3e-5b0c-4c39-9d55-6a9ed1a0f3c1'
KEY = disk_spec.DiskKey(id=VOLUME, serial=VOLUME, target_dev='vdb')
DISK = (f"<disk type='file' device='disk'><source file='/v'/>"
        "<target dev='vdb' bus='virtio'/>"
        f"<serial>{VOLUME}</serial></disk>")
PORT = 'f2a0f6e1-7a0b-4f4c-9a51-1d5bb4d4b1aa'
NIC = nic_spec.NicKey(id=PORT, mac='52:54:00:00:00:02', target_dev='tap1')
PATIENCE = detaching.Patience(attempts=3, timeout_s=20.0)

MISSING = (
    libvirt.VIR_ERR_INVALID_ARG, libvirt.VIR_ERR_OPERATION_FAILED,
    libvirt.VIR_ERR_INTERNAL_ERROR, libvirt.VIR_ERR_DEVICE_MISSING,
    libvirt.VIR_ERR_OPERATION_INVALID)
"""What versions of libvirt say of a device that is not there."""

Unplug = fake_devices.Unplug


class DetachTestCase(verbs.VerbTestCase):

    def setUp(self) -> None:
        super().setUp()
        self.begin(*handles.DEVICES, DISK)

    def begin(self, *devices: str) -> None:
        """Have one guest, with these devices or with just the disk."""
        self.hypervisor.guests.clear()
        self.guest = self.add_guest(devices=devices or (DISK,))

    def detach(
            self, key: device_module.Key = KEY,
            tick: Callable[[], object] = lambda: None) -> None:
        detaching.detach(self.find(), key, PATIENCE, tick)

    def failure(self) -> exception.DeviceDetachFailed:
        return self.assertRaises(
            exception.DeviceDetachFailed, self.detach)

    def where(self, text: str = VOLUME) -> tuple[bool, bool]:
        """Say whether the definition and the running guest have it."""
        return (text in self.guest.xml(inactive=True),
                self.guest.active and text in self.guest.xml())


class DetachTest(DetachTestCase):

    def test_a_guest_that_obeys_is_asked_once(self) -> None:
        self.detach()

        self.assertEqual((False, False), self.where())
        self.assertEqual(1, len(self.guest.hotplug.asked))
        self.assertLess(self.clock.now_s, 1)

    def test_a_second_time_nothing_is_asked_for(self) -> None:
        self.detach()
        self.detach()

        self.assertEqual(1, len(self.guest.hotplug.asked))

    def test_a_stopped_guest_loses_it_from_its_definition(self) -> None:
        self.guest.state = libvirt.VIR_DOMAIN_SHUTOFF

        self.detach()

        self.assertEqual((False, False), self.where())
        self.assertEqual([], self.guest.hotplug.asked)

    def test_what_the_definition_has_lost_already_is_still_asked_for(
            self) -> None:
        self.guest.hotplug.unplug = Unplug.IGNORE
        self.failure()

        error = self.failure()

        self.assertEqual('ignored', error.fields['cause'])
        self.assertEqual((False, True), self.where())

    def test_a_guest_that_ignores_it_is_asked_again_each_time_it_may(
            self) -> None:
        self.guest.hotplug.unplug = Unplug.IGNORE

        error = self.failure()

        self.assertEqual('ignored', error.fields['cause'])
        self.assertEqual(60, round(self.clock.now_s))
        self.assertEqual(3, len(self.guest.hotplug.asked))

    def test_a_refusal_because_it_was_asked_before_is_a_wait(self) -> None:
        self.guest.hotplug.unplug = Unplug.IGNORE
        self.clock.at(
            30, lambda: self.hypervisor.complete_unplugs(self.guest))

        self.detach()

        self.assertEqual((False, False), self.where())
        self.assertEqual(2, len(self.guest.hotplug.asked))
        self.assertLess(self.clock.now_s, 40)

    def test_a_guest_that_says_no_is_not_asked_again(self) -> None:
        self.guest.hotplug.unplug = Unplug.REFUSE

        error = self.failure()

        self.assertEqual('refused', error.fields['cause'])
        self.assertEqual(1, len(self.guest.hotplug.asked))
        self.assertLess(self.clock.now_s, 1)

    def test_a_paused_guest_is_named_as_such_after_one_time(self) -> None:
        self.find().pause()

        error = self.failure()
        self.find().resume()

        self.assertEqual('paused', error.fields['cause'])
        self.assertEqual(20, round(self.clock.now_s))
        self.assertEqual((False, False), self.where())

    def test_a_guest_that_stops_meanwhile_has_let_go(self) -> None:
        self.guest.hotplug.unplug = Unplug.IGNORE
        self.clock.at(5, self.find().destroy)

        self.detach()

        self.assertLess(self.clock.now_s, 7)

    def test_a_guest_that_vanishes_meanwhile_has_let_go(self) -> None:
        self.guest.hotplug.unplug = Unplug.IGNORE
        self.clock.at(5, lambda: self.hypervisor.remove_guest(self.guest))

        self.detach()

        self.assertEqual(20, round(self.clock.now_s))

    def test_who_waits_may_give_up(self) -> None:
        self.guest.hotplug.unplug = Unplug.IGNORE

        def give_up() -> None:
            if self.clock.now_s > 3:
                raise KeyError('no more')

        self.assertRaises(KeyError, self.detach, tick=give_up)

        self.assertLess(self.clock.now_s, 5)

    def test_a_device_without_alias_is_looked_for_at_each_event(
            self) -> None:
        self.guest.hotplug.aliases = False
        self.guest.hotplug.unplug = Unplug.IGNORE

        def leave() -> None:
            self.guest.live = self.guest.live.replace(DISK.replace(
                "'", '"'), '')
            self.hypervisor.emit(
                libvirt.VIR_DOMAIN_EVENT_ID_DEVICE_REMOVED, self.guest,
                'virtio-disk1')

        self.clock.at(3, leave)

        self.detach()

        self.assertEqual((False, False), self.where())
        self.assertLess(self.clock.now_s, 5)

    def test_an_event_that_comes_before_the_deed_does_not_end_it(
            self) -> None:
        self.guest.hotplug.unplug = Unplug.IGNORE
        self.clock.at(3, lambda: self.hypervisor.emit(
            libvirt.VIR_DOMAIN_EVENT_ID_DEVICE_REMOVED, self.guest,
            self.guest.hotplug.asked[0]))
        self.clock.at(
            4, lambda: self.hypervisor.complete_unplugs(self.guest))

        self.detach()

        self.assertEqual((False, False), self.where())
        self.assertLess(self.clock.now_s, 6)

    def test_another_device_that_leaves_is_none_of_it(self) -> None:
        self.guest.hotplug.unplug = Unplug.IGNORE
        self.clock.at(3, lambda: self.hypervisor.emit(
            libvirt.VIR_DOMAIN_EVENT_ID_DEVICE_REMOVAL_FAILED, self.guest,
            'other'))

        self.assertEqual('ignored', self.failure().fields['cause'])


class FailureTest(DetachTestCase):
    """Libvirt fails at one of the steps, in one of its ways."""

    def test_each_error_for_a_device_that_has_just_gone_is_success(
            self) -> None:
        for code, live in itertools.product(MISSING, (False, True)):
            with self.subTest(code=code, live=live):
                self.begin()
                self.guest.hotplug.missing = code

                def leave(live: bool = live) -> None:
                    xml = self.guest.live
                    self.guest.definition = self.guest.live = (
                        xml.replace(DISK.replace("'", '"'), ''))
                    if not live:
                        self.guest.live = xml

                self.leave_before_the_call(leave, live=live)

                self.detach()

                self.assertEqual((False, False), self.where())

    def leave_before_the_call(
            self, leave: Callable[[], object], *, live: bool) -> None:
        """Let the device go between the look for it and the request."""
        self.guest.hotplug.happens = {
            'asked' if live else 'from the definition': leave}

    def test_any_other_error_is_told_with_what_libvirt_said(self) -> None:
        for code, live in itertools.product(MISSING, (False, True)):
            with self.subTest(code=code, live=live):
                self.begin()
                if live:
                    self.guest.definition = self.guest.definition.replace(
                        DISK.replace("'", '"'), '')
                self.hypervisor.fail_next(
                    'detachDeviceFlags', guests.failure(code, 'no way'))

                error = self.failure()

                self.assertEqual('refused', error.fields['cause'])
                self.assertIn('no way', str(error.__cause__))
                self.assertTrue(self.where()[1])

    def test_a_reply_that_is_lost_is_looked_up(self) -> None:
        self.guest.definition = self.guest.definition.replace(
            DISK.replace("'", '"'), '')
        self.guest.hotplug.unplug = Unplug.IGNORE
        self.guest.hotplug.happens = {
            'was asked': self.hypervisor.break_connections}

        def leave() -> None:
            self.guest.live = fake_devices.without(
                fake_devices.named(self.guest.live),
                self.guest.hotplug.asked[0])

        self.clock.at(5, leave)

        self.detach()

        self.assertEqual((False, False), self.where())
        self.assertEqual(1, len(self.guest.hotplug.asked))

    def test_a_guest_that_does_not_answer_is_waited_for_once(self) -> None:
        self.guest.definition = self.guest.definition.replace(
            DISK.replace("'", '"'), '')
        self.hypervisor.fail_next('detachDeviceFlags', guests.failure(
            libvirt.VIR_ERR_OPERATION_TIMEOUT, 'job'))
        self.guest.hotplug.unplug = Unplug.IGNORE

        error = self.failure()

        self.assertEqual('ignored', error.fields['cause'])
        self.assertEqual(60, round(self.clock.now_s))


class NicTest(DetachTestCase):

    def nic(self, *, mac: str = NIC.mac, tap: str = 'tap1',
            alias: str = '') -> str:
        named = f"<alias name='{alias}'/>" if alias else ''
        return (f"<interface type='bridge'><mac address='{mac}'/>"
                f"<source bridge='br0'/><target dev='{tap}'/>{named}"
                '</interface>')

    def test_of_two_with_one_address_that_of_the_port_goes(self) -> None:
        for alias in ('', NIC.alias):
            with self.subTest(alias=alias):
                self.begin(self.nic(tap='tap0'), self.nic(alias=alias))

                self.detach(NIC)

                self.assertEqual((True, True), self.where('tap0'))
                self.assertEqual((False, False), self.where('tap1'))

    def test_that_of_another_port_never_goes(self) -> None:
        for other in (self.nic(tap='tap0'),
                      self.nic(tap='vnet0', alias='ua-other')):
            with self.subTest(other=other):
                self.begin(other)

                self.detach(NIC)

                self.assertEqual((True, True), self.where(NIC.mac))


class FindTest(DetachTestCase):

    def test_a_disk_that_is_another_s_by_now_never_goes(self) -> None:
        for target_dev in ('vda', 'vdb'):
            self.detach(disk_spec.DiskKey(
                id=PORT, serial=PORT, target_dev=target_dev))

        self.assertEqual((True, True), self.where())
        self.assertEqual((True, True), self.where('vda'))

    def test_a_disk_is_found_by_each_thing_that_it_says(self) -> None:
        alias = DISK.replace(
            f'<serial>{VOLUME}</serial>', f"<alias name='ua-{VOLUME}'/>")
        bare = DISK.replace(f'<serial>{VOLUME}</serial>', '')
        for device, key in (
                (DISK, disk_spec.DiskKey(serial=VOLUME)),
                (alias, disk_spec.DiskKey(id=VOLUME, serial='swapped')),
                (bare, disk_spec.DiskKey(target_dev='vdb'))):
            with self.subTest(device=device):
                self.begin(device)

                self.detach(key)

                self.assertEqual((False, False), self.where('vdb'))
