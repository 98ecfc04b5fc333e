# SPDX-License-Identifier: Apache-2.0

"""Volumes of which the service says how another host has them."""

import json
import pathlib
from typing import Any

import fixtures

from nova_libvirt_driver.operations.steps import attached
from nova_libvirt_driver import ports
from nova_libvirt_driver.spec import instance as instance_spec
from nova_libvirt_driver.spec import volume as volume_spec
from tests.unit.operations import test_volumes

FIRST, SECOND = test_volumes.FIRST, test_volumes.SECOND
info, volume = test_volumes.info, test_volumes.volume
HERE, THERE = 1, 7
"""Numbers of the volume on the two hosts."""


def elsewhere(**data: Any) -> volume_spec.Volume:
    """Return the volume as the other host has it."""
    return volume(info(target_lun=THERE, device_path='/dev/null', **data))


class ElsewhereTest(test_volumes.VolumesTestCase):

    def record(self) -> pathlib.Path:
        path, = pathlib.Path(self.instances_path).glob('.volumes/*/*.json')
        return path

    def attachments_of(
            self, instance: instance_spec.Instance) -> ports.Attachments:
        return [self.attachment(elsewhere())]

    def assert_disconnected_here(self) -> None:
        self.assertEqual({HERE}, {
            data['target_lun'] for data in self.connector.told})
        self.assertNotEqual(
            '/dev/null', self.connector.told[0].get('device_path'))
        self.assert_nothing_left()

    def test_the_host_ends_what_it_has_connected(self) -> None:
        self.spawn()

        self.destroy(elsewhere())

        self.assert_disconnected_here()

    def test_so_it_does_after_a_boot(self) -> None:
        self.spawn()
        self.record().write_text(json.dumps({
            **json.loads(self.record().read_text()), 'boot': 'earlier'}))

        self.destroy(elsewhere())

        self.assertNotIn('device_path', self.connector.told[0])
        self.assert_disconnected_here()

    def test_so_it_does_when_it_has_to_be_tried_again(self) -> None:
        self.spawn()
        self.connector.refused.add(FIRST)
        self.destroy(elsewhere())
        self.connector.told.clear()
        self.connector.refused.clear()

        self.destroy(volume(info(SECOND)))

        self.assert_disconnected_here()

    def test_so_it_does_when_a_verb_was_interrupted(self) -> None:
        for operation in ('spawn', 'receive', 'destroy', 'migrate'):
            with self.subTest(operation=operation):
                self.connector.told.clear()
                self.spawn()
                self.driver.power_off(self.spec)
                self.interrupt(operation)
                if operation in ('receive', 'migrate'):
                    self.hypervisor.remove_guest(self.hypervisor.guests[0])

                self.make_driver().destroy(self.spec)

                self.assert_disconnected_here()

    def interrupt(self, operation: str) -> None:
        self.journal.begin(
            operation, uuid=self.spec.uuid, name=self.spec.name, made=False,
            destroy_disks=True, attachments=['volumes']).release()

    def test_what_is_in_the_same_place_may_need_its_keys(self) -> None:
        self.spawn()

        self.destroy(volume(info(
            auth_password='NEW', device_path='/dev/null')))

        told, = self.connector.told
        self.assertEqual('NEW', told['auth_password'])
        self.assertNotEqual('/dev/null', told['device_path'])
        self.assert_nothing_left()

    def test_a_start_that_stops_half_way_names_no_device(self) -> None:
        def fail(point: str) -> None:
            if point == 'connect':
                raise RuntimeError(point)

        self.connector.at = fail

        self.assertRaises(RuntimeError, self.spawn, elsewhere())

        self.assertNotIn('device_path', self.connector.told[0])
        self.assert_nothing_left()

    def rewrite(self, *gone: str, **fields: Any) -> None:
        """Let the record say other things, or less, as of old."""
        said = {**json.loads(self.record().read_text()), **fields}
        for name in gone:
            del said[name]
        self.record().write_text(json.dumps(said))

    def numbers(self) -> list[int]:
        return [data['target_lun'] for data in self.connector.told]

    def test_a_former_versions_record_does_not_say(self) -> None:
        self.spawn()
        self.rewrite('info')

        self.destroy(elsewhere())

        # Not that one, which may be another volume here.
        self.assertEqual([], self.numbers())
        self.assertIn(FIRST, self.record().name)
        self.assertIn(f'not disconnected from volume {FIRST}',
                      self.log.output)
        self.destroy()
        self.assertEqual([HERE], self.numbers())
        self.assert_nothing_left()

    def test_where_the_kernel_has_it_counts_for_more(self) -> None:
        # Another driver has connected the host again since then.
        for found, known, unknown in (
                ({THERE}, [THERE], [THERE]), ({HERE, THERE}, [HERE], [THERE]),
                (set(), [HERE], [])):
            for gone, numbers in (((), known), (('info',), unknown)):
                with self.subTest(found=found, gone=gone):
                    self.connector.told.clear()
                    self.spawn()
                    self.rewrite(*gone, wwn='3600140', path='/dev/sdz')

                    with fixtures.MonkeyPatch(
                            'nova_libvirt_driver.volumes.identity.luns',
                            {'3600140': set(map(str, found))}.get):
                        self.destroy(elsewhere())

                    self.assertEqual(numbers, self.numbers())
                    self.destroy()
                    self.assert_nothing_left()

    def test_a_volume_that_makes_no_sense_is_of_here_as_well(self) -> None:
        found = self.attachment(volume(info(protocol='unheard-of')))

        attached.of_here([found])

        self.assertTrue(found.own)

    def test_what_another_driver_has_connected(self) -> None:
        for own in (True, False):
            with self.subTest(own=own):
                self.driver.spawn(self.spec)

                self.destroy(elsewhere(), own=own)

                self.assertEqual([] if own else [THERE], self.numbers())
                self.assertIn(f'not disconnected from volume {FIRST}',
                              self.log.output)
