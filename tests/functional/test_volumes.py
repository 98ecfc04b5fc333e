# SPDX-License-Identifier: Apache-2.0

"""Real guests with volumes: an export over NBD, and files of the host."""

from collections.abc import Iterator
import os
import pathlib
import re
import subprocess
from typing import Any

import fixtures

from nova_libvirt_driver import ports
from nova_libvirt_driver.spec import disk as disk_spec
from nova_libvirt_driver.spec import guest as guest_spec
from nova_libvirt_driver.spec import instance as instance_spec
from nova_libvirt_driver.spec import volume as volume_spec
from nova_libvirt_driver.testing import fake_ports
from nova_libvirt_driver.testing import fake_volumes
from nova_libvirt_driver.testing import guests as guests_rig
from nova_libvirt_driver.testing import specs
from tests.functional import guest_base
from tests.functional import killed
from tests.functional import kills
from tests import listening

ROOT = '6ca404f3-d844-4169-bb96-bc792f37de98'
DATA = '0cecc618-a007-4bb6-91f7-462293fe2ac2'
OTHER = 'c5a801c0-39ec-407d-ba71-5980e0c3fba1'
PLACE = volume_spec.Placement(target_dev='', bus=disk_spec.DiskBus.VIRTIO)
SIZE_BYTES = 4 << 20
State = instance_spec.PowerState


class VolumesTest(guest_base.GuestTestCase):

    def setUp(self) -> None:
        super().setUp()
        self.folder = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        (self.folder / 'devices').mkdir()
        # QEMU does no direct I/O on a file system in memory.
        self.connector = fake_volumes.FakeConnector(
            str(self.folder / 'devices'),
            settings=volume_spec.VolumeSettings(
                default_aio=True, cache_modes={'file': 'writeback'}))

    def image(self, name: str, begin: bytes = b'') -> pathlib.Path:
        """Make the bytes of a volume."""
        path = self.folder / name
        path.write_bytes(begin.ljust(SIZE_BYTES, b'\0'))
        return path

    def export(self, image: pathlib.Path) -> dict[str, Any]:
        """Serve a file over NBD; return how to connect to it."""
        socket = self.folder / f'{image.name}.socket'
        server = subprocess.Popen(
            ['qemu-nbd', '--format', 'raw', '--persistent', '--socket',
             str(socket), '--export-name', 'volume', str(image)])
        self.addCleanup(server.wait)
        self.addCleanup(server.kill)
        fake_ports.wait_until(
            lambda: listening.at(socket), 'the socket of qemu-nbd')
        return {'driver_volume_type': 'nbd', 'serial': ROOT, 'data': {
            'volume_id': ROOT, 'name': 'volume', 'socket': str(socket)}}

    def file(
            self, image: pathlib.Path,
            volume_id: str = DATA) -> dict[str, Any]:
        return {'driver_volume_type': 'nfs', 'serial': volume_id, 'data': {
            'volume_id': volume_id, 'export': f'server:/{volume_id}',
            'name': volume_id, 'fake_path': str(image)}}

    def attachment(
            self, spec: guest_spec.GuestSpec,
            *infos: dict[str, Any]) -> ports.VolumeAttachment:
        return self.driver.volume_attachment(spec, [
            volume_spec.Volume(info=info, place=volume_spec.Placement(
                target_dev=f'vd{"ab"[number]}', boot_order=number + 1,
                bus=disk_spec.DiskBus.VIRTIO))
            for number, info in enumerate(infos)], self.connector)

    def test_a_guest_boots_from_a_volume_and_has_another(self) -> None:
        root = self.image('root', guests_rig.boot_sector('one is up'))
        infos = [self.export(root), self.file(self.image('data'))]
        spec = specs.guest_spec('one')
        # The folder of records is there from now on.
        self.driver.destroy(
            spec, attachments=[self.attachment(spec, *infos)])
        before = self.look_at_host()

        self.driver.spawn(spec, attachments=[self.attachment(spec, *infos)])

        self.wait_console(spec, 'one is up')
        self.assertEqual(
            [('vda', 'volume'), ('vdb', str(self.folder / 'devices' / DATA))],
            re.findall(r'^ (vd.)\s+(\S+)$', self.host.virsh(
                'domblklist', spec.name), re.MULTILINE))
        self.assertIn(f'<serial>{DATA}</serial>',
                      self.driver.get_domain_xml(spec))
        self.driver.power_off(spec)
        os.unlink(self.folder / 'devices' / DATA)
        self.driver.power_on(
            spec, attachments=[self.attachment(spec, *infos)])
        self.driver.reboot(
            spec, guest_spec.RebootType.HARD,
            attachments=[self.attachment(spec, *infos)])
        self.assertIs(State.RUNNING, self.state(spec))
        self.driver.destroy(
            spec, attachments=[self.attachment(spec, *infos)])
        self.assertEqual([], self.connector.connected())
        self.assert_host_is(before)

    def test_memory_goes_on_with_the_device_of_now(self) -> None:
        root = self.image('root', guests_rig.boot_sector('one is up'))
        infos = [self.export(root), self.file(self.image('data'))]
        spec = specs.guest_spec('one')
        self.driver.spawn(spec, attachments=[self.attachment(spec, *infos)])
        self.wait_console(spec, 'one is up')
        self.driver.suspend(spec)
        os.unlink(self.folder / 'devices' / DATA)
        self.connector.names[DATA] = 'other'

        self.driver.resume(
            spec, attachments=[self.attachment(spec, *infos)])

        self.assertIs(State.RUNNING, self.state(spec))
        for flags in ([], ['--inactive']):
            self.assertIn(str(self.folder / 'devices' / 'other'),
                          self.host.virsh('domblklist', spec.name, *flags))

    def test_a_rescue_has_all_volumes_and_starts_from_its_image(
            self) -> None:
        root = self.image('root', guests_rig.boot_sector('one is up'))
        infos = [self.export(root), self.file(self.image('data'))]
        spec = specs.guest_spec('one')
        self.driver.spawn(spec, attachments=[self.attachment(spec, *infos)])
        self.wait_console(spec, 'one is up')
        before = self.driver.get_domain_xml(spec, inactive=True)
        tool = specs.boot_sector_image(self.images, 'the tool is up')

        self.driver.rescue(
            spec, tool.id, attachments=[self.attachment(spec, *infos)],
            stable_device=disk_spec.RescueDevice(
                bus=disk_spec.DiskBus.VIRTIO))

        self.wait_console(spec, 'the tool is up')
        self.assertEqual(
            ['vda', 'vdb', 'vdc'], re.findall(r'^ (vd.)\s', self.host.virsh(
                'domblklist', spec.name), re.MULTILINE))
        self.driver.unrescue(
            spec, attachments=[self.attachment(spec, *infos)])
        self.assertEqual(
            before, self.driver.get_domain_xml(spec, inactive=True))
        self.wait_console(spec, 'one is up')
        self.driver.destroy(
            spec, attachments=[self.attachment(spec, *infos)])
        self.assertEqual([], self.connector.connected())

    def test_a_guest_moves_to_another_volume(self) -> None:
        root = self.image('root', guests_rig.boot_sector('one is up'))
        data, other = self.file(self.image('data', b'bytes')), self.file(
            self.image('other'), OTHER)
        other['serial'] = DATA
        infos = [self.export(root), data]
        spec = specs.guest_spec('one')
        self.driver.spawn(spec, attachments=[self.attachment(spec, *infos)])
        self.wait_console(spec, 'one is up')
        old, new = (self.driver.volume_attachment(
            spec, [volume_spec.Volume(info=info, place=PLACE)],
            self.connector) for info in (data, other))

        self.driver.swap_disk(
            spec, disk_spec.DiskKey(id=DATA, serial=DATA),
            disk_spec.DiskSpec(
                target_dev='', id=OTHER, serial=DATA, format='raw',
                bus=disk_spec.DiskBus.VIRTIO,
                source=disk_spec.DiskSource()),
            old=old, new=new, size_bytes=2 * SIZE_BYTES)

        path = self.folder / 'devices' / OTHER
        self.assertEqual([OTHER], self.connector.connected())
        self.assertEqual(2 * SIZE_BYTES, path.stat().st_size)
        self.assertTrue(path.read_bytes().startswith(b'bytes'))
        for inactive in (False, True):
            xml = self.driver.get_domain_xml(spec, inactive=inactive)
            self.assertIn(str(path), xml)
            self.assertNotIn(f'devices/{DATA}', xml)
        self.driver.destroy(spec, attachments=[
            self.attachment(spec, infos[0], other)])
        self.assertEqual([], self.connector.connected())

    def test_an_encrypted_volume(self) -> None:
        root = self.image('root', guests_rig.boot_sector('one is up'))
        info = self.encrypted()
        infos = [self.export(root), info]
        spec = specs.guest_spec('one')

        self.driver.spawn(spec, attachments=[self.attachment(spec, *infos)])

        self.wait_console(spec, 'one is up')
        secret, = re.findall(r'^ (\S+)\s+volume (\S+)$', self.host.virsh(
            'secret-list'), re.MULTILINE)
        self.assertEqual(DATA, secret[1])
        self.assertRegex(
            self.host.virsh('domblkinfo', spec.name, 'vdb'), 'Capacity')
        # Without its owner, who alone may read the key.
        self.connector.at = _no_key
        self.driver.reboot(
            spec, guest_spec.RebootType.HARD,
            attachments=[self.attachment(spec, *infos)])
        self.assertIs(State.RUNNING, self.state(spec))
        self.driver.destroy(
            spec, attachments=[self.attachment(spec, *infos)])
        self.assertNotIn(DATA, self.host.virsh('secret-list'))

    def test_an_encrypted_volume_that_comes_and_grows(self) -> None:
        root = self.export(self.image(
            'root', guests_rig.boot_sector('one is up')))
        info = self.encrypted()
        spec = specs.guest_spec('one')
        self.driver.spawn(spec, attachments=[self.attachment(spec, root)])
        self.wait_console(spec, 'one is up')
        attachment = self.driver.volume_attachment(
            spec, [volume_spec.Volume(info=info, place=PLACE)],
            self.connector, force=False)

        found = self.driver.attach_disk(
            spec, disk_spec.DiskSpec(
                target_dev='', id=DATA, serial=DATA, format='raw',
                bus=disk_spec.DiskBus.VIRTIO,
                source=disk_spec.DiskSource()), attachments=[attachment])
        self.assertIn(DATA, self.host.virsh('secret-list'))
        self.driver.extend_disk(
            spec, found.key, SIZE_BYTES, volume=attachment)

        # QEMU has made room for its header as well.
        self.assertRegex(
            self.host.virsh('domblkinfo', spec.name, 'vdb'),
            rf'Capacity: +{SIZE_BYTES - fake_volumes.HEADER_BYTES}\n')
        self.assertGreater(
            (self.folder / 'luks').stat().st_size, SIZE_BYTES)
        self.driver.power_off(spec)
        self.driver.detach_disk(spec, found.key, attachments=[attachment])
        self.assertEqual([], self.connector.connected())
        self.assertNotIn(DATA, self.host.virsh('secret-list'))

    def encrypted(self) -> dict[str, Any]:
        """Make an encrypted volume; return how to connect to it."""
        image = self.folder / 'luks'
        self.connector.passphrase = guest_base.write_luks(image)
        info = self.file(image)
        info['data']['encrypted'] = True
        return info


class KilledTest(kills.KillTestCase):
    """Volumes are files that no QEMU opens: the guest is not started."""

    def setUp(self) -> None:
        self.devices = self.useFixture(fixtures.TempDir()).path
        self.connector = fake_volumes.FakeConnector(self.devices)
        super().setUp()
        self.image_source = self.store
        self.driver = self.make_guest_driver()
        self.spec = self.guest()

    def attachments_of(
            self, instance: instance_spec.Instance) -> ports.Attachments:
        # What is recorded may be how another host has them.
        return [self.driver.volume_attachment(
            instance, killed.volumes(target_lun=7, device_path='/dev/null'),
            self.connector, own=True)]

    def assert_nothing_left(self) -> None:
        self.make_guest_driver()
        self.wait_clean()
        self.assertEqual([], self.connector.connected())
        self.assertEqual([], [
            path for path in self.instances_path.glob('.volumes/**/*')
            if path.is_file()])
        self.assertNotIn('volume', self.host.virsh('secret-list'))
        self.assertFalse((self.instances_path / self.spec.uuid).exists())
        self.assertFalse([data for data in self.connector.told if (
            'target_lun' in data or data.get('device_path') == '/dev/null')])

    def test_a_spawn_that_was_killed_is_disconnected(self) -> None:
        for point in (*fake_volumes.POINTS, 'define', 'start'):
            with self.subTest(point=point):
                self.assertTrue(self.run_verb(
                    'spawn', self.spec, point, volumes=self.devices))
                self.assert_nothing_left()

    def test_a_removal_that_was_killed_is_finished(self) -> None:
        for point in ('domain', 'disconnect', 'files'):
            with self.subTest(point=point):
                self.driver.spawn(
                    self.spec, power_on=False,
                    attachments=[self.driver.volume_attachment(
                        self.spec, killed.volumes(), self.connector)])
                self.assertEqual(2, len(self.connector.connected()))

                self.assertTrue(self.run_verb(
                    'destroy', self.spec, point, volumes=self.devices))

                self.assert_nothing_left()


class KilledHotTest(kills.KillTestCase):
    """Volumes that guests get, lose or are moved between."""

    def setUp(self) -> None:
        self.devices = self.useFixture(fixtures.TempDir()).path
        self.connector = fake_volumes.FakeConnector(
            self.devices, settings=killed.SETTINGS)
        super().setUp()
        self.image_source = self.store
        self.driver = self.make_guest_driver()
        self.spec = self.guest()

    def attachment_of(
            self, instance: instance_spec.Instance, name: str,
            memo: ports.Memo | None) -> ports.Attachment | None:
        return killed.one(self.driver, self.spec, self.connector, name)

    def run_here(self, verb: str) -> None:
        killed.run_hot(self.driver, verb, self.spec, self.connector)

    def each(self, verb: str) -> Iterator[str]:
        """Have a verb killed at each step; yield it with the number."""
        step = 1
        while self.run_verb(verb, self.spec, step, volumes=self.devices):
            self.driver = self.make_guest_driver()
            self.wait_clean()
            yield f'{verb} {step}'
            step += 1
        self.assertGreater(step, 3)

    def test_a_guest_has_the_volume_or_nothing_is_left_of_it(self) -> None:
        self.driver.spawn(self.spec, power_on=False)
        for point in self.each('attach_disk'):
            self.assert_has(point)
        self.run_here('detach_disk')
        self.run_here('attach_disk')
        for point in self.each('detach_disk'):
            if point == 'detach_disk 1':
                # It had only looked.
                self.assert_has(point, killed.VOLUMES[0])
            else:
                self.assert_has(point)
                self.run_here('attach_disk')

    def test_a_guest_has_one_of_two_volumes(self) -> None:
        self.driver.spawn(self.spec)
        self.run_here('attach_disk')

        for point in self.each('swap_disk'):
            self.assert_has(point, killed.VOLUMES[0])
        self.assert_has('the end', killed.VOLUMES[1])

    def assert_has(self, point: str, *volume_ids: str) -> None:
        xml = self.driver.get_domain_xml(self.spec)
        self.assertEqual((point, list(volume_ids)), (
            point, self.connector.connected()))
        self.assertEqual((point, list(volume_ids)), (point, re.findall(
            f"<source file='{self.devices}/([^']+)'", xml)))
        self.assertNotIn('<mirror', xml)


def _no_key(point: str) -> None:
    if point == 'unlock':
        raise AssertionError('the key was asked for')
