# SPDX-License-Identifier: Apache-2.0

"""The table of what servers can have."""

import os
import unittest

from tests.nova import environments
from tests.nova import support_matrix

MATRIX = environments.ROOT / 'doc/source/user/support-matrix.ini'
REGENERATE = os.environ.get('NOVA_LIBVIRT_GOLDEN') == 'regenerate'


class SupportMatrixTest(unittest.TestCase):

    @unittest.skipIf(environments.nova_release() < 34,
                     'the table is about the contract of 34')
    def test_the_documentation_agrees_with_the_driver(self) -> None:
        if REGENERATE:
            MATRIX.write_text(support_matrix.text())

        self.assertEqual(
            MATRIX.read_text(), support_matrix.text(),
            'set NOVA_LIBVIRT_GOLDEN=regenerate to write it anew')

    def test_every_verb_of_the_driver_is_in_it(self) -> None:
        named = {verb for feature in support_matrix.FEATURES
                 for verb in feature.verbs}

        self.assertEqual([], [
            verb for verb in support_matrix.verbs()
            if verb not in named | support_matrix.OF_THE_HOST])

    def test_every_flag_of_the_contract_is_in_it(self) -> None:
        named = {flag for feature in support_matrix.FEATURES
                 for flag in feature.flags}

        self.assertEqual(set(), support_matrix.flags() - named)
