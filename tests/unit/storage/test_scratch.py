# SPDX-License-Identifier: Apache-2.0

import os
import pathlib
import stat

import fixtures

from nova_libvirt_driver import exception
from nova_libvirt_driver.storage import scratch as scratch_module
from tests import base


class ScratchTest(base.TestCase):

    def setUp(self) -> None:
        super().setUp()
        self.root = self.useFixture(fixtures.TempDir()).path
        self.scratch = scratch_module.Scratch(
            os.path.join(self.root, 'snapshots'), os.getgid)

    def test_choosing_makes_nothing(self) -> None:
        self.assertNotEqual(self.scratch.choose(), self.scratch.choose())
        self.assertEqual([], os.listdir(self.root))

    def test_others_on_the_host_may_not_look_in(self) -> None:
        self.addCleanup(os.umask, os.umask(0))
        path = self.scratch.choose()

        self.scratch.make(path)

        for one in (path, os.path.dirname(path)):
            self.assertEqual(0o750, stat.S_IMODE(os.stat(one).st_mode))

    def test_removing_may_be_repeated(self) -> None:
        path = self.scratch.choose()
        self.scratch.make(path)
        pathlib.Path(path, 'snapshot').touch()

        self.scratch.remove(path)
        self.scratch.remove(path)

        self.assertEqual([], os.listdir(os.path.dirname(path)))

    def test_an_existing_folder_is_not_taken_over(self) -> None:
        path = self.scratch.choose()
        self.scratch.make(path)

        self.assertRaises(exception.StorageFailure, self.scratch.make, path)

    def test_no_other_folder_is_removed(self) -> None:
        inside = os.path.join(self.root, 'snapshots')
        os.makedirs(os.path.join(inside, 'precious'))
        for path in ('', '/', self.root, inside, f'{inside}/',
                     f'{inside}/..', f'{inside}/precious',
                     f'{inside}/../snapshots/{"a" * 32}', 'a' * 32,
                     f'{inside}/{"a" * 32}\n'):
            self.assertRaises(
                exception.InvalidRequest, self.scratch.remove, path)
            self.assertRaises(
                exception.InvalidRequest, self.scratch.make, path)

        self.assertTrue(os.path.exists(os.path.join(inside, 'precious')))
