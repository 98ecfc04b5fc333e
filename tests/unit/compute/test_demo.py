# SPDX-License-Identifier: Apache-2.0

"""The demonstration, with a driver that keeps its guests in memory."""

from collections.abc import Callable
import contextlib
import dataclasses
import os
import pathlib
import tempfile
from typing import TypeVar

import fixtures

from nova_libvirt_driver.compute import demo
from nova_libvirt_driver import exception
from nova_libvirt_driver import ports
from nova_libvirt_driver.spec import event as event_spec
from nova_libvirt_driver.spec import guest as guest_spec
from nova_libvirt_driver.spec import host as host_spec
from nova_libvirt_driver.testing import fake_guest_driver
from tests import base

T = TypeVar('T')


class End(Exception):
    """Somebody has pressed Ctrl-C."""


class Driver(fake_guest_driver.GuestDriver):
    """Has guests that print the line, on a hypervisor of any type."""

    hypervisor_type = 'QEMU'
    noted = ''

    def get_host_facts(self) -> host_spec.HostFacts:
        return dataclasses.replace(
            super().get_host_facts(), uri=self.hypervisor_uri,
            hypervisor_type=self.hypervisor_type)

    def spawn(
            self, spec: guest_spec.GuestSpec, *,
            images: ports.ImageSource | None = None, power_on: bool = True,
            progress: ports.Progress = ports.NullProgress(),
            attachments: ports.Attachments = (),
            config_drive: ports.DriveOf | None = None) -> None:
        self.noted = ''.join(path.read_text() for path in pathlib.Path(
            tempfile.gettempdir()).glob('nova-libvirt-demo-*/guest.json'))
        super().spawn(spec, progress=progress)
        self.consoles[spec.uuid] = [b'', f'{demo.MESSAGE}\r\n'.encode()]


class Audience:
    """Remembers the lines; asks for the end before one piece of work."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.ends_at = -1
        self.works = 0

    def next_event(
            self, timeout_s: float) -> event_spec.LifecycleEvent | None:
        return None

    def wait_for(self, work: Callable[[], T]) -> T:
        if self.works == self.ends_at:
            raise End
        self.works += 1
        return work()

    def print(self, line: str) -> None:
        self.lines.append(line)

    def steps(self) -> list[str]:
        return [line.split()[0] for line in self.lines]


class DemoTestCase(base.TestCase):

    def setUp(self) -> None:
        super().setUp()
        self.driver = Driver()
        self.audience = Audience()
        self.folder = self.useFixture(fixtures.TempDir()).path
        self.useFixture(fixtures.MonkeyPatch('tempfile.tempdir', self.folder))

    def run_demo(self, *, keep: bool = False) -> None:
        with contextlib.ExitStack() as self.until_end:
            demo.run(self.driver, self.audience, demo.Terms(
                events=False, keep=keep, client='client'), self.until_end)
            self.kept = len(self.driver.instances)

    def test_the_guest_is_noted_before_it_is_made(self) -> None:
        self.run_demo()

        self.assertIn('demo-', self.driver.noted)

    def test_every_step_is_told_with_its_time(self) -> None:
        self.run_demo()

        self.assertEqual(
            ['image', 'spawn', 'console', 'snapshot', 'destroy'],
            self.audience.steps())
        for line in self.audience.lines:
            self.assertRegex(line, r'^  \w+ +\S.* in \d+\.\d s$')
        self.assertEqual(
            ['spawn', 'snapshot', 'destroy'], self.driver.verb_names())
        self.assertEqual([], os.listdir(self.folder))

    def test_the_test_hypervisor_has_neither_console_nor_snapshot(
            self) -> None:
        self.driver.hypervisor_type = 'Test'

        self.run_demo()

        self.assertEqual(['spawn', 'destroy'], self.driver.verb_names())
        self.assertEqual(2, sum(
            'left out: ' in line for line in self.audience.lines))

    def test_a_step_that_fails_leaves_nothing(self) -> None:
        for verb in ('spawn', 'snapshot'):
            self.driver.failing = {
                verb: exception.StorageFailure(reason='no room')}

            self.assertRaises(exception.StorageFailure, self.run_demo)

            self.assertEqual([], self.driver.instances)
            self.assertEqual('destroy', self.driver.verb_names()[-1])
            self.assertEqual([], os.listdir(self.folder))

    def test_one_that_is_interrupted_anywhere_leaves_nothing(self) -> None:
        self.run_demo()
        for number in range(self.audience.works):
            self.audience = Audience()
            self.audience.ends_at = number

            self.assertRaises(End, self.run_demo)

            self.assertEqual([], self.driver.instances)
            self.assertEqual([], os.listdir(self.folder))

    def test_a_guest_that_cannot_be_removed_hides_no_error(self) -> None:
        log = self.useFixture(fixtures.FakeLogger())
        self.driver.failing = {
            'snapshot': exception.StorageFailure(reason='no room'),
            'destroy': exception.WaitTimeout(awaited='it', timeout_s=1)}

        self.assertRaises(exception.StorageFailure, self.run_demo)

        self.assertIn('could not be removed', log.output)

    def test_a_kept_guest_stays_and_it_is_said_how_to_delete_it(
            self) -> None:
        self.driver.hypervisor_uri = 'qemu:///system'

        self.run_demo(keep=True)

        guest, = self.driver.instances
        self.assertEqual(f'    client server delete {guest.name}',
                         self.audience.lines[-1])
        self.assertEqual([], os.listdir(self.folder))

    def test_a_kept_guest_of_this_process_goes_at_its_end(self) -> None:
        self.driver.hypervisor_uri = 'test:///default'
        self.driver.hypervisor_type = 'TEST'

        self.run_demo(keep=True)

        self.assertEqual((1, []), (self.kept, self.driver.instances))
        self.assertIn('until this process ends', self.audience.lines[-2])

    def test_a_verb_that_is_to_give_up_does_so_at_its_next_step(
            self) -> None:
        cancel = demo.Cancel()
        cancel.step('one')
        cancel.wanted = True

        self.assertRaises(demo.Cancelled, cancel.step, 'two')
        self.assertRaises(demo.Cancelled, cancel.advance, 1, 2)
