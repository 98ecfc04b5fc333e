# SPDX-License-Identifier: Apache-2.0

"""Attaches and detaches that do not come to their end."""

from collections.abc import Callable
import os
from typing import Any
from unittest import mock

from nova_libvirt_driver.filesystem import records
from nova_libvirt_driver.operations.steps import unplug
from nova_libvirt_driver.spec import guest as guest_spec
from nova_libvirt_driver.spec import instance as instance_spec
from nova_libvirt_driver.testing import fake_attachment
from nova_libvirt_driver.testing import fake_devices
from nova_libvirt_driver.testing import fake_ports
from tests.unit.operations import test_devices

KEY = test_devices.BARE.key


class StopTest(test_devices.DeviceTestCase):
    """A guest that lets go of nothing is to be stopped."""

    def setUp(self) -> None:
        super().setUp()
        self.driver.cleanup_host('here')
        self.config.config(group='libvirt', device_detach_timeout=600)
        self.driver = self.make_driver()

    def test_a_detach_that_waits_gives_way(self) -> None:
        for stop, left in (
                (self.reboot, self.everywhere()),
                (lambda: self.driver.power_off(self.spec), self.nowhere())):
            with self.subTest(left=left):
                if not self.state()['live']:
                    self.attach()

                error, = self.stopped(self.detach, stop)

                self.assertIn('about to be stopped', str(error))
                self.driver._parts.operations.recovery.wake()
                self.wait_for(left)

    def test_an_attach_that_is_undone_gives_way(self) -> None:
        error, = self.stopped(
            lambda: self.attach(at=fake_attachment.failing('started')),
            lambda: self.driver.power_off(self.spec))

        self.assertIsInstance(error, fake_attachment.Failed)
        self.driver._parts.operations.recovery.wake()
        self.wait_for(self.nowhere())

    def test_one_whose_process_died_holds_up_nothing(self) -> None:
        self.attach()
        self.domain.hotplug.unplug = fake_devices.Unplug.IGNORE
        self.journal.begin(
            'detach', uuid=self.spec.uuid, name=self.spec.name,
            **unplug.noted(KEY, [self.attachment()])).release()

        self.driver.power_off(self.spec)
        self.driver._parts.operations.recovery.wake()

        self.wait_for(self.nowhere())

    def reboot(self) -> None:
        self.driver.reboot(instance_spec.InstanceRef(
            self.spec.uuid, self.spec.name), guest_spec.RebootType.HARD)

    def stopped(
            self, wait: Callable[[], object],
            stop: Callable[[], object]) -> list[object]:
        """Stop the guest while it is waited for; return what that raised."""
        self.domain.hotplug.unplug = fake_devices.Unplug.IGNORE
        self.domain.hotplug.asked.clear()

        def stop_then() -> None:
            fake_ports.wait_until(
                lambda: bool(self.domain.hotplug.asked), 'asked')
            stop()

        error, none = fake_ports.run_threads([wait, stop_then])
        self.assertIsNone(none)
        return [error]


class KilledTest(test_devices.DeviceTestCase):
    """A process was killed at some point; another one finds the journal."""

    def test_whatever_there_is_of_the_device_goes(self) -> None:
        for operation in ('attach', 'detach'):
            for state in (
                    {}, {'connected': True},
                    {'connected': True, 'live': True},
                    {'connected': True, 'defined': True},
                    {'connected': True, 'defined': True, 'live': True},
                    self.everywhere()):
                with self.subTest(operation=operation, state=state):
                    self.arrange(**state)
                    self.journal.begin(
                        operation, uuid=self.spec.uuid, name=self.spec.name,
                        **unplug.noted(KEY, [self.attachment()])
                    ).release()

                    self.driver._parts.operations.recovery.wake()

                    self.wait_for(self.nowhere())

    def test_a_start_after_a_boot_of_the_host_has_no_half_of_it(self) -> None:
        self.arrange(defined=True)
        self.driver.power_off(self.spec)
        with mock.patch.object(records, 'boot_id', lambda: 'a former one'):
            self.journal.begin(
                'attach', uuid=self.spec.uuid, name=self.spec.name,
                **unplug.noted(KEY, [])).release()
        self.driver._parts.operations.recovery.wake()
        fake_ports.wait_until(lambda: not self.journal.notes(), 'ended')
        self.assertTrue(self.element())

        self.driver.power_on(self.spec)

        self.assertEqual(self.nowhere(), self.state())

    def test_saved_memory_has_it_after_a_boot_of_the_host_too(self) -> None:
        self.arrange(defined=True, live=True)
        self.driver.suspend(self.spec)
        with mock.patch.object(records, 'boot_id', lambda: 'a former one'):
            self.journal.begin(
                'attach', uuid=self.spec.uuid, name=self.spec.name,
                **unplug.noted(KEY, [])).release()
        note, = self.journal.notes()

        self.driver._parts.operations.recovery.clean_up(
            self.spec.uuid, note.id, force=False)

        self.assertEqual([note], self.journal.notes())

    def test_what_a_boot_may_leave_of_it_is_told_by_its_attachments(
            self) -> None:
        lasting, fleeting = self.attachment(), self.attachment()
        fleeting.is_fleeting = True
        for found, attachments in (
                (False, []), (False, [fleeting]), (True, [lasting]),
                (True, [fleeting, lasting])):
            with self.subTest(attachments=attachments):
                self.assertEqual(
                    found, unplug.noted(KEY, attachments)['lasting'])

    def test_what_the_service_has_forgotten_is_disconnected(self) -> None:
        self.arrange(connected=True)
        attachment = self.attachment()
        attachment.memo = {'path': attachment.name}
        self.forgotten = True
        self.journal.begin(
            'detach', uuid=self.spec.uuid, name=self.spec.name,
            **unplug.noted(KEY, [attachment])).release()

        self.driver._parts.operations.recovery.wake()

        self.wait_for(self.nowhere())

    def arrange(
            self, *, connected: bool = False, defined: bool = False,
            live: bool = False, recorded: bool = False,
            **fields: Any) -> None:
        self.attach()
        domain = self.domain
        if not connected:
            os.unlink(os.path.join(self.outside, 'volume'))
        alias = KEY.alias
        if not defined:
            domain.definition = fake_devices.without(
                domain.definition, alias)
        if not live:
            domain.live = fake_devices.without(domain.live, alias)
        if not recorded:
            self.driver._parts.storage.specs.note(
                self.spec, lambda spec: spec.without_device(KEY))
