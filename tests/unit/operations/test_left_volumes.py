# SPDX-License-Identifier: Apache-2.0

"""Volumes that the host was left connected to, and what becomes of them."""

import json
import pathlib
from typing import Any

from nova_libvirt_driver import ports
from nova_libvirt_driver.spec import instance as instance_spec
from tests import owners
from tests.unit.operations import test_volumes

FIRST, SECOND = test_volumes.FIRST, test_volumes.SECOND
info, volume = test_volumes.info, test_volumes.volume


class LeftTest(test_volumes.VolumesTestCase):

    def setUp(self) -> None:
        super().setUp()
        self.spawn()
        self.connector.refused.add(FIRST)

    def leave(self) -> None:
        """Remove the guest, and leave the host connected."""
        self.destroy()
        self.assertEqual(1, len(self.entries()))
        self.connector.refused.clear()
        self.connector.forced.clear()

    def retry(self) -> None:
        """Do anything else with the instance."""
        self.driver.destroy(self.spec)

    def record(self, **changes: Any) -> None:
        """Change what is written down of the volume."""
        path, = pathlib.Path(self.instances_path).glob(
            f'.volumes/*/{FIRST}.json')
        path.write_text(json.dumps(
            {**json.loads(path.read_text()), **changes}))

    def test_what_was_connected_again_stays_so(self) -> None:
        self.leave()
        self.connector.refused.add(FIRST)
        self.spawn()
        self.connector.refused.clear()

        self.driver.power_off(self.spec)

        self.assertEqual([FIRST], self.connector.connected())
        self.assertEqual([], self.entries())

    def test_one_that_its_guest_has_by_another_driver_stays(self) -> None:
        self.leave()
        path = str(pathlib.Path(self.devices, FIRST))
        self.connector.refused.add(FIRST)
        self.spawn(volume(info(SECOND, 'local', device_path=path)))
        self.connector.refused.clear()

        self.driver.pause(self.spec)

        self.assertEqual([FIRST], self.connector.connected())
        self.assertEqual([], self.entries())

    def test_one_whose_serial_number_another_has_after_a_swap_goes(
            self) -> None:
        self.leave()
        self.connector.refused.add(FIRST)
        self.spawn(volume({**info(SECOND), 'serial': FIRST}))
        self.connector.refused.clear()

        self.driver.pause(self.spec)

        self.assertEqual([SECOND], self.connector.connected())

    def test_one_that_another_guest_has_by_now_stays_connected(self) -> None:
        self.leave()
        other = self.guest('two')
        self.spawn(spec=other)

        self.retry()

        self.assertEqual([FIRST], self.connector.connected())
        self.assertEqual([], self.entries())

    def test_a_name_that_is_another_volumes_by_now_is_left_alone(
            self) -> None:
        self.leave()
        other = self.guest('two')
        self.connector.names[SECOND] = FIRST
        self.spawn(volume(info(SECOND)), spec=other)
        self.driver.power_off(other)

        self.retry()

        self.assertEqual([], self.connector.forced)
        self.assertEqual([FIRST], self.connector.connected())
        self.assertEqual([], self.entries())

    def test_after_a_boot_nothing_of_it_is_there(self) -> None:
        self.leave()
        self.record(boot='earlier')

        self.retry()

        # A number that was this volume's may be another's.
        self.assertEqual([], self.connector.forced)
        self.assertEqual([], self.entries())

    def test_what_says_who_it_is_and_is_gone_is_not_looked_for(self) -> None:
        self.leave()
        self.record(wwn='3600140')

        self.retry()

        self.assertEqual([], self.connector.forced)
        self.assertEqual([], self.entries())

    def test_one_of_a_lost_instance_is_disconnected_all_the_same(
            self) -> None:
        self.leave()
        owners.journal(self.instances_path, owners.THERE).supersede(
            self.spec.uuid)

        self.retry()

        self.assertEqual([], self.connector.connected())
        self.assertEqual([], self.entries())

    def test_a_connection_that_makes_no_sense_holds_up_nothing(self) -> None:
        self.leave()
        entry, = self.entries()
        self.clean_up(entry.id)
        self.journal.begin(
            'disconnect volume', uuid=self.spec.uuid, name=self.spec.name,
            info={'driver_volume_type': 'iscsi'}).release()

        self.driver.spawn(self.spec)

        self.assertEqual(1, len(self.entries()))

    def test_by_force_it_is_forgotten_and_told_of(self) -> None:
        self.leave()
        self.connector.refused.add(FIRST)
        entry, = self.entries()

        self.clean_up(entry.id)

        self.assertEqual([], self.entries())
        self.assertRegex(
            self.log.output, 'disconnect volume is forgotten, though: '
            f'the host is still connected to volume {FIRST}: .* path is down')

    def test_that_of_another_host_is_not_disconnected_here(self) -> None:
        owners.journal(self.instances_path, owners.THERE).begin(
            'disconnect volume', uuid=self.spec.uuid, name=self.spec.name,
            info=info()).release()
        entry, = self.entries()

        self.clean_up(entry.id)

        self.assertEqual([], self.entries())
        self.assertEqual([], self.connector.forced)
        self.assertIn(f'host there with fake:/// may still be connected to '
                      f'volume {FIRST}', self.log.output)

    def clean_up(self, entry_id: str) -> None:
        self.driver.clean_up_operation(self.spec.uuid, entry_id, force=True)


class LostTest(test_volumes.VolumesTestCase):
    """Another host has the instance by now."""

    def attachment_of(
            self, instance: instance_spec.Instance, name: str,
            memo: ports.Memo | None) -> ports.Attachment | None:
        return self.attachment()

    def test_a_device_of_an_interrupted_verb_is_disconnected(self) -> None:
        for operation, names in (
                ('attach', ['volume']), ('detach', ['volume']),
                ('swap', ['volume', 'volume'])):
            self.spawn()
            self.journal.begin(
                operation, uuid=self.spec.uuid, name=self.spec.name,
                disk={'serial': FIRST}, attachments=names, memos={},
                source='').release()
            owners.journal(self.instances_path, owners.THERE).supersede(
                self.spec.uuid)

            self.driver.destroy(self.spec)

            self.assertEqual([], self.connector.connected())
            self.assertEqual([], self.journal.notes())

    def test_by_force_the_guest_of_this_host_stays(self) -> None:
        self.spawn()
        owners.journal(self.instances_path, owners.THERE).begin(
            'spawn', uuid=self.spec.uuid, name=self.spec.name).release()
        self.journal.supersede(self.spec.uuid)
        entry, = self.journal.notes()

        self.driver.clean_up_operation(
            self.spec.uuid, entry.id, force=True)

        self.assertEqual([], self.journal.notes())
        self.assertTrue(self.hypervisor.guests[0].active)


class StaleTest(test_volumes.VolumesTestCase):

    def test_a_name_of_before_a_boot_reaches_no_connector(self) -> None:
        told = info(device_path='/dev/null')
        self.spawn(volume(told))
        self.driver.power_off(self.spec)
        record, = pathlib.Path(self.instances_path).glob('.volumes/*/*.json')
        record.write_text(json.dumps(
            {**json.loads(record.read_text()), 'boot': 'earlier'}))

        self.destroy(volume(told))

        self.assertNotIn('device_path', self.connector.told[0])
        self.assertIn('device_path', told['data'])
        self.assert_nothing_left()

    def test_the_device_of_another_volume_is_left_to_it(self) -> None:
        other = self.guest('two')
        self.spawn(volume(info(SECOND)), spec=other)
        self.driver.power_off(other)
        self.connector.names[FIRST] = SECOND
        self.connector.at = self.lose

        self.assertRaises(
            RuntimeError, self.spawn, volume(info(encrypted=True)))

        self.assertEqual([SECOND], self.connector.connected())

    def lose(self, point: str) -> None:
        if point == 'unlock':
            raise RuntimeError(point)
