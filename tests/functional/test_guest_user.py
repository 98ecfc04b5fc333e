# SPDX-License-Identifier: Apache-2.0

"""Guests whose QEMU is not root, as on every host but those of tests."""

import os
import pathlib
import stat
from typing import ClassVar

from nova_libvirt_driver.spec import configdrive as configdrive_spec
from nova_libvirt_driver.spec import guest as guest_spec
from nova_libvirt_driver.spec import instance as instance_spec
from nova_libvirt_driver.testing import libvirtd
from tests.functional import guest_base

SNAPSHOT_ID = '5f0c1f0e-6d1f-4a39-9f0c-0f3d5a9d7b11'


class GuestUserTest(guest_base.GuestTestCase):
    """QEMU runs as the user that the distribution has for it."""

    qemu_settings: ClassVar[dict[str, libvirtd.Setting]] = {
        'user': 'libvirt-qemu', 'group': 'libvirt-qemu'}

    def setUp(self) -> None:
        super().setUp()
        # Folders of tests are private; QEMU has to get through them.
        for folder in self.instances_path.parents:
            if stat.S_IMODE(folder.stat().st_mode) == 0o700:
                folder.chmod(0o711)
        self.instances_path.rmdir()

    def test_every_verb_lets_qemu_at_what_it_needs(self) -> None:
        spec = self.boot_guest(
            'web', config_drive=configdrive_spec.ConfigDriveSpec())

        self.driver.spawn(spec)
        self.wait_console(spec, 'web is up')
        self.driver.snapshot(spec, SNAPSHOT_ID, name='kept')
        self.driver.rescue(spec, SNAPSHOT_ID)
        self.driver.unrescue(spec)
        self.driver.reboot(spec, guest_spec.RebootType.HARD)
        self.wait_console(spec, 'web is up')
        self.driver.suspend(spec)
        self.driver.resume(spec)

        self.assertIs(
            instance_spec.PowerState.RUNNING, self.state(spec))
        self.assertEqual([], _open_to_the_world(self.instances_path))
        self.driver.destroy(spec)


def _open_to_the_world(folder: pathlib.Path) -> list[str]:
    return [path for path, _, names in os.walk(folder)
            for path in (path, *(os.path.join(path, name) for name in names))
            if os.lstat(path).st_mode & stat.S_IRWXO]
