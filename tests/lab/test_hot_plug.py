# SPDX-License-Identifier: Apache-2.0

"""Volumes that a running guest gets, uses, sees grow, and loses again."""

import json
import os
import signal
import subprocess
import sys
from typing import Any

from nova_libvirt_driver import exception
from nova_libvirt_driver.nova_plugin import volumes
from nova_libvirt_driver import ports
from nova_libvirt_driver.spec import disk as disk_spec
from nova_libvirt_driver.spec import instance as instance_spec
from nova_libvirt_driver.storage import spec_record
from nova_libvirt_driver.testing import fake_ports
from nova_libvirt_driver.testing import linux_guest
from nova_libvirt_driver.testing import specs
from tests.lab import base
from tests.lab import killed
from tests.lab import linux
from tests.lab import targets
from tests.lab import test_volumes

MIB = 1 << 20
SIZE = 64 * MIB
KEY = disk_spec.DiskKey(id=targets.VOLUME, serial=targets.VOLUME)


class HotPlugTest(test_volumes.VolumesTestCase):

    def setUp(self) -> None:
        super().setUp()
        self.target = self.useFixture(targets.Iscsi(
            device=self.useFixture(targets.LogicalVolume(SIZE)).path))
        image = self.images.add(linux.content(), name='linux')
        self.spec = specs.guest_spec(
            'linux', image.id, memory_mib=linux_guest.MEMORY_MIB)
        self.driver.spawn(self.spec)
        fake_ports.wait_until(
            lambda: 'guest: ready' in self.console(self.spec), 'the guest',
            timeout_s=base.CONSOLE_TIMEOUT_S)
        self.looks = 0

    def attachment_of(
            self, instance: instance_spec.Instance, name: str,
            memo: ports.Memo | None) -> ports.Attachment | None:
        assert memo is not None
        return volumes.interrupted(self.driver, instance, memo, is_gone=False)

    def attach(self, **data: Any) -> None:
        killed.run(self.driver, 'attach', self.spec,
                   self.target.connection_info(**data))

    def detach(self) -> None:
        killed.run(self.driver, 'detach', self.spec,
                   self.target.connection_info())

    def killed(self, verb: str, step: int) -> bool:
        """Run a verb in a process that is killed; say whether it was."""
        done = subprocess.run(
            [sys.executable, '-W', 'ignore', '-m', 'tests.lab.killed'],
            input=json.dumps({
                'verb': verb, 'step': step, 'locks': self.locks,
                'options': {'host': self.config.conf.host,
                            'instances_path': str(self.instances_path)},
                'libvirt': {'connection_uri': base.URI, 'virt_type': 'kvm'},
                'spec': spec_record.dumps(self.spec),
                'connection_info': self.target.connection_info()}),
            capture_output=True, text=True, timeout=300)
        self.assertIn(done.returncode, (0, -signal.SIGKILL), done.stderr)
        return done.returncode != 0

    def settle(self) -> None:
        """Have the next process clean up."""
        self.driver = self.make_lab_driver()
        fake_ports.wait_until(
            lambda: not list((self.instances_path / '.operations').glob(
                '*.json')), 'an empty journal', timeout_s=120.0)

    def look(self) -> str:
        """Return what the guest sees of its disks."""
        self.looks += 1
        self.type_line(f'disks {self.looks}', f'disks told {self.looks}')
        text = self.console(self.spec)
        return text[max(0, text.rfind(f'disks told {self.looks - 1}')):]

    def type_line(self, line: str, answer: str) -> None:
        terminal = os.open(self.virsh(
            'ttyconsole', self.spec.name).strip(), os.O_WRONLY | os.O_NOCTTY)
        try:
            os.write(terminal, f'{line}\n'.encode())
            fake_ports.wait_until(
                lambda: answer in self.console(self.spec), answer,
                timeout_s=base.CONSOLE_TIMEOUT_S)
        finally:
            os.close(terminal)

    def wait_size(self, size_bytes: int) -> None:
        fake_ports.wait_until(
            lambda: f'disk vdb sectors={size_bytes // 512} ' in self.look(),
            f'a disk of {size_bytes} bytes', timeout_s=60.0)

    def test_attached_used_extended_and_detached(self) -> None:
        for times in (1, 2):
            self.attach()
            self.wait_size(times * SIZE)
            self.type_line(f'put vdb text {times}', f'put vdb text {times}')
            self.target.grow((times + 1) * SIZE)
            self.driver.extend_disk(
                self.spec, KEY, (times + 1) * SIZE,
                volume=killed.attachment(
                    self.driver, self.spec, self.target.connection_info()))
            self.wait_size((times + 1) * SIZE)
            self.detach()

            self.assertNotIn('disk vdb ', self.look())
            targets.wait_gone(self.target.sessions)
            self.assertIn(f'text {times}'.encode(), self.target.read())

    def test_an_attach_that_fails_leaves_nothing(self) -> None:
        self.assertRaises(
            exception.VolumeFailure, self.attach, auth_password='wrong')

        targets.wait_gone(self.target.sessions)
        self.assertNotIn('disk vdb ', self.look())
        self.attach()
        self.wait_size(SIZE)
        self.detach()
        targets.wait_gone(self.target.sessions)

    def test_a_target_that_goes_and_comes_back(self) -> None:
        self.attach()
        self.target.stop()
        self.target.wait_state('FAILED')
        self.target.start()
        self.target.wait_state('LOGGED_IN')

        self.type_line('put vdb text 1', 'put vdb text 1')
        self.detach()

        targets.wait_gone(self.target.sessions)
        self.assertIn(b'text 1', self.target.read())

    def test_a_process_that_is_killed_leaves_nothing(self) -> None:
        step = 1
        while self.killed('attach', step):
            self.settle()
            self.assertEqual((step, []), (step, self.target.sessions()))
            self.assertNotIn('disk vdb ', self.look())
            step += 1
        self.assertGreater(step, 4)
        self.wait_size(SIZE)

        step = 1
        while self.killed('detach', step):
            self.settle()
            if not self.target.sessions():
                self.assertNotIn('disk vdb ', self.look())
                self.attach()
            step += 1
        self.assertGreater(step, 3)
        self.assertNotIn('disk vdb ', self.look())
        self.assertEqual([], self.target.sessions())
