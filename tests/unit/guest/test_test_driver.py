# SPDX-License-Identifier: Apache-2.0

"""Handles on guests of libvirt's own test driver, which is in the process."""

import pathlib

import fixtures

from nova_libvirt_driver import exception
from nova_libvirt_driver.operations.steps import shutdown
from nova_libvirt_driver import ports
from nova_libvirt_driver.spec import instance as instance_spec
from nova_libvirt_driver.testing import fake_xml
from nova_libvirt_driver.testing import guests as guests_rig
from tests import base
from tests import guests
from tests.unit.guest import handles

_State = instance_spec.PowerState


class TestDriverTest(base.TestCase):

    def setUp(self) -> None:
        super().setUp()
        node = pathlib.Path(
            self.useFixture(fixtures.TempDir()).path, 'node.xml')
        node.write_text('<node/>')
        self.reached = self.useFixture(
            guests.GuestsFixture(f'test://{node}'))
        self.guests = self.reached.guests
        self.guest = self.guests.define(fake_xml.with_metadata(
            guests_rig.guest_xml_for_test_driver('one', uuid=handles.UUID),
            '<instance><name>web</name></instance>', 'nova', fake_xml.NOVA),
            handles.INSTANCE)

    def test_guest_goes_through_its_states(self) -> None:
        seen = []

        for act in (self.guest.start, self.guest.pause, self.guest.resume,
                    self.guest.save, self.guest.start, self.guest.destroy,
                    self.guest.destroy):
            act()
            seen.append(self.guest.state().power)

        self.assertEqual([
            _State.RUNNING, _State.PAUSED, _State.RUNNING, _State.SHUTDOWN,
            _State.RUNNING, _State.SHUTDOWN, _State.SHUTDOWN], seen)

    def test_wrong_states_are_told(self) -> None:
        # The test driver calls them internal errors.
        for act in (self.guest.pause, self.guest.resume, self.guest.save,
                    self.guest.shutdown):
            self.assertRaises(exception.WrongState, act)

    def test_guest_shuts_down_when_it_is_asked_to(self) -> None:
        self.guest.start()

        self.guest.shutdown(button=True)
        self.assertFalse(self.guest.is_active())
        self.guest.start()

        self.assertTrue(shutdown.run(
            self.guest, 5, 1, ports.NullProgress()))

    def test_guest_is_listed_renamed_and_undefined(self) -> None:
        self.assertTrue(self.guests.is_test_driver())
        self.guest.set_display_name('db')
        self.assertEqual(
            [('one', True, 'db')],
            [(entry.name, entry.owned, entry.display_name)
             for entry in self.reached.inventory.summaries()])

        self.guest.undefine(keep_state=False)

        self.assertEqual([], self.reached.inventory.summaries())

    def test_what_it_lacks_is_not_supported(self) -> None:
        self.guest.start()

        for act in (self.guest.abort_job, self.guest.disk('vda').job):
            self.assertRaises(exception.UnsupportedOperation, act)
