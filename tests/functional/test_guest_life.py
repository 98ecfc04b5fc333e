# SPDX-License-Identifier: Apache-2.0

"""The life of a Linux guest, from its image to a guest of its snapshot."""

import base64
import dataclasses

from nova_libvirt_driver.spec import boot as boot_spec
from nova_libvirt_driver.spec import configdrive as configdrive_spec
from nova_libvirt_driver.spec import disk as disk_spec
from nova_libvirt_driver.spec import guest as guest_spec
from nova_libvirt_driver.spec import instance as instance_spec
from nova_libvirt_driver.testing import fake_ports
from nova_libvirt_driver.testing import fake_progress
from tests.functional import guest_base

PowerState = instance_spec.PowerState
SOFT = guest_spec.RebootType.SOFT
HARD = guest_spec.RebootType.HARD

CONFIG_DRIVE = configdrive_spec.ConfigDriveSpec(
    hostname='web.example', user_data='#!/bin/sh\necho hello\n',
    files=(configdrive_spec.InjectedFile(
        path='/etc/motd',
        content_base64=base64.b64encode(b'welcome').decode()),))


class GuestLifeTest(guest_base.GuestTestCase):
    """One Linux guest in each test."""

    def spawn(self, name: str = 'web') -> guest_spec.GuestSpec:
        """Make a guest and wait until it is up."""
        image = self.linux_image('base', note='from the image')
        spec = self.linux_guest(name, image.id, config_drive=CONFIG_DRIVE)
        self.driver.spawn(spec)
        self.wait_console(spec, 'guest: ready')
        return spec

    def assert_never_off(
            self, spec: guest_spec.GuestSpec, *, starts: int) -> None:
        """What restarts a guest tells of starts, and of no stop."""
        fake_ports.wait_until(
            lambda: self.listener.transitions(spec.name)
            == ['started'] * starts, 'the starts')

    def test_guest_sees_what_it_was_given(self) -> None:
        spec = self.spawn()

        said = self.console(spec)

        for line in ('image=base', f'dmi serial={spec.uuid}',
                     'config drive sr0 iso9660', 'hostname=web.example',
                     f'uuid={spec.uuid}', 'user_data=#!/bin/sh',
                     'file /etc/motd=welcome', 'boot 1'):
            self.assertIn(f'guest: {line}', said)
        self.assertRegex(said, 'guest: disk vda .*note=from the image')
        self.assertIs(PowerState.RUNNING, self.state(spec))

    def test_soft_reboot_is_the_guests_own_and_hard_is_not(self) -> None:
        spec = self.spawn()
        progress = fake_progress.RecordingProgress()

        self.driver.reboot(spec, SOFT, progress=progress)
        self.assertEqual(['shut down', 'start'], progress.steps)
        self.wait_console(spec, 'boot 2.*ready')
        self.driver.reboot(spec, HARD)
        self.wait_console(spec, 'boot 3.*ready')

        self.assert_never_off(spec, starts=3)
        self.assertIs(PowerState.RUNNING, self.state(spec))

    def test_guest_stops_by_itself_and_starts_again(self) -> None:
        spec = self.spawn()

        self.driver.power_off(spec, timeout_s=60, retry_interval_s=5)

        self.assertIs(PowerState.SHUTDOWN, self.state(spec))
        self.assertIn('power button', self.console(spec))
        self.driver.power_on(spec)
        self.wait_console(spec, 'boot 2.*ready')

    def test_paused_guest_stands_still(self) -> None:
        spec = self.spawn()

        self.driver.pause(spec)
        stopped_at = self.last_tick(spec)
        self.assertIs(PowerState.PAUSED, self.state(spec))
        self.driver.unpause(spec)

        self.wait_tick(spec, above=stopped_at)
        self.assertIn('boot 1', self.console(spec))
        self.assertNotIn('boot 2', self.console(spec))

    def test_suspended_guest_goes_on_where_it_was(self) -> None:
        spec = self.spawn()
        self.wait_tick(spec, above=3)

        self.driver.suspend(spec)
        self.assertIs(PowerState.SHUTDOWN, self.state(spec))
        self.driver.resume(spec)

        self.wait_tick(spec, above=4)
        self.assertNotIn('boot 2', self.console(spec))

    def test_rescued_guest_has_its_disk_beside_the_other(self) -> None:
        spec = self.spawn()
        rescue = self.linux_image('rescue', note='a tool')

        self.driver.rescue(spec, rescue.id)
        self.wait_console(spec, 'image=rescue.*note=a tool.*disk vdb .*'
                                'note=from the image.*ready')
        self.driver.unrescue(spec)

        self.wait_console(spec, 'image=base.*boot 2.*ready')
        self.assert_never_off(spec, starts=3)

    def test_rescue_with_other_hardware_leaves_the_guest_its_own(self) -> None:
        spec = self.spawn()
        before = self.driver.get_domain_xml(spec, inactive=True)

        self.driver.rescue(dataclasses.replace(
            spec, boot=dataclasses.replace(
                spec.boot, firmware=boot_spec.Firmware.UEFI),
            storage=dataclasses.replace(
                spec.storage, bus=disk_spec.DiskBus.SATA)),
            self.linux_image('rescue').id)
        rescued = self.driver.get_domain_xml(spec, inactive=True)
        self.driver.unrescue(spec)

        self.assertIn("firmware='efi'", rescued)
        self.assertIn("bus='sata'", rescued)
        self.assertEqual(
            before, self.driver.get_domain_xml(spec, inactive=True))
        self.wait_console(spec, 'boot 2.*ready')

    def test_guest_of_a_snapshot_has_what_the_first_one_wrote(self) -> None:
        before = self.look_at_host()
        spec = self.spawn()
        self.type_line(
            spec, 'write kept by the guest', 'wrote kept by the guest')

        snapshot_id = '5f0c1f0e-6d1f-4a39-9f0c-0f3d5a9d7b11'
        self.driver.snapshot(spec, snapshot_id, name='kept')
        self.wait_tick(spec, above=self.last_tick(spec))
        second = self.linux_guest('second', snapshot_id)
        self.driver.spawn(second)

        self.wait_console(
            second, 'note=kept by the guest.*boot 2.*ready')
        self.driver.destroy(spec)
        self.driver.destroy(second)
        self.assert_host_is(before)
