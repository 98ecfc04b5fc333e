# SPDX-License-Identifier: Apache-2.0

from typing import Any

import libvirt

from nova_libvirt_driver.connection import settings
from tests import base

FULL = settings.Credentials(
    username='operator', password='s3cret', realm='lab')

ANSWERS = (
    (libvirt.VIR_CRED_AUTHNAME, 'operator'),
    (libvirt.VIR_CRED_ECHOPROMPT, 'operator'),
    (libvirt.VIR_CRED_REALM, 'lab'),
    (libvirt.VIR_CRED_PASSPHRASE, 's3cret'),
    (libvirt.VIR_CRED_NOECHOPROMPT, 's3cret'),
)

REFUSALS = (
    (libvirt.VIR_CRED_AUTHNAME, 'a user name'),
    (libvirt.VIR_CRED_ECHOPROMPT, 'a user name'),
    (libvirt.VIR_CRED_REALM, 'a realm'),
    (libvirt.VIR_CRED_PASSPHRASE, 'a password'),
    (libvirt.VIR_CRED_NOECHOPROMPT, 'a password'),
    (libvirt.VIR_CRED_EXTERNAL, 'an external authentication'),
    (4711, 'an unknown credential'),
)


def question(kind: int) -> list[Any]:
    """Return a question as libvirt puts it."""
    return [kind, 'Please enter', 'a challenge', 'a default', None]


class AuthenticationTest(base.TestCase):

    def test_all_six_types_are_offered(self) -> None:
        types, callback, opaque = settings.Authentication(FULL).as_argument()

        self.assertEqual(
            {libvirt.VIR_CRED_AUTHNAME, libvirt.VIR_CRED_ECHOPROMPT,
             libvirt.VIR_CRED_REALM, libvirt.VIR_CRED_PASSPHRASE,
             libvirt.VIR_CRED_NOECHOPROMPT, libvirt.VIR_CRED_EXTERNAL},
            set(types))
        self.assertEqual(6, len(types))
        self.assertTrue(callable(callback))
        self.assertIsNone(opaque)

    def test_each_type_is_answered_from_the_configuration(self) -> None:
        for kind, wanted in ANSWERS:
            authentication = settings.Authentication(FULL)
            asked = question(kind)

            self.assertEqual(0, authentication.callback([asked], None))

            self.assertEqual(wanted, asked[4], f'type {kind}')
            self.assertEqual('', authentication.refusal)

    def test_one_request_may_ask_for_several(self) -> None:
        asked = [question(libvirt.VIR_CRED_AUTHNAME),
                 question(libvirt.VIR_CRED_PASSPHRASE)]

        result = settings.Authentication(FULL).callback(asked, None)

        self.assertEqual(0, result)
        self.assertEqual(['operator', 's3cret'], [one[4] for one in asked])

    def test_what_is_not_configured_is_refused_by_its_kind(self) -> None:
        for kind, words in REFUSALS:
            authentication = settings.Authentication(settings.Credentials())
            asked = question(kind)

            self.assertEqual(-1, authentication.callback([asked], None))

            self.assertIn(f'asked for {words} ', authentication.refusal)
            self.assertIsNone(asked[4], f'type {kind}')

    def test_default_of_the_question_is_no_answer(self) -> None:
        authentication = settings.Authentication(settings.Credentials())

        result = authentication.callback(
            [question(libvirt.VIR_CRED_AUTHNAME)], None)

        self.assertEqual(-1, result)
        self.assertNotIn('a default', authentication.refusal)

    def test_refusal_names_no_secret(self) -> None:
        authentication = settings.Authentication(settings.Credentials(
            password='s3cret'))

        result = authentication.callback(
            [question(libvirt.VIR_CRED_PASSPHRASE),
             question(libvirt.VIR_CRED_AUTHNAME)], None)

        self.assertEqual(-1, result)
        self.assertNotIn('s3cret', authentication.refusal)

    def test_password_is_in_no_text(self) -> None:
        for text in (repr(FULL), str(FULL), f'{FULL}',
                     repr(settings.Authentication(FULL))):
            self.assertNotIn('s3cret', text)
