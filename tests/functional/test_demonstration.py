# SPDX-License-Identifier: Apache-2.0

"""The demonstration of the real service, on real QEMU with a daemon."""

import os
import pathlib
import re
import signal
import subprocess

import fixtures

from nova_libvirt_driver.testing import footprint
from tests.functional import base
from tests.functional import process

UUID = '8b0c0b9e-1d1c-4b4f-8a53-0f1a2c6f7e01'


class DemonstrationTestCase(
        process.ServiceTestCase, base.PrivateHostTestCase):

    def setUp(self) -> None:
        super().setUp()
        self.temporary = self.useFixture(fixtures.TempDir()).path
        self.environ['TMPDIR'] = self.temporary

    def demonstrate(self, *arguments: str) -> process.Service:
        return self.run_configured(
            '--once', '--demo', '--uri', self.host.uri, *arguments)

    def look(self) -> footprint.Footprint:
        """Look at the host; the image cache does not count."""
        instances = os.path.join(self.state_path, 'instances')
        return footprint.Footprint.take(
            self.host, instances, self.temporary, ignore=(
                f'{instances}/_base', f'{instances}/_base/*',
                f'{instances}/.*', f'{instances}/snapshots'))

    def assert_nothing_left(self, before: footprint.Footprint) -> None:
        self.assertEqual([], before.difference(self.look()))

    def test_a_guest_is_made_shown_kept_as_image_and_removed(self) -> None:
        before = self.look()

        service = self.demonstrate()

        self.assertEqual((0, ''), (service.wait(), service.err))
        self.assertRegex(
            service.out, r'(?s)image     boot-sector, 1,024 KiB raw, in .+'
            r'started \(booted\).+spawn     demo-\d+ in \d+\.\d s.+'
            r"console   'Hello from a guest of [^']+' in .+"
            r'snapshot  demo-\d+-snapshot, [\d,]+ KiB qcow2, in .+'
            r'stopped \(destroyed\).+destroy   demo-\d+ in ')
        self.assert_nothing_left(before)

    def test_one_that_is_interrupted_leaves_nothing(self) -> None:
        before = self.look()
        for step in ('  image ', 'started', '  console ', '  snapshot '):
            service = self.demonstrate()
            service.wait_for(step)

            service.process.send_signal(signal.SIGINT)

            self.assertEqual((130, ''), (service.wait(), service.err), step)
            self.assert_nothing_left(before)

    def test_what_a_killed_one_leaves_is_removed_by_the_next(self) -> None:
        before = self.look()
        part = pathlib.Path(self.state_path, 'images', f'{UUID}.data.part')
        for step in ('started', '  console '):
            service = self.demonstrate()
            service.wait_for(step)
            service.process.kill()
            service.wait()
            self.assertIn('demo-', self.host.virsh('list', '--name'))
            self.assertEqual(1, len(os.listdir(self.temporary)))
            part.parent.mkdir(exist_ok=True)
            part.write_bytes(b'half')

            service = self.demonstrate()

            self.assertEqual((0, ''), (service.wait(), service.err), step)
            self.assert_nothing_left(before)
            self.assertFalse(part.exists())

    def test_a_guest_that_is_kept_is_deleted_as_it_says(self) -> None:
        before = self.look()

        service = self.demonstrate('--keep')

        self.assertEqual((0, ''), (service.wait(), service.err))
        self.assertIn('demo-', self.host.virsh('list', '--name'))
        command = re.findall(r'^    .*nova-libvirt (.* delete demo-\d+)$',
                             service.out, re.MULTILINE)
        done = subprocess.run(
            f'{self.client_command()[0]} -m nova_libvirt_driver.cli '
            f'{command[0]} --yes', shell=True, capture_output=True,
            text=True, timeout=process.TIMEOUT_S, check=False)
        self.assertEqual((0, ''), (done.returncode, done.stderr))
        self.assert_nothing_left(before)
