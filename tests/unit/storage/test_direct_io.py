# SPDX-License-Identifier: Apache-2.0

import os
import resource
import tempfile

from nova_libvirt_driver import exception
from nova_libvirt_driver.storage import folder as folder_module
from tests import base


def folders(path: str) -> folder_module.Folders:
    return folder_module.Folders(path, lambda: None)


class DirectIoTest(base.TestCase):

    def test_a_folder_that_is_not_there_yet_counts_as_able(self) -> None:
        self.assertEqual('none', folders('/none-such').cache_mode())

    def test_the_answer_is_one_that_libvirt_knows(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            self.assertIn(
                folders(folder).cache_mode(), ('none', 'writeback'))
            self.assertEqual([], os.listdir(folder))

    def test_proc_cannot_do_without_the_hosts_cache(self) -> None:
        # No file can be made there, and so no disk either.
        self.assertEqual('none', folders('/proc').cache_mode())

    def test_what_stops_it_for_now_is_not_the_answer(self) -> None:
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        with tempfile.TemporaryDirectory() as folder:
            resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
            try:
                self.assertRaises(
                    exception.StorageFailure, folders(folder).cache_mode)
            finally:
                resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

            self.assertIn(
                folders(folder).cache_mode(), ('none', 'writeback'))
