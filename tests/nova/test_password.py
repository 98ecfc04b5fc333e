# SPDX-License-Identifier: Apache-2.0

"""The password of a server that was set, for its owner to look up."""

import base64
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives import serialization
from nova.api.metadata import password
from nova import exception as nova_exception

from tests.nova import test_attached_volumes

NEW = 'kept to\u00e4 itself'


def public(key: Any) -> str:
    """Return the public half of a key, as a user uploads it."""
    encoded: bytes = key.public_key().public_bytes(
        serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    return encoded.decode()


class PasswordTest(test_attached_volumes.VerbsTestCase):

    def setUp(self) -> None:
        super().setUp()
        guest, = self.hypervisor.guests
        self.instance.system_metadata['image_hw_qemu_guest_agent'] = 'yes'
        self.driver.reboot(
            self.context, self.instance, [], 'HARD', self.block_devices())
        guest.agent = True
        self.guest = guest
        self.key = rsa.generate_private_key(65537, 2048)

    def kept(self) -> str | None:
        found: str | None = password.extract_password(self.instance)
        return found

    def test_the_owner_of_the_key_reads_it(self) -> None:
        self.instance.key_data = public(self.key)

        self.driver.set_admin_password(self.instance, NEW)

        self.assertEqual({'root': NEW}, self.guest.passwords)
        self.assertEqual(NEW, self.key.decrypt(
            base64.b64decode(self.kept() or ''),
            padding.PKCS1v15()).decode())

    def test_without_a_key_that_encrypts_none_is_kept(self) -> None:
        for key in (None, '', public(ed25519.Ed25519PrivateKey.generate())):
            with self.subTest(key=key):
                self.instance.key_data = key

                self.driver.set_admin_password(self.instance, NEW)

                self.assertIsNone(self.kept())

    def test_what_cannot_be_kept_was_set_all_the_same(self) -> None:
        self.instance.key_data = 'ssh-rsa AAAA damaged'
        with self.assertLogs('nova_libvirt_driver', 'WARNING') as logs:
            self.driver.set_admin_password(self.instance, NEW)

        self.assertEqual({'root': NEW}, self.guest.passwords)
        self.assertNotIn(NEW, str(logs.output))

    def test_what_was_not_set_is_not_kept(self) -> None:
        self.instance.key_data = public(self.key)
        self.guest.agent = False

        with self.assertRaises(nova_exception.QemuGuestAgentNotEnabled):
            self.driver.set_admin_password(self.instance, NEW)

        self.assertIsNone(self.kept())
