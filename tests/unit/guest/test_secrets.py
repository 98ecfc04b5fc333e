# SPDX-License-Identifier: Apache-2.0

import libvirt

from nova_libvirt_driver import exception
from nova_libvirt_driver.guest import secrets as secrets_module
from nova_libvirt_driver.spec import device as device_spec
from nova_libvirt_driver.testing import fake_secret
from tests import guests
from tests.unit.guest import handles

SECRET = device_spec.TpmSecret(
    uuid='0f5d7c1c-5b0f-4b67-9d43-6b8b4a4b6a11', value=b'passphrase')
KEPT = device_spec.TpmSecret(
    uuid=SECRET.uuid, value=b'passphrase', kept=True)


class SecretsTest(handles.HandleTestCase):

    @property
    def secrets(self) -> secrets_module.Secrets:
        return self.reached.secrets

    def hold(self, secret: device_spec.TpmSecret) -> list[fake_secret.Kept]:
        """Return what libvirt had within the context."""
        with self.secrets.holding(handles.INSTANCE, secret):
            return list(self.hypervisor.secrets)

    def let_fail(self, method: str) -> None:
        self.hypervisor.fail_next(method, guests.failure(
            libvirt.VIR_ERR_INTERNAL_ERROR))

    def test_it_is_there_for_the_start_only(self) -> None:
        held, = self.hold(SECRET)

        self.assertEqual(fake_secret.Kept(
            SECRET.uuid, handles.UUID, private=True, ephemeral=True,
            value=b'passphrase'), held)
        self.assertEqual([], self.hypervisor.secrets)

    def test_one_that_is_kept_stays(self) -> None:
        self.hold(KEPT)

        kept, = self.hypervisor.secrets
        self.assertEqual((False, False), (kept.private, kept.ephemeral))
        self.assertEqual(SECRET.uuid, self.secrets.find(handles.INSTANCE))

    def test_a_start_that_fails_leaves_none(self) -> None:
        for secret in (SECRET, KEPT):
            with self.assertRaisesRegex(RuntimeError, 'no start'):
                with self.secrets.holding(handles.INSTANCE, secret):
                    raise RuntimeError('no start')
            self.assertEqual([], self.hypervisor.secrets)

    def test_a_value_that_is_refused_leaves_none(self) -> None:
        self.let_fail('setValue')

        self.assertRaises(exception.LibvirtFailure, self.hold, SECRET)

        self.assertEqual([], self.hypervisor.secrets)

    def test_what_a_killed_start_left_is_replaced(self) -> None:
        for uuid in (SECRET.uuid, '1b7f2f67-21a3-4a4b-8f2f-2b0f4f1b7a22'):
            self.hypervisor.secrets = [fake_secret.Kept(
                uuid, handles.UUID, private=True, ephemeral=True)]

            held, = self.hold(SECRET)

            self.assertEqual((SECRET.uuid, b'passphrase'),
                             (held.uuid, held.value))

    def test_what_was_started_stays_started(self) -> None:
        with self.assertLogs('nova_libvirt_driver', 'WARNING') as logs:
            with self.secrets.holding(handles.INSTANCE, SECRET):
                self.let_fail('secretUndefine')

        self.assertIn('Could not remove the secret', logs.output[0])
        self.assertNotIn('passphrase', str(logs.output) + repr(SECRET))

    def test_only_one_that_is_kept_can_be_read(self) -> None:
        self.assertIsNone(self.secrets.read(handles.INSTANCE))
        with self.secrets.holding(handles.INSTANCE, SECRET):
            self.assertRaises(
                exception.LibvirtFailure, self.secrets.read,
                handles.INSTANCE)
        self.hold(KEPT)

        self.assertEqual(KEPT, self.secrets.read(handles.INSTANCE))

    def test_deleting_is_idempotent(self) -> None:
        self.hold(KEPT)
        for _ in range(2):
            self.secrets.delete(handles.INSTANCE)

        self.assertIsNone(self.secrets.find(handles.INSTANCE))

    def test_a_failure_is_no_missing_secret(self) -> None:
        self.let_fail('secretLookupByUsage')

        self.assertRaises(exception.LibvirtFailure, self.secrets.find,
                          handles.INSTANCE)

    def test_one_of_a_volume_is_another(self) -> None:
        volume = fake_secret.Kept(
            SECRET.uuid, handles.UUID, private=False, ephemeral=False,
            usage_type=libvirt.VIR_SECRET_USAGE_TYPE_VOLUME)
        self.hypervisor.secrets.append(volume)

        self.secrets.delete(handles.INSTANCE)
        self.assertEqual(
            SECRET.uuid, self.secrets.find_of_volume(handles.UUID))
        self.assertIsNone(self.secrets.find(handles.INSTANCE))

        for _ in range(2):
            self.secrets.delete_of_volume(handles.UUID)
        self.assertIsNone(self.secrets.find_of_volume(handles.UUID))


class VolumeSecretTest(handles.HandleTestCase):

    VOLUME = '6ca404f3-d844-4169-bb96-bc792f37de98'

    def test_a_volume_has_one_secret(self) -> None:
        secrets = self.reached.secrets

        secrets.keep_of_volume(self.VOLUME, b'old', ephemeral=True)
        uuid = secrets.keep_of_volume(self.VOLUME, b'new', ephemeral=False)

        self.assertEqual([fake_secret.Kept(
            uuid, self.VOLUME, private=True, ephemeral=False, value=b'new',
            usage_type=libvirt.VIR_SECRET_USAGE_TYPE_VOLUME)],
            self.hypervisor.secrets)
        self.assertEqual(uuid, secrets.find_of_volume(self.VOLUME))
        secrets.delete_of_volume(self.VOLUME)
        self.assertIsNone(secrets.find_of_volume(self.VOLUME))

    def test_a_value_that_is_refused_leaves_none(self) -> None:
        self.hypervisor.fail_next('setValue', guests.failure(
            libvirt.VIR_ERR_INTERNAL_ERROR))

        self.assertRaises(
            exception.LibvirtFailure, self.reached.secrets.keep_of_volume,
            self.VOLUME, b'new', ephemeral=False)

        self.assertEqual([], self.hypervisor.secrets)
