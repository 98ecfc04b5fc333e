# SPDX-License-Identifier: Apache-2.0

"""A disk with no room for the record of the compute service."""

import contextlib
import pathlib
import subprocess

import fixtures

from nova_libvirt_driver.compute import record
from tests.faults import base

SAVED_S = 5 + base.MARGIN_S
"""A record that failed is written again every five seconds."""


class FullStateDiskTest(base.ConnectionFaultTestCase):

    def setUp(self) -> None:
        super().setUp()
        self.state_path = self.useFixture(fixtures.TempDir()).path
        subprocess.check_call([
            'mount', '-t', 'tmpfs', '-o', 'size=64k', 'tmpfs',
            self.state_path])
        self.addCleanup(
            subprocess.check_call, ['umount', '-l', self.state_path])
        self.filling = pathlib.Path(self.state_path, 'filling')
        self.record = record.ServiceRecordFile(self.state_path, 'here')
        self.service_state = self.record  # type: ignore[assignment]
        self.config.config(host='here')

    def fill(self) -> None:
        with (open(self.filling, 'wb', buffering=0) as file,
              contextlib.suppress(OSError)):
            while file.write(b'x' * 4096):
                pass

    def wait_record(self, *, enabled: bool) -> None:
        base.wait_until(lambda: self.record.load().enabled is enabled,
                        f'the record to say enabled: {enabled}',
                        timeout_s=SAVED_S + base.BACK_S)

    def test_the_record_is_right_once_there_is_room(self) -> None:
        driver = self.connect()
        self.wait_record(enabled=True)

        self.fill()
        self.host.kill_daemon()
        base.wait_until(lambda: 'cannot be written' in self.log.output,
                        'a word of it', timeout_s=base.FOUND_S)
        self.assertTrue(self.record.load().enabled)
        self.filling.unlink()
        self.wait_record(enabled=False)

        self.fill()
        self.restart_daemon()
        with base.within(base.BACK_S):
            base.wait_until(lambda: driver.connection_status().state
                            is base.State.CONNECTED, 'a connection',
                            timeout_s=base.BACK_S)
            self.assertEqual([], driver.list_instances())
        self.assertFalse(self.record.load().enabled)
        self.filling.unlink()
        self.wait_record(enabled=True)
