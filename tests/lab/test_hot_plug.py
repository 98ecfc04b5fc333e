# SPDX-License-Identifier: Apache-2.0

"""Volumes that a running guest gets, uses, sees grow, and loses again."""

import os
from typing import Any

from nova_libvirt_driver import exception
from nova_libvirt_driver import ports
from nova_libvirt_driver.spec import disk as disk_spec
from nova_libvirt_driver.spec import volume as volume_spec
from nova_libvirt_driver.testing import fake_ports
from nova_libvirt_driver.testing import linux_guest
from nova_libvirt_driver.testing import specs
from tests.lab import base
from tests.lab import linux
from tests.lab import targets
from tests.lab import test_volumes

MIB = 1 << 20
SIZE = 64 * MIB
BUS = disk_spec.DiskBus.VIRTIO
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

    def attachment_of_volume(
            self, **data: Any) -> ports.VolumeAttachment:
        return self.driver.volume_attachment(self.spec, [volume_spec.Volume(
            info=self.target.connection_info(**data),
            place=volume_spec.Placement(target_dev='vdb', bus=BUS))],
            self.connector)

    def attach(self, **data: Any) -> None:
        self.driver.attach_disk(
            self.spec, disk_spec.DiskSpec(
                target_dev='vdb', id=KEY.id, serial=KEY.serial, bus=BUS,
                format='raw', source=disk_spec.DiskSource()),
            attachments=[self.attachment_of_volume(**data)])

    def detach(self) -> None:
        self.driver.detach_disk(
            self.spec, KEY, attachments=[self.attachment_of_volume()])

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
                volume=self.attachment_of_volume())
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
