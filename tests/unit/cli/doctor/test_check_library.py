# SPDX-License-Identifier: Apache-2.0

import fixtures

from nova_libvirt_driver.cli.doctor import check_library
from nova_libvirt_driver.cli.doctor import checks
from nova_libvirt_driver.storage import sandbox
from tests import base


class SandboxCheckTest(base.TestCase):

    def test_a_sandbox_that_works(self) -> None:
        for wanted in ('preferred', 'required'):
            self.assertEqual(
                checks.Status.OK, check_library.sandbox(wanted).status)

    def test_none_where_there_is_no_bubblewrap(self) -> None:
        folder = self.useFixture(fixtures.TempDir()).path
        self.useFixture(fixtures.EnvironmentVariable('PATH', folder))
        sandbox.problem.cache_clear()
        self.addCleanup(sandbox.problem.cache_clear)

        found = {wanted: check_library.sandbox(wanted)
                 for wanted in ('preferred', 'required')}

        self.assertEqual(
            [checks.Status.WARNING, checks.Status.FAILURE],
            [check.status for check in found.values()])
        for check in found.values():
            self.assertIn('not installed', check.detail)
            self.assertIn('bubblewrap', check.fix)

    def test_one_that_is_off_is_warned_of(self) -> None:
        self.assertEqual(checks.Status.WARNING,
                         check_library.sandbox('off').status)
