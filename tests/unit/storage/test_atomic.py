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


class AtomicTestCase(base.TestCase):

    def setUp(self) -> None:
        super().setUp()
        self.folder = self.useFixture(fixtures.TempDir()).path
        self.path = os.path.join(self.folder, 'file')
        atomic.write(self.path, b'before')

    def content(self) -> bytes:
        self.assertEqual(['file'], os.listdir(self.folder))
        with open(self.path, 'rb') as file:
            return file.read()


class AtomicTest(AtomicTestCase):

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


class DiscardTest(AtomicTestCase):

    def test_the_room_is_free_while_another_has_it_open(self) -> None:
        with open(self.path, 'rb') as other:
            atomic.discard(self.path)

            self.assertEqual(0, os.fstat(other.fileno()).st_size)
        self.assertFalse(os.path.lexists(self.path))
        atomic.discard(self.path)

    def test_a_file_with_another_name_keeps_its_content(self) -> None:
        os.link(self.path, f'{self.path}.kept')

        atomic.discard(self.path)

        with open(f'{self.path}.kept', 'rb') as kept:
            self.assertEqual(b'before', kept.read())

    def test_where_a_link_leads_to_is_left_alone(self) -> None:
        os.symlink(self.path, f'{self.path}.link')

        atomic.discard(f'{self.path}.link')

        self.assertEqual(b'before', self.content())
        self.assertEqual(['file'], os.listdir(self.folder))
