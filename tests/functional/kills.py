# SPDX-License-Identifier: Apache-2.0

"""What the tests share that kill a process within a verb."""

from collections.abc import Iterator
from collections.abc import Sequence
import json
import os
import pathlib
import signal
import subprocess
import sys
import uuid as uuid_module

import fixtures

from nova_libvirt_driver.images import local
from nova_libvirt_driver import ports
from nova_libvirt_driver.spec import configdrive as configdrive_spec
from nova_libvirt_driver.spec import guest as guest_spec
from nova_libvirt_driver.storage import spec_record
from nova_libvirt_driver.testing import fake_ports
from nova_libvirt_driver.testing import guests
from nova_libvirt_driver.testing import specs
from tests.functional import guest_base

ROOT = pathlib.Path(__file__).parents[2]
DRIVE = configdrive_spec.ConfigDriveSpec(user_data='hello')


class KillTestCase(guest_base.GuestTestCase):
    """Runs verbs in processes that kill themselves."""

    def setUp(self) -> None:
        super().setUp()
        self.folder = self.useFixture(fixtures.TempDir()).path
        self.store = local.LocalImages(self.folder)
        sector = pathlib.Path(self.useFixture(fixtures.TempDir()).path, 'b')
        sector.write_bytes(
            guests.boot_sector('web is up').ljust(1 << 20, b'\0'))
        self.image = self.store.add(
            str(sector), name='boot', progress=ports.NullProgress())

    def guest(self, name: str = 'web') -> guest_spec.GuestSpec:
        """Return a guest of the image, with a config drive."""
        return specs.guest_spec(name, self.image.id, config_drive=DRIVE)

    def run_verb(
            self, verb: str, spec: guest_spec.GuestSpec,
            step: int | str = 100, attachments: Sequence[str] = (),
            volumes: str = '') -> bool:
        """Run a verb in another process; say whether it was killed.

        :param step: when it kills itself: counted from 1, or the name of
            one, or a point that its attachments reach
        :param attachments: paths of them
        :param volumes: folder of the devices of volumes, empty for none
        """
        done = subprocess.run(
            [sys.executable, '-m', 'tests.functional.killed'], cwd=ROOT,
            input=json.dumps({
                'uri': self.host.uri, 'verb': verb, 'step': step,
                'host': self.config.conf.host,
                'attachments': list(attachments), 'volumes': volumes,
                'instances_path': str(self.instances_path),
                'images': self.folder,
                'image_id': str(uuid_module.uuid4()),
                'spec': spec_record.dumps(spec)}),
            capture_output=True, text=True, timeout=300)
        self.assertIn(done.returncode, (0, -signal.SIGKILL), done.stderr)
        return done.returncode != 0

    def each_kill(
            self, verb: str, spec: guest_spec.GuestSpec) -> Iterator[int]:
        """Have a verb killed at each step in turn; yield its number."""
        step = 1
        while self.run_verb(verb, spec, step):
            yield step
            step += 1

    def wait_clean(self) -> None:
        """Wait until nothing is left to clean up."""
        fake_ports.wait_until(
            lambda: not [
                name for name in os.listdir(
                    self.instances_path / '.operations')
                if name.endswith('.json')], 'an empty journal',
            timeout_s=180)
