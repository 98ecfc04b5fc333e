# SPDX-License-Identifier: Apache-2.0

"""What goes along when a guest leaves its host, and what stays."""

import json
import os
import pathlib
import stat
import subprocess
from typing import Any

import fixtures

from nova_libvirt_driver import exception
from nova_libvirt_driver import ports
from nova_libvirt_driver.spec import image as image_spec
from nova_libvirt_driver.spec import instance as instance_spec
from nova_libvirt_driver.storage import record
from nova_libvirt_driver.testing import fake_attachment
from nova_libvirt_driver.testing import fake_ports
from tests import other_host
from tests.unit.operations import whole

RUNNING = instance_spec.PowerState.RUNNING


class BrokenImages(ports.NullImages):
    """An image service that is out of order."""

    def show(self, image_id: str) -> image_spec.Image:
        raise exception.StorageFailure(reason='out of order', path='')


class DepartureTest(whole.WholeTestCase):

    def setUp(self) -> None:
        super().setUp()
        self.other = other_host.OtherHost(pathlib.Path(
            self.useFixture(fixtures.TempDir()).path))
        self.spec = self.guest()
        self.place = self.folder(self.spec)
        self.driver.spawn(self.spec)

    def test_a_stop_that_a_failed_start_causes_is_called_so(self) -> None:
        path = os.path.join(self.useFixture(fixtures.TempDir()).path, 'port')
        listener = fake_ports.RecordingListener()
        self.driver.register_event_listener(listener)

        for verb in (self.driver.finish_migration,
                     self.driver.finish_revert_migration):
            self.driver.migrate_disk_and_power_off(self.spec)
            listener.events.clear()
            self.assertRaises(
                fake_attachment.Failed, verb, self.spec, attachments=[
                    fake_attachment.FakeAttachment(
                        path, fake_attachment.failing('started'))])

            fake_ports.wait_until(
                lambda: any(event.detail == 'failed'
                            for event in listener.events),
                'the undo of a start')

    def leave(self, image_id: str, **options: Any) -> None:
        self.driver.migrate_disk_and_power_off(
            self.spec, carrier=self.other, image_id=image_id, **options)

    def backing_there(self) -> str | None:
        found: str | None = json.loads(subprocess.run(
            ['qemu-img', 'info', '--output=json',
             str(self.other.there(str(self.place / 'disk')))],
            capture_output=True, check=True).stdout).get('backing-filename')
        return found

    def test_an_image_that_can_be_fetched_does_not_go_along(self) -> None:
        self.leave(self.image.id)

        self.assertIn('_base', self.backing_there() or '')

    def test_a_disk_of_another_image_takes_along_what_it_needs(self) -> None:
        # As after an unshelve: the disk is that of the snapshot.
        self.leave(self.images.add(b'\0' * 512, name='before').id)

        self.assertIsNone(self.backing_there())

    def test_a_disk_of_an_unknown_image_takes_along_what_it_needs(
            self) -> None:
        self.leave('')

        self.assertIsNone(self.backing_there())

    def test_images_that_cannot_be_looked_at_stop_no_guest(self) -> None:
        self.assertRaises(
            exception.StorageFailure, self.leave, self.image.id,
            images=BrokenImages())

        self.assertIs(RUNNING, self.state())
        self.assertFalse(self.other.there(str(self.place)).exists())

    def test_qemu_gets_into_a_folder_that_has_come(self) -> None:
        for mode in (0o700, 0o755):
            self.driver.migrate_disk_and_power_off(self.spec)
            self.place.chmod(mode)

            self.driver.finish_migration(self.spec)

            self.assertEqual(
                0o750, stat.S_IMODE(self.place.stat().st_mode))

    def test_a_guest_that_was_not_stopped_keeps_its_files(self) -> None:
        self.driver.migrate_disk_and_power_off(self.spec)
        self.driver.finish_migration(self.spec)
        # It goes on so, and nobody confirms; the next attempt is killed
        # before it begins, and Nova reverts that.
        newer = self.place / 'newer'
        newer.touch()

        self.driver.finish_revert_migration(self.spec)

        self.assertTrue(newer.exists())
        self.assertIs(RUNNING, self.state())

    def test_the_format_that_the_guest_had_counts(self) -> None:
        # Nova's own driver makes a raw disk a qcow2 one, and leaves the
        # record as it is.
        self.driver.migrate_disk_and_power_off(self.spec)
        path, info = str(self.place / 'disk'), str(self.place / 'disk.info')

        for text in (json.dumps({path: 'raw'}), '{}'):
            pathlib.Path(info).write_text(text)
            self.driver.power_off(self.spec)
            self.driver.finish_migration(
                self.spec, formats={'disk': 'qcow2', 'disk.swap': 'raw'})

            self.assertEqual({path: 'qcow2'}, record.read_all(info))
            self.assertIn('type="qcow2"', self.driver.get_domain_xml(
                self.spec, inactive=True).replace("'", '"'))

    def state(self) -> instance_spec.PowerState:
        return self.driver.get_info(self.spec, use_cache=False).state
