# SPDX-License-Identifier: Apache-2.0

"""What becomes of connections when the process is killed within a verb."""

import os
import pathlib

import fixtures

from nova_libvirt_driver import ports
from nova_libvirt_driver.spec import guest as guest_spec
from nova_libvirt_driver.spec import instance as instance_spec
from nova_libvirt_driver.testing import fake_attachment
from tests.functional import killed
from tests.functional import kills

State = instance_spec.PowerState

POINTS = ('prepare', 'connected', 'started')
STARTS = {
    'power_on': 'power_off', 'reboot': None, 'resume': 'suspend',
    'resume_state_on_host_boot': 'power_off', 'rescue': None,
    'unrescue': 'rescue'}
"""Verbs that start a guest, and what comes before them."""


class AttachmentTest(kills.KillTestCase):

    def setUp(self) -> None:
        self.outside = self.useFixture(fixtures.TempDir()).path
        super().setUp()
        self.image_source = self.store
        self.driver = self.make_guest_driver()

    def attachment(
            self, name: str = 'network', point: str = ''
    ) -> fake_attachment.FakeAttachment:
        """Return one that fails when it reaches a point."""
        return fake_attachment.FakeAttachment(
            os.path.join(self.outside, name), fake_attachment.failing(point))

    def attachments_of(
            self, instance: instance_spec.Instance) -> ports.Attachments:
        return [self.attachment()]

    def kill(self, verb: str, spec: guest_spec.GuestSpec, point: str) -> None:
        """Have a verb killed when its attachment reaches a point."""
        self.assertTrue(self.run_verb(
            verb, spec, point, [os.path.join(self.outside, 'network')]))

    def run_here(self, verb: str, spec: guest_spec.GuestSpec) -> None:
        killed.run(self.driver, verb, spec, [self.attachment()])

    def begin(self, first: str | None) -> guest_spec.GuestSpec:
        """Return a guest to which that verb was done."""
        spec = self.guest()
        self.run_here('spawn', spec)
        if first == 'rescue':
            self.run_here('rescue', spec)
        elif first is not None:
            getattr(self.driver, first)(spec)
        return spec

    def test_a_start_that_fails_is_undone(self) -> None:
        for verb, first in STARTS.items():
            for point in ('connected', 'started'):
                with self.subTest(verb=verb, point=point):
                    spec = self.begin(first)
                    # One that was stopped for a restart stays so.
                    put_back = verb == 'rescue' and (
                        self.state(spec) is State.RUNNING)
                    both = [self.attachment(), self.attachment('second')]

                    self.assertRaises(
                        fake_attachment.Failed, killed.run, self.driver,
                        verb, spec, [self.attachment(), self.attachment(
                            'second', point)])

                    self.assertEqual(
                        put_back, self.state(spec) is State.RUNNING)
                    self.assertEqual(
                        ['network', 'second'] if put_back else ['network'],
                        sorted(os.listdir(self.outside)))
                    self.run_here('power_on' if verb == 'rescue' else verb,
                                  spec)
                    self.assertIs(State.RUNNING, self.state(spec))
                    killed.run(self.driver, 'destroy', spec, both)

    def test_a_spawn_is_disconnected_by_the_next_process(self) -> None:
        spec = self.guest()
        (self.instances_path / '.operations').mkdir()
        before = self.look_at_host()

        for point in fake_attachment.POINTS:
            self.kill('spawn', spec, point)
            self.make_guest_driver()
            self.wait_clean()

            self.assertEqual([], os.listdir(self.outside), point)
            self.assert_host_is(before)

    def test_each_start_can_be_repeated(self) -> None:
        for verb, first in STARTS.items():
            for point in POINTS:
                with self.subTest(verb=verb, point=point):
                    spec = self.begin(first)
                    before = self.look_at_guest(spec)

                    self.kill(verb, spec, point)
                    self.assert_connected()
                    if point == 'prepare':
                        self.assertEqual(before, self.look_at_guest(spec))
                    if self.state(spec) is not State.RUNNING:
                        self.run_here(verb, spec)

                    self.assertIs(State.RUNNING, self.state(spec))
                    self.assert_connected()
                    self.run_here('destroy', spec)
                    self.assertEqual([], os.listdir(self.outside))

    def test_a_removal_is_finished_by_the_next_process(self) -> None:
        spec = self.guest()
        self.run_here('spawn', spec)

        self.kill('destroy', spec, 'disconnect')
        self.make_guest_driver()
        self.wait_clean()

        self.assertEqual([], os.listdir(self.outside))
        self.assertFalse((self.instances_path / spec.uuid).exists())

    def look_at_guest(self, spec: guest_spec.GuestSpec) -> tuple[State, str]:
        return (self.state(spec),
                self.driver.get_domain_xml(spec, inactive=True))

    def assert_connected(self) -> None:
        self.assertTrue(pathlib.Path(self.outside, 'network').exists())
