# SPDX-License-Identifier: Apache-2.0

"""A process that lives on makes the guest that a killed one began."""

import itertools
import json
import pathlib
import signal
import subprocess
import sys

import fixtures

from nova_libvirt_driver.images import local
from nova_libvirt_driver import ports
from nova_libvirt_driver.spec import configdrive as configdrive_spec
from nova_libvirt_driver.spec import guest as guest_spec
from nova_libvirt_driver.storage import spec_record
from nova_libvirt_driver.testing import guests
from nova_libvirt_driver.testing import specs
from tests.functional import guest_base

ROOT = pathlib.Path(__file__).parents[2]
DRIVE = configdrive_spec.ConfigDriveSpec(user_data='hello')


class NextSpawnTest(guest_base.GuestTestCase):

    def setUp(self) -> None:
        super().setUp()
        self.folder = self.useFixture(fixtures.TempDir()).path
        sector = pathlib.Path(self.useFixture(fixtures.TempDir()).path, 'b')
        sector.write_bytes(
            guests.boot_sector('web is up').ljust(1 << 20, b'\0'))
        self.store = local.LocalImages(self.folder)
        self.image = self.store.add(
            str(sector), name='boot', progress=ports.NullProgress())

    def spawn_and_die(self, spec: guest_spec.GuestSpec, step: int) -> bool:
        """Spawn in a process that dies at a step; False for no such step."""
        done = subprocess.run(
            [sys.executable, '-m', 'tests.functional.killed'], cwd=ROOT,
            input=json.dumps({
                'uri': self.host.uri, 'verb': 'spawn', 'step': step,
                'instances_path': str(self.instances_path),
                'images': self.folder, 'image_id': '',
                'spec': spec_record.dumps(spec)}),
            capture_output=True, text=True, timeout=60)
        self.assertIn(done.returncode, (0, -signal.SIGKILL), done.stderr)
        return done.returncode != 0

    def test_spawn_begins_anew(self) -> None:
        spec = specs.guest_spec('web', self.image.id, config_drive=DRIVE)
        before = self.look_at_host()

        for step in itertools.count(1):
            if not self.spawn_and_die(spec, step):
                break
            self.driver.spawn(spec, images=self.store)
            self.wait_console(spec, 'web is up')
            self.driver.destroy(spec)
            self.assert_host_is(before)

        self.assertGreater(step, 8)
