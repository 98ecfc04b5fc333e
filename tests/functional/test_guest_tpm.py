# SPDX-License-Identifier: Apache-2.0

"""Guests with an emulated TPM whose state is encrypted."""

import dataclasses

from nova_libvirt_driver import exception
from nova_libvirt_driver.spec import device as device_spec
from nova_libvirt_driver.spec import guest as guest_spec
from nova_libvirt_driver.spec import instance as instance_spec
from tests.functional import guest_base

SECRET = device_spec.TpmSecret(
    uuid='6a5d2c0e-51fe-4b3c-8f6d-0e2f3b7c9a11', value=b'correct horse')
OTHER = dataclasses.replace(SECRET, value=b'battery staple')


class GuestTpmTest(guest_base.GuestTestCase):
    """The start needs the secret; afterwards libvirt has none."""

    def setUp(self) -> None:
        super().setUp()
        self.spec = self.boot_guest('web', devices=device_spec.DeviceSpec(
            tpm=device_spec.TpmSpec(secret_uuid=SECRET.uuid)))

    def spawn(self) -> guest_spec.GuestSpec:
        with self.driver.holding_tpm_secret(self.spec, SECRET):
            self.driver.spawn(self.spec)
        return self.spec

    def secrets(self) -> list[str]:
        return [line for line in self.host.virsh('secret-list').splitlines()
                if SECRET.uuid in line]

    def assert_stopped(self) -> None:
        self.assertIs(
            instance_spec.PowerState.SHUTDOWN, self.state(self.spec))

    def test_each_start_opens_it_anew(self) -> None:
        spec = self.spawn()
        self.wait_console(spec, 'web is up')
        self.assertEqual([], self.secrets())
        self.driver.power_off(spec)

        with self.driver.holding_tpm_secret(spec, SECRET):
            self.driver.power_on(spec)

        self.assertIs(instance_spec.PowerState.RUNNING, self.state(spec))
        self.assertEqual([], self.secrets())

    def test_without_the_secret_it_stays_shut(self) -> None:
        spec = self.spawn()
        self.driver.power_off(spec)

        self.assertRaisesRegex(
            exception.DriverError, 'ecret', self.driver.power_on, spec)

        self.assert_stopped()

    def test_another_secret_does_not_open_it(self) -> None:
        spec = self.spawn()
        self.driver.power_off(spec)

        with self.driver.holding_tpm_secret(spec, OTHER):
            self.assertRaises(
                exception.DriverError, self.driver.power_on, spec)

        self.assert_stopped()
        with self.driver.holding_tpm_secret(spec, SECRET):
            self.driver.power_on(spec)

    def test_a_kept_one_goes_with_the_guest(self) -> None:
        with self.driver.holding_tpm_secret(
                self.spec, dataclasses.replace(SECRET, kept=True)):
            self.driver.spawn(self.spec)
        self.addCleanup(self.driver.delete_tpm_secret, self.spec)
        self.assertEqual(1, len(self.secrets()))

        self.driver.destroy(self.spec)
        self.driver.delete_tpm_secret(self.spec)

        self.assertEqual([], self.secrets())
