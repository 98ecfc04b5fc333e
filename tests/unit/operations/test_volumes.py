# SPDX-License-Identifier: Apache-2.0

"""Guests with volumes: made, started, failed and removed."""

from collections.abc import Callable
import json
import os
import pathlib
from typing import Any

import fixtures
import libvirt
from lxml import etree

from nova_libvirt_driver import exception
from nova_libvirt_driver import ports
from nova_libvirt_driver.spec import disk as disk_spec
from nova_libvirt_driver.spec import guest as guest_spec
from nova_libvirt_driver.spec import volume as volume_spec
from nova_libvirt_driver.testing import fake_fault
from nova_libvirt_driver.testing import fake_ports
from nova_libvirt_driver.testing import fake_progress
from nova_libvirt_driver.testing import fake_secret
from nova_libvirt_driver.testing import fake_volumes
from tests.unit.operations import whole

FIRST = '6ca404f3-d844-4169-bb96-bc792f37de98'
SECOND = '0cecc618-a007-4bb6-91f7-462293fe2ac2'


def info(
        volume_id: str = FIRST, protocol: str = 'iscsi', *,
        multiattach: bool = False, **data: Any) -> dict[str, Any]:
    found: dict[str, Any] = {
        'driver_volume_type': protocol, 'serial': volume_id, 'data': {
            'volume_id': volume_id, 'target_lun': 1,
            'auth_password': 'CHAP-SECRET', **data}}
    if multiattach:
        found['multiattach'] = True
    return found


def volume(
        told: dict[str, Any] | None = None, name: str = 'vdb',
        **fields: Any) -> volume_spec.Volume:
    return volume_spec.Volume(
        info=info() if told is None else told, **fields,
        place=volume_spec.Placement(
            target_dev=name, bus=disk_spec.DiskBus.VIRTIO))


class VolumesTestCase(whole.WholeTestCase):

    def setUp(self) -> None:
        self.devices = self.useFixture(fixtures.TempDir()).path
        self.connector = fake_volumes.FakeConnector(self.devices)
        super().setUp()
        self.spec = self.guest()

    def volume_connector(self) -> Callable[[], ports.VolumeConnector]:
        return lambda: self.connector

    def attachment(
            self, *volumes: volume_spec.Volume,
            spec: guest_spec.GuestSpec | None = None,
            connector: ports.VolumeConnector | None = None,
            **options: Any) -> ports.VolumeAttachment:
        return self.driver.volume_attachment(
            spec or self.spec, volumes or (volume(),),
            connector or self.connector, **options)

    def spawn(
            self, *volumes: volume_spec.Volume,
            spec: guest_spec.GuestSpec | None = None, **options: Any) -> None:
        self.driver.spawn(spec or self.spec, attachments=[
            self.attachment(*volumes, spec=spec)], **options)

    def destroy(
            self, *volumes: volume_spec.Volume,
            spec: guest_spec.GuestSpec | None = None, **options: Any) -> None:
        self.driver.destroy(spec or self.spec, attachments=[
            self.attachment(*volumes, spec=spec, **options)])

    def disks(self) -> list[tuple[str | None, str | None]]:
        """Return where the disks of the guest are, and their serials."""
        domain = etree.fromstring(self.driver.get_domain_xml(
            self.spec, inactive=True))
        return [(source.get('dev'), disk.findtext('serial'))
                for disk in domain.iterfind('devices/disk')
                for source in disk.iterfind('source')]

    def entries(self) -> list[Any]:
        return [note for note in self.journal.notes()
                if note.operation == 'disconnect volume']

    def assert_nothing_left(self) -> None:
        self.assertEqual([], self.connector.connected())
        self.assertEqual([], self.names())
        self.assertEqual([], self.remains())
        self.assertEqual([], self.hypervisor.secrets)


class LifeTest(VolumesTestCase):

    def test_a_guest_is_made_with_its_volumes_and_removed(self) -> None:
        told = info()

        self.spawn(volume(told), volume(info(SECOND), 'vdc'))

        paths = [os.path.join(self.devices, one) for one in (FIRST, SECOND)]
        self.assertEqual(
            [(None, None), (paths[0], FIRST), (paths[1], SECOND)],
            self.disks())
        self.assertEqual(paths[0], told['data']['device_path'])
        self.assertEqual('CHAP-SECRET', told['data']['auth_password'])
        for path in pathlib.Path(self.instances_path).rglob('*.json'):
            self.assertNotIn('CHAP-SECRET', path.read_text())
        # What was found out is not needed.
        self.destroy(volume(), volume(info(SECOND), 'vdc'))
        self.assert_nothing_left()
        self.assertEqual([True, True], self.connector.forced)

    def test_a_volume_that_qemu_gets_at_by_itself(self) -> None:
        told = info(protocol='rbd', name='p/i', hosts=['192.0.2.1'])

        self.spawn(volume(told))

        self.assertEqual((None, FIRST), self.disks()[-1])
        self.destroy(volume(told))
        self.assertEqual([], self.connector.forced)
        self.assert_nothing_left()

    def test_one_of_an_unknown_kind_is_refused_with_nothing_done(
            self) -> None:
        """The host is not said to be connected to it either."""
        for encrypted in (False, True):
            told = info(protocol='unheard-of', encrypted=encrypted)
            with self.subTest(encrypted=encrypted):
                error = self.assertRaises(
                    exception.VolumeFailure, self.spawn, volume(told))

                self.assertIn("'unheard-of' is not one of", str(error))
                self.assertNotIn('not disconnected', self.log.output)
                self.assert_nothing_left()

    def test_what_the_host_keeps_of_volumes(self) -> None:
        """What is not known may be kept beyond a boot."""
        for protocol, encrypted, is_fleeting in (
                ('rbd', False, True), ('nbd', False, True),
                ('rbd', True, False), ('iscsi', False, False),
                ('nfs', False, False), ('unheard-of', False, False),
                ('unheard-of', True, False), ('', False, False)):
            with self.subTest(protocol=protocol, encrypted=encrypted):
                one = volume(info(protocol=protocol, encrypted=encrypted))
                other = volume(info(protocol='rbd'))

                self.assertIs(is_fleeting, self.attachment(one).is_fleeting)
                self.assertIs(
                    is_fleeting, self.attachment(other, one).is_fleeting)

    def test_starts_connect_what_is_missing(self) -> None:
        self.spawn()
        for verb, before in (
                ('power_on', 'power_off'), ('resume', 'suspend'),
                ('resume_state_on_host_boot', 'power_off')):
            getattr(self.driver, before)(self.spec)
            os.unlink(os.path.join(self.devices, FIRST))

            getattr(self.driver, verb)(
                self.spec, attachments=[self.attachment()])

            self.assertEqual([FIRST], self.connector.connected())
        for kind in guest_spec.RebootType:
            self.driver.reboot(
                self.spec, kind, attachments=[self.attachment()])
        self.assertEqual(2, len(self.disks()))
        self.destroy()
        self.assert_nothing_left()

    def test_a_start_that_fails_keeps_what_was_connected(self) -> None:
        self.spawn()
        self.driver.power_off(self.spec)
        self.hypervisor.fail_next('createWithFlags', fake_fault.libvirt_error(
            libvirt.VIR_ERR_INTERNAL_ERROR, libvirt.VIR_FROM_QEMU, 'no'))

        self.assertRaises(
            exception.LibvirtFailure, self.driver.power_on, self.spec,
            attachments=[self.attachment(
                volume(), volume(info(SECOND), 'vdc'))])

        self.assertEqual([FIRST], self.connector.connected())

    def test_the_guest_of_another_driver_keeps_its_volume(self) -> None:
        self.spawn()
        for path in pathlib.Path(self.instances_path).glob(
                '.volumes/*/*.json'):
            path.unlink()

        self.assertRaises(
            fake_progress.Stopped, self.driver.reboot, self.spec,
            guest_spec.RebootType.SOFT,
            progress=fake_progress.FailingProgress(2),
            attachments=[self.attachment()])

        self.assertEqual([FIRST], self.connector.connected())

    def test_a_data_volume_that_is_down_is_left_out_if_it_may_be(
            self) -> None:
        volumes = (volume(required=False),
                   volume(info(SECOND), 'vdc', required=False))
        self.spawn(*volumes)
        self.connector.broken.add(SECOND)
        attachment = self.attachment(*volumes)

        self.driver.reboot(
            self.spec, guest_spec.RebootType.HARD, attachments=[attachment])

        self.assertEqual([volumes[1]], attachment.missing)
        self.assertEqual([(None, None), (
            os.path.join(self.devices, FIRST), FIRST)], self.disks())

    def test_one_that_is_required_fails_the_start(self) -> None:
        self.connector.broken.add(FIRST)

        error = self.assertRaises(exception.VolumeFailure, self.spawn)

        self.assertIn(FIRST, str(error))
        self.assert_nothing_left()


class FailureTest(VolumesTestCase):

    def test_each_step_of_a_spawn_is_undone(self) -> None:
        volumes = (volume(info(encrypted=True)), volume(
            info(SECOND), 'vdc'))
        for number in range(1, 30):
            progress = fake_progress.FailingProgress(number)
            try:
                self.spawn(*volumes, progress=progress)
            except fake_progress.Stopped:
                self.assert_nothing_left()
            else:
                break
        self.assertFalse(progress.raised)
        self.assertGreater(number, 8)

    def test_each_point_of_a_connector_is_undone(self) -> None:
        for place, point in enumerate(fake_volumes.POINTS):
            for nth in (1, 2):
                left = [nth]

                def fail(reached: str) -> None:
                    if reached == point:
                        left[0] -= 1
                        if not left[0]:
                            raise RuntimeError(point)

                connector = fake_volumes.FakeConnector(self.devices, fail)
                with self.subTest(place=place, point=point, nth=nth):
                    self.assertRaises(
                        RuntimeError, self.driver.spawn, self.spec,
                        attachments=[self.attachment(
                            volume(info(encrypted=True)),
                            volume(info(SECOND, encrypted=True), 'vdc'),
                            connector=connector)])
                    self.assert_nothing_left()

    def test_one_that_does_not_let_go_is_tried_until_it_does(self) -> None:
        self.spawn(volume(), volume(info(SECOND), 'vdc'))
        self.connector.refused.add(FIRST)

        self.destroy(volume(), volume(info(SECOND), 'vdc'))

        self.assertEqual([], self.names())
        self.assertEqual([FIRST], self.connector.connected())
        entry, = self.entries()
        self.assertNotIn('CHAP-SECRET', json.dumps(dict(entry.values)))
        self.connector.refused.clear()
        # The next one who works on that instance ends it first.
        self.destroy(volume(info(SECOND)))
        self.assert_nothing_left()

    def test_what_does_not_let_go_holds_up_nothing(self) -> None:
        self.spawn()
        self.connector.refused.add(FIRST)
        self.destroy()

        self.driver.spawn(self.spec)

        self.assertEqual(1, len(self.entries()))
        self.connector.refused.clear()
        self.driver.power_off(self.spec)
        self.assertEqual(([], []), (
            self.entries(), self.connector.connected()))

    def test_a_device_that_stays_counts_as_connected(self) -> None:
        self.spawn()

        self.driver.destroy(self.spec, attachments=[self.attachment(
            connector=_Stubborn(self.devices))])

        self.assertEqual(1, len(self.entries()))


class _Stubborn(fake_volumes.FakeConnector):
    """Says that it has disconnected the host."""

    def disconnect(self, info: dict[str, Any], *, force: bool) -> None:
        """Do nothing."""


class SharingTest(VolumesTestCase):

    def setUp(self) -> None:
        super().setUp()
        self.other = self.guest('two')

    def test_a_volume_is_for_one_guest(self) -> None:
        self.spawn()

        error = self.assertRaises(
            exception.VolumeFailure, self.spawn, spec=self.other)

        self.assertIn(self.spec.uuid, str(error))
        self.assertEqual(['one'], self.names())
        self.assertEqual([FIRST], self.connector.connected())

    def test_a_device_of_another_domain_is_refused(self) -> None:
        path = os.path.join(self.devices, FIRST)
        self.spawn(volume(info(SECOND, 'local', device_path=path)),
                   spec=self.other)

        error = self.assertRaises(exception.VolumeFailure, self.spawn)

        self.assertIn(f'in use by instance {self.other.uuid}', str(error))
        self.assertEqual(['two'], self.names())
        # What has it keeps it.
        self.assertEqual([FIRST], self.connector.connected())

    def test_the_last_of_several_guests_disconnects(self) -> None:
        told = info(multiattach=True, encrypted=True)
        self.spawn(volume(told))
        self.spawn(volume(told), spec=self.other)

        self.destroy(volume(told))
        self.assertEqual([FIRST], self.connector.connected())
        self.assertEqual(1, len(self.hypervisor.secrets))

        self.destroy(volume(told), spec=self.other)
        self.assert_nothing_left()

    def test_two_that_end_at_once_leave_nothing(self) -> None:
        told = info(multiattach=True)
        for _ in range(5):
            self.spawn(volume(told))
            self.spawn(volume(told), spec=self.other)

            self.assertEqual([None, None], fake_ports.run_threads([
                lambda: self.destroy(volume(told)),
                lambda: self.destroy(volume(told), spec=self.other)]))

            self.assert_nothing_left()

    def test_a_mount_ends_with_its_last_volume(self) -> None:
        first, second = (
            info(one, 'nfs', export='server:/x', name=one)
            for one in (FIRST, SECOND))
        self.spawn(volume(first))
        self.spawn(volume(second), spec=self.other)

        self.destroy(volume(first))
        self.assertEqual([], self.connector.forced)

        self.destroy(volume(second), spec=self.other)
        self.assertEqual([True], self.connector.forced)

    def test_after_a_swap_the_serial_is_that_of_another(self) -> None:
        self.spawn(volume({**info(SECOND), 'serial': FIRST}))

        self.spawn(volume(info(FIRST)), spec=self.other)

        self.assertEqual([SECOND, FIRST][::-1], sorted(
            self.connector.connected(), reverse=True))
        self.destroy(spec=self.other)
        self.assertEqual([SECOND], self.connector.connected())


class EncryptionTest(VolumesTestCase):

    def test_the_passphrase_stays_with_libvirt(self) -> None:
        told = info(encrypted=True)
        self.spawn(volume(told))

        kept, = self.hypervisor.secrets
        self.assertEqual(fake_secret.Kept(
            kept.uuid, FIRST, private=True, ephemeral=False,
            value=b'passphrase',
            usage_type=libvirt.VIR_SECRET_USAGE_TYPE_VOLUME), kept)
        self.assertIn(kept.uuid, self.driver.get_domain_xml(self.spec))
        # A start without a user's rights asks no key manager.
        self.driver.reboot(
            self.spec, guest_spec.RebootType.HARD, attachments=[
                self.attachment(volume(told), connector=_refusing(
                    self.devices))])
        self.assertEqual([kept], self.hypervisor.secrets)
        self.destroy(volume(told), keep_secrets=True)
        self.assertEqual([kept], self.hypervisor.secrets)

    def test_what_the_host_decrypts_needs_none(self) -> None:
        self.connector.passphrase = None

        self.spawn(volume(info(encrypted=True)))

        self.assertEqual([], self.hypervisor.secrets)
        self.assertNotIn(
            '<encryption', self.driver.get_domain_xml(self.spec))

    def test_one_in_memory_only(self) -> None:
        self.connector.settings = volume_spec.VolumeSettings(
            ephemeral_secrets=True)
        told = info(protocol='rbd', name='p/i', hosts=['h'], encrypted=True)

        self.spawn(volume(told))

        kept, = self.hypervisor.secrets
        self.assertTrue(kept.ephemeral)
        self.destroy(volume(told))
        self.assert_nothing_left()

    def test_after_a_restart_of_libvirt_it_needs_the_key_again(self) -> None:
        self.connector.settings = volume_spec.VolumeSettings(
            ephemeral_secrets=True)
        told = info(encrypted=True)
        self.spawn(volume(told))
        self.driver.power_off(self.spec)
        self.hypervisor.secrets.clear()

        self.assertRaises(
            RuntimeError, self.driver.power_on, self.spec, attachments=[
                self.attachment(volume(told), connector=_refusing(
                    self.devices))])
        self.assertFalse(self.hypervisor.guests[0].active)
        self.driver.power_on(
            self.spec, attachments=[self.attachment(volume(told))])

        kept, = self.hypervisor.secrets
        self.assertIn(kept.uuid, self.driver.get_domain_xml(self.spec))

    def test_a_key_that_cannot_be_had_undoes_the_guest(self) -> None:
        self.assertRaises(
            RuntimeError, self.driver.spawn, self.spec, attachments=[
                self.attachment(
                    volume(info(encrypted=True)),
                    connector=_refusing(self.devices))])

        self.assert_nothing_left()


def _refusing(folder: str) -> fake_volumes.FakeConnector:
    """Return a connector that gets no keys."""
    def at(point: str) -> None:
        if point == 'unlock':
            raise RuntimeError('no key')

    return fake_volumes.FakeConnector(folder, at)


class IdentityTest(VolumesTestCase):

    def test_a_record_of_before_a_boot_names_no_device(self) -> None:
        self.spawn()
        record, = pathlib.Path(self.instances_path).glob('.volumes/*/*.json')
        record.write_text(json.dumps(
            {**json.loads(record.read_text()), 'boot': 'earlier',
             'path': '/dev/null'}))

        self.destroy()

        self.assert_nothing_left()

    def test_a_record_that_is_damaged_is_none(self) -> None:
        self.spawn()
        record, = pathlib.Path(self.instances_path).glob('.volumes/*/*.json')
        record.write_text('{')

        self.driver.reboot(self.spec, guest_spec.RebootType.HARD,
                           attachments=[self.attachment()])
        self.destroy()

        self.assert_nothing_left()
        self.assertIn('cannot be read', self.log.output)
