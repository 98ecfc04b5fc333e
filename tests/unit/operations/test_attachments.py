# SPDX-License-Identifier: Apache-2.0

"""What verbs do with the attachments of a guest, and when they fail."""

from collections.abc import Callable
import dataclasses
import itertools
import os
import threading
from unittest import mock

import fixtures
import libvirt

from nova_libvirt_driver.compute import autostart
from nova_libvirt_driver.configurators import builder
from nova_libvirt_driver import driver as driver_module
from nova_libvirt_driver import exception
from nova_libvirt_driver import ports
from nova_libvirt_driver.spec import event as event_spec
from nova_libvirt_driver.spec import guest as guest_spec
from nova_libvirt_driver.spec import instance as instance_spec
from nova_libvirt_driver.spec import nic as nic_spec
from nova_libvirt_driver.testing import fake_attachment
from nova_libvirt_driver.testing import fake_libvirt
from nova_libvirt_driver.testing import fake_ports
from nova_libvirt_driver.testing import fake_progress
from tests.unit.operations import whole

State = instance_spec.PowerState

UP, DOWN, SAVED, RESCUED, NONE = 'up', 'down', 'saved', 'rescued', 'none'
STARTS = (
    ('spawn', NONE), ('power_on', DOWN), ('power_on', 'rescued and down'),
    ('hard reboot', UP), ('hard reboot', DOWN), ('hard reboot', SAVED),
    ('soft reboot', UP),
    ('resume', SAVED), ('resume_state_on_host_boot', DOWN),
    ('resume_state_on_host_boot', SAVED), ('rescue', UP), ('rescue', DOWN),
    ('unrescue', RESCUED))
"""Verbs that start a guest, and how it is before."""

# Of the host itself, where hardly anything listens.
ADDRESS = '127.0.22.22'
FORWARDING = nic_spec.NicSpec(
    mac='52:54:00:AB:CD:EF', kind=nic_spec.NicKind.USER,
    forwards=(nic_spec.PortForward(
        host_port=2222, guest_port=22, address=ADDRESS),))
ORDER = r'hostfwd_add hostinterface\d+ tcp:127.0.22.22:2222-:22'
NIC = nic_spec.NicSpec(
    mac='52:54:00:00:00:01', kind=nic_spec.NicKind.BRIDGE, source='br0')


class AttachmentTestCase(whole.WholeTestCase):

    def setUp(self) -> None:
        super().setUp()
        self.outside = self.useFixture(fixtures.TempDir()).path
        self.spec = self.guest()

    def attachment(
            self, at: Callable[[str], object] = lambda point: None,
            *, name: str = 'network', wait: bool = False,
    ) -> fake_attachment.FakeAttachment:
        return fake_attachment.FakeAttachment(
            os.path.join(self.outside, name), at, wait=wait)

    def connected(self) -> list[str]:
        """Return the names of what is connected."""
        return sorted(os.listdir(self.outside))

    def power_state(self) -> State:
        return self.driver.get_info(self.spec, use_cache=False).state

    def run_verb(
            self, verb: str,
            *attachments: fake_attachment.FakeAttachment) -> None:
        if verb == 'spawn':
            self.driver.spawn(self.spec, attachments=attachments)
        elif verb == 'rescue':
            self.driver.rescue(
                self.spec, self.image.id, attachments=attachments)
        elif verb.endswith('reboot'):
            self.driver.reboot(
                self.spec, guest_spec.RebootType(
                    verb.partition(' ')[0].upper()), attachments=attachments)
        else:
            getattr(self.driver, verb)(self.spec, attachments=attachments)

    def begin(self, state: str) -> None:
        """Make the guest, in that state."""
        if state == NONE:
            return
        self.driver.spawn(
            self.spec, attachments=[self.attachment()])
        if state.startswith(RESCUED):
            self.driver.rescue(self.spec, self.image.id)
        if state.endswith(DOWN):
            self.driver.power_off(self.spec)
        if state == SAVED:
            self.driver.suspend(self.spec)

    def clear(self) -> None:
        """Remove the guest with all that is connected to it."""
        self.driver.destroy(self.spec)
        for name in self.connected():
            os.unlink(os.path.join(self.outside, name))


class StartTest(AttachmentTestCase):

    def test_each_start_connects_before_the_guest_runs(self) -> None:
        for (verb, state), wait in itertools.product(STARTS, (False, True)):
            with self.subTest(verb=verb, state=state, wait=wait):
                self.begin(state)
                seen = []

                def look(point: str) -> None:
                    if point == 'started':
                        seen.append(self.power_state())

                self.run_verb(verb, self.attachment(look, wait=wait))

                held = wait and not verb.startswith('resume')
                held |= wait and state == DOWN
                self.assertEqual(
                    [State.PAUSED if held else State.RUNNING], seen)
                self.assertIs(State.RUNNING, self.power_state())
                self.assertEqual(['network'], self.connected())
                self.clear()

    def test_a_failure_leaves_connected_what_was_connected(self) -> None:
        for (verb, state), point in itertools.product(
                STARTS, fake_attachment.POINTS):
            with self.subTest(verb=verb, state=state, point=point):
                self.begin(state)
                connected, before = self.connected(), self.look()
                if (verb, state) == ('rescue', UP) and point != 'prepare':
                    # It is started again, with all of them.
                    connected = ['network', 'second', 'third']

                self.assertRaises(
                    fake_attachment.Failed, self.run_verb, verb,
                    self.attachment(), self.attachment(name='second'),
                    self.attachment(fake_attachment.failing(point),
                                    name='third', wait=True))

                self.assertEqual(connected, self.connected())
                self.assertEqual(
                    self.expected(verb, point, before), self.look())
                self.clear()

    def look(self) -> tuple[bool, bool, list[str]]:
        """Say whether the guest is up, has saved memory, and its files."""
        guest = next(iter(self.hypervisor.guests), None)
        return (guest is not None and guest.active,
                guest is not None and guest.saved, self.remains())

    def expected(
            self, verb: str, point: str, before: tuple[bool, bool, list[str]]
    ) -> tuple[bool, bool, list[str]]:
        """Return how the guest has to be after a failure.

        One that was stopped for a restart stays so.
        """
        up, saved, files = before
        if point != 'prepare' and verb in (
                'hard reboot', 'soft reboot', 'unrescue'):
            up = False
        if point == 'started' and verb == 'hard reboot':
            # It ran already, without that memory.
            saved = False
        return up, saved, files

    def test_a_start_that_fails_disconnects(self) -> None:
        for verb, state in STARTS:
            with self.subTest(verb=verb, state=state):
                self.begin(state)
                connected = self.connected()
                if (verb, state) == ('rescue', UP):
                    # It is started again, with both.
                    connected = ['network', 'second']
                self.hypervisor.fail_next(
                    'createWithFlags', OSError('no memory'))

                self.assertRaises(
                    OSError, self.run_verb, verb, self.attachment(),
                    self.attachment(name='second'))

                self.assertEqual(connected, self.connected())
                self.clear()

    def test_files_of_a_rescue_that_stay_disconnect_nothing(self) -> None:
        self.begin(RESCUED)
        os.unlink(os.path.join(self.outside, 'network'))
        # What is a folder cannot be removed as a file.
        (self.folder(self.spec) / 'disk.rescue').unlink()
        (self.folder(self.spec) / 'disk.rescue').mkdir()

        self.assertRaises(
            OSError, self.run_verb, 'unrescue', self.attachment())

        self.assertIs(State.RUNNING, self.power_state())
        self.assertEqual(['network'], self.connected())

    def test_each_step_of_a_start_can_fail(self) -> None:
        for number in itertools.count(1):
            self.begin(DOWN)
            progress = fake_progress.FailingProgress(number)
            attachments = [self.attachment(name='second', wait=True)]
            if number > 8:
                break

            self.assertRaises(
                fake_progress.Stopped, self.driver.power_on, self.spec,
                progress=progress, attachments=attachments)

            self.assertEqual(
                ['network'], self.connected(), str(progress.steps))
            self.assertFalse(self.hypervisor.guests[0].active)
            self.clear()

    def test_a_guest_that_is_up_is_not_connected_again(self) -> None:
        self.begin(UP)
        seen: list[str] = []

        for verb in ('power_on', 'resume_state_on_host_boot'):
            self.run_verb(verb, self.attachment(seen.append))

        self.assertEqual([], seen)


class ForwardTest(AttachmentTestCase):

    def setUp(self) -> None:
        super().setUp()
        self.orders: list[str] = []
        self.answer = ''
        self.at_order: Callable[[], object] = lambda: None
        self.spec = self.guest(nics=(FORWARDING,))
        self.useFixture(fixtures.MonkeyPatch(
            'libvirt_qemu.qemuMonitorCommand', self.order))

    def order(self, domain: object, command: str, flags: int) -> str:
        self.orders.append(command)
        self.at_order()
        return self.answer

    def test_each_start_forwards_the_ports(self) -> None:
        for verb, state in STARTS:
            with self.subTest(verb=verb, state=state):
                self.begin(state)
                self.orders.clear()

                self.run_verb(verb)

                self.assertRegex(' '.join(self.orders), f'^{ORDER}$')
                self.clear()

    def test_a_rescue_that_is_undone_forwards_them_again(self) -> None:
        self.begin(UP)
        self.orders.clear()
        self.hypervisor.fail_next('createWithFlags', OSError('no memory'))

        self.assertRaises(OSError, self.run_verb, 'rescue')

        self.assertIs(State.RUNNING, self.power_state())
        self.assertRegex(' '.join(self.orders), f'^{ORDER}$')

    def test_a_marked_guest_outlives_a_port_that_was_taken(self) -> None:
        self.begin(DOWN)
        self.driver.set_autostart(self.spec, enabled=True)
        self.driver.note_autostart(self.spec, stopped=False)
        self.hypervisor.guests[0].reason = libvirt.VIR_DOMAIN_SHUTOFF_CRASHED
        keeper = autostart.Autostart(self.driver)
        self.addCleanup(keeper.stop, 5)
        details = []
        heard = threading.Event()
        self.answer = 'could not set up'

        def hear(event: event_spec.LifecycleEvent) -> None:
            details.append(event.detail)
            keeper.note(event)
            heard.set()

        # Libvirt tells of a start before QEMU is asked for ports.
        self.at_order = lambda: heard.wait(20)

        self.driver.register_event_listener(hear)
        keeper.begin()
        fake_ports.wait_until(
            lambda: 'failed' in details, 'the undo of a start')
        self.answer = ''

        fake_ports.wait_until(
            lambda: self.power_state() is State.RUNNING, 'the next start',
            timeout_s=60)

    def test_an_interface_is_found_by_its_id_first(self) -> None:
        self.spec = self.guest(nics=(
            dataclasses.replace(FORWARDING, id='a', forwards=()),
            dataclasses.replace(FORWARDING, id='b')))

        self.run_verb('spawn')

        self.assertEqual(
            ['hostfwd_add hostua-b tcp:127.0.22.22:2222-:22'], self.orders)

    def test_an_interface_that_qemu_has_not_is_named(self) -> None:
        self.begin(DOWN)
        self.orders.clear()
        self.hypervisor.guests[0].hotplug.aliases = False

        error = self.assertRaises(
            exception.WrongState, self.run_verb, 'power_on')

        self.assertIn('has no interface 52:54:00:ab:cd:ef', str(error))
        self.assertEqual([], self.orders)


class SpawnTest(AttachmentTestCase):

    def test_what_is_known_only_then_comes_into_the_guest(self) -> None:
        attachment = fake_attachment.FakeAttachment(
            os.path.join(self.outside, 'network'),
            change=lambda spec: dataclasses.replace(spec, nics=(NIC,)))
        progress = fake_progress.RecordingProgress()

        self.driver.spawn(
            self.spec, attachments=[attachment], progress=progress)

        steps = progress.steps
        self.assertLess(steps.index('disks'), steps.index('prepare network'))
        self.assertLess(
            steps.index('prepare network'), steps.index('define'))
        self.assertIn(NIC.mac, self.driver.get_domain_xml(self.spec))
        self.assertEqual((NIC,), self.driver.get_spec(self.spec).nics)

    def test_the_xml_is_built_again_only_if_it_changes(self) -> None:
        for number, change in (
                (1, lambda spec: spec),
                (2, lambda spec: dataclasses.replace(spec, nics=(NIC,)))):
            with mock.patch.object(
                    builder, 'build', wraps=builder.build) as build:
                self.driver.spawn(self.spec, attachments=[
                    fake_attachment.FakeAttachment(
                        os.path.join(self.outside, 'network'),
                        change=change)])
            self.clear()

            self.assertEqual(number, build.call_count)

    def test_each_step_leaves_nothing_when_it_fails(self) -> None:
        number, failed = 1, True
        while failed:
            progress = fake_progress.FailingProgress(number)
            attachments = [self.attachment(wait=True)]
            try:
                self.driver.spawn(
                    self.spec, progress=progress, attachments=attachments)
            except fake_progress.Stopped:
                self.assertEqual(
                    ([], [], []),
                    (self.names(), self.remains(), self.connected()),
                    str(progress.steps))
            failed = progress.raised
            number += 1

        self.assertGreater(number, 11)
        self.assertEqual(['network'], self.connected())


class RemovalTest(AttachmentTestCase):

    def test_a_guest_is_disconnected_when_it_is_gone(self) -> None:
        for verb in ('destroy', 'cleanup'):
            self.begin(UP)

            def look(point: str) -> None:
                self.assertEqual([], self.names())

            for _ in range(2):
                self.run_verb(verb, self.attachment(look))

            self.assertEqual([], self.connected())

    def test_one_failure_is_raised_and_the_rest_disconnected(self) -> None:
        self.begin(UP)

        self.assertRaises(
            fake_attachment.Failed, self.run_verb, 'destroy',
            self.attachment(), self.attachment(
                fake_attachment.failing('disconnect'), name='broken'))

        self.assertEqual([], self.connected())
        self.assertFalse(self.folder(self.spec).exists())
        self.run_verb('destroy')
        self.assertEqual(([], []), (self.names(), self.remains()))

    def test_files_that_stay_do_not_keep_a_guest_connected(self) -> None:
        self.begin(UP)
        # What is not a folder cannot be removed as one.
        self.folder(self.spec).rename(self.folder(self.spec).with_name('old'))
        self.folder(self.spec).touch()

        self.assertRaises(exception.StorageFailure, self.run_verb, 'destroy',
                          self.attachment())

        self.assertEqual(([], []), (self.names(), self.connected()))

    def test_a_stop_disconnects_nothing(self) -> None:
        self.begin(UP)

        self.driver.suspend(self.spec)
        self.driver.power_off(self.spec)

        self.assertEqual(['network'], self.connected())

    def test_a_foreign_guest_stays_connected(self) -> None:
        foreign = self.hypervisor.add_guest('foreign')
        seen: list[str] = []

        self.assertRaises(
            exception.ForeignDomain, self.driver.destroy,
            instance_spec.InstanceRef(foreign.uuid, 'foreign'),
            attachments=[self.attachment(seen.append)])

        self.assertEqual([], seen)


class InterruptedTest(AttachmentTestCase):
    """The service says what an interrupted instance is connected to."""

    fails_at = ''

    def setUp(self) -> None:
        super().setUp()
        self.seen: list[str] = []

    def attachments_of(
            self, instance: instance_spec.Instance) -> ports.Attachments:
        self.assertEqual(self.spec.uuid, instance.uuid)
        fail = fake_attachment.failing(self.fails_at)

        def at(point: str) -> None:
            self.seen.append(point)
            fail(point)

        return [self.attachment(at)]

    def interrupt(self, operation: str) -> None:
        """Leave an entry of a process that has died."""
        self.journal.begin(
            operation, uuid=self.spec.uuid, name=self.spec.name,
            was_up=True).release()

    def test_a_guest_half_made_is_disconnected(self) -> None:
        self.begin(UP)
        self.interrupt('spawn')

        self.run_verb('destroy')
        self.assertEqual([], self.connected())

        self.begin(UP)
        self.interrupt('spawn')
        self.assertRaises(
            fake_attachment.Failed, self.run_verb, 'spawn', self.attachment(
                fake_attachment.failing('prepare')))

        self.assertEqual(([], []), (self.connected(), self.remains()))

    def test_the_journal_names_what_a_guest_is_connected_to(self) -> None:
        seen: list[object] = []

        def look(point: str) -> None:
            if point == 'prepare':
                seen.extend(note.values['attachments']
                            for note in self.journal.notes())

        for verb in ('spawn', 'hard reboot', 'rescue'):
            self.run_verb(verb, self.attachment(look))

        self.assertEqual([['network']] * 3, seen)

    def test_who_does_not_know_its_networks_ends_nothing(self) -> None:
        self.begin(UP)
        self.journal.begin(
            'spawn', uuid=self.spec.uuid, name=self.spec.name,
            attachments=['network']).release()
        note, = self.journal.notes()
        command = driver_module.LibvirtDriver(
            fake_ports.virt_api(images=self.images, attachments=None))
        self.addCleanup(command.cleanup_host, 'here')

        error = self.assertRaises(
            exception.WrongState, command.pause, self.spec)

        self.assertIn('only its service knows: network', str(error))
        self.assertIs(State.RUNNING, self.power_state())
        command.clean_up_operation(self.spec.uuid, note.id, force=True)
        self.assertEqual(([], []), (self.names(), self.remains()))

    def test_a_guest_half_removed_is_disconnected(self) -> None:
        self.begin(UP)
        self.assertRaises(
            fake_attachment.Failed, self.run_verb, 'destroy',
            self.attachment(fake_attachment.failing('disconnect')))
        self.assertEqual(['network'], self.connected())

        self.driver.spawn(self.spec)

        self.assertEqual([], self.connected())

    def test_it_keeps_what_was_not_to_be_disconnected(self) -> None:
        self.begin(UP)
        self.hypervisor.fail_next('undefineFlags', OSError('no luck'))
        self.assertRaises(OSError, self.run_verb, 'destroy')
        self.hypervisor.guests.clear()

        self.make_driver()
        fake_ports.wait_until(lambda: not self.remains(), 'the removal')

        self.assertEqual(['network'], self.connected())

    def test_a_guest_half_rebooted_is_connected_and_started(self) -> None:
        self.begin(DOWN)
        os.unlink(os.path.join(self.outside, 'network'))
        self.interrupt('reboot')

        self.driver.pause(self.spec)

        self.assertEqual(['network'], self.connected())
        self.assertIs(State.PAUSED, self.power_state())

    def test_a_guest_half_rescued_is_connected_and_started(self) -> None:
        self.begin(RESCUED)
        os.unlink(os.path.join(self.outside, 'network'))
        self.interrupt('rescue')

        self.driver.pause(self.spec)

        self.assertEqual(['network'], self.connected())
        self.assertIs(State.PAUSED, self.power_state())

    def test_one_that_cannot_be_connected_is_left_to_its_user(self) -> None:
        for (operation, state, words), self.fails_at in itertools.product((
                ('rescue', RESCUED, 'because it cannot be started'),
                ('reboot', DOWN, 'stays stopped')), ('prepare', 'connect')):
            self.begin(state)
            self.interrupt(operation)

            self.driver.power_on(self.spec)

            self.assertIs(State.RUNNING, self.power_state())
            self.assertRegex(self.log.output, f'{words}.*: {self.fails_at}')
            self.clear()

    def test_it_is_prepared_before_it_is_connected(self) -> None:
        for operation, state in (('rescue', RESCUED), ('reboot', DOWN)):
            self.begin(state)
            self.interrupt(operation)
            self.seen.clear()

            self.driver.pause(self.spec)

            self.assertEqual([*fake_attachment.POINTS], self.seen)
            self.clear()

    def test_one_that_cannot_be_started_is_disconnected(self) -> None:
        for (operation, state), recorded in itertools.product(
                (('rescue', RESCUED), ('reboot', DOWN)), (True, False)):
            self.begin(state)
            os.unlink(os.path.join(self.outside, 'network'))
            if not recorded:
                (self.folder(self.spec) / 'guest.json').unlink()
            self.interrupt(operation)
            self.hypervisor.fail_next('createWithFlags', OSError('no luck'))

            self.driver.power_off(self.spec)

            self.assertEqual([], self.connected())
            self.assertIs(State.SHUTDOWN, self.power_state())
            self.clear()

    def test_one_that_cannot_be_started_is_left_to_its_user(self) -> None:
        self.begin(RESCUED)
        self.interrupt('rescue')
        self.hypervisor.fail_next(
            'createWithFlags', fake_libvirt.libvirt_error(
                libvirt.VIR_ERR_OPERATION_FAILED, libvirt.VIR_FROM_QEMU,
                'the secret is missing'))

        self.driver.power_on(self.spec)

        self.assertIs(State.RUNNING, self.power_state())
        self.assertIn('the secret is missing', self.log.output)
        self.assertNotIn(f'{self.spec.uuid}/disk.rescue', self.remains())
