# SPDX-License-Identifier: Apache-2.0

import errno
import os
import stat

import fixtures

from nova_libvirt_driver import exception
from nova_libvirt_driver.storage import atomic
from tests import base


class Interrupted(BaseException):
    """What ends a process, such as a key press."""


class AtomicTest(base.TestCase):

    def setUp(self) -> None:
        super().setUp()
        self.folder = self.useFixture(fixtures.TempDir()).path
        self.path = os.path.join(self.folder, 'file')
        atomic.write(self.path, b'before')

    def content(self) -> bytes:
        self.assertEqual(['file'], os.listdir(self.folder))
        with open(self.path, 'rb') as file:
            return file.read()

    def test_a_file_is_replaced_as_a_whole(self) -> None:
        atomic.write(self.path, b'after', 0o600)

        self.assertEqual(b'after', self.content())
        self.assertEqual(0o600, stat.S_IMODE(os.stat(self.path).st_mode))

    def test_no_other_process_sees_a_part_of_it(self) -> None:
        seen: list[object] = []

        def fill(temporary: str) -> None:
            with open(temporary, 'wb') as file:
                file.write(b'half')
                file.flush()
                seen.append(stat.S_IMODE(os.stat(temporary).st_mode))
            with open(self.path, 'rb') as kept:
                seen.append(kept.read())

        atomic.make(self.path, fill)

        self.assertEqual([0o600, b'before'], seen)
        self.assertEqual(b'half', self.content())

    def test_a_full_disk_leaves_what_was_there(self) -> None:
        def fill(temporary: str) -> None:
            with open(temporary, 'wb') as file:
                file.write(b'half')
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        error = self.assertRaises(
            exception.StorageFailure, atomic.make, self.path, fill)

        self.assertEqual(b'before', self.content())
        self.assertIn('No space left', str(error))
        self.assertIn(self.folder, error.next_step)

    def test_what_is_interrupted_leaves_what_was_there(self) -> None:
        def fill(temporary: str) -> None:
            raise Interrupted

        self.assertRaises(Interrupted, atomic.make, self.path, fill)

        self.assertEqual(b'before', self.content())
