# SPDX-License-Identifier: Apache-2.0

"""Tests for which files the privileged process opens."""

import contextlib
import os
import pathlib

import fixtures

from nova_libvirt_driver.privileged import place
from tests.unit.privileged import base

NAME = 'disk'


class PlaceTest(base.PrivilegedTestCase):

    def refused(self) -> OSError:
        """Return the error of an attempt to open the file."""
        error: OSError = self.assertRaises(OSError, self._open)
        return error

    def _open(self) -> None:
        with place.opened(base.UUID, NAME):
            pass

    def _open_here(self) -> list[str]:
        """Return what is open of the instances; others open files as well."""
        found = []
        for number in os.listdir('/proc/self/fd'):
            with contextlib.suppress(OSError):
                found.append(os.readlink(f'/proc/self/fd/{number}'))
        return [path for path in found if path.startswith(
            f'{self.folder.parent}')]

    def elsewhere(self) -> pathlib.Path:
        """Return a file outside the folder of the instances."""
        path = pathlib.Path(self.useFixture(fixtures.TempDir()).path, 'secret')
        path.write_bytes(b'secret')
        return path

    def test_a_regular_file_is_opened_for_reading(self) -> None:
        self.make(NAME, b'content')

        with place.opened(base.UUID, NAME) as file:
            self.assertEqual(b'content', os.pread(file.descriptor, 99, 0))
            self.assertRaises(OSError, os.write, file.descriptor, b'x')

    def test_no_descriptor_stays_open(self) -> None:
        self.make(NAME)
        open_before = self._open_here()

        with place.opened(base.UUID, NAME):
            open_within = self._open_here()

        self.assertEqual([], open_before)
        self.assertNotEqual([], open_within)
        self.assertEqual([], self._open_here())

    def test_a_link_is_not_followed(self) -> None:
        (self.folder / NAME).symlink_to(self.elsewhere())

        self.assertIn('regular file', str(self.refused()))

    def test_a_folder_that_is_a_link_is_not_entered(self) -> None:
        secret = self.elsewhere()
        secret.rename(secret.with_name(NAME))
        self.folder.rmdir()
        self.folder.symlink_to(secret.parent)

        self.refused()

    def test_a_second_name_of_another_file_is_refused(self) -> None:
        path = self.make('other')
        os.link(path, self.folder / NAME)

        self.assertIn('second name', str(self.refused()))

    def test_a_pipe_is_not_waited_for(self) -> None:
        os.mkfifo(self.folder / NAME)

        self.assertIn('regular file', str(self.refused()))

    def test_a_folder_is_no_file(self) -> None:
        (self.folder / NAME).mkdir()

        self.assertIn('regular file', str(self.refused()))

    def test_a_folder_that_all_can_write_to_is_not_trusted(self) -> None:
        self.make(NAME)
        self.folder.chmod(0o777)

        self.assertIn('every user', str(self.refused()))

    def test_a_path_that_is_not_absolute_is_refused(self) -> None:
        self.make(NAME)
        self.config.config(instances_path='instances')

        self.assertIn('not absolute', str(self.refused()))

    def test_what_is_not_there_is_not_found(self) -> None:
        self.assertIsInstance(self.refused(), FileNotFoundError)


class ForeignOwnerTest(base.PrivilegedTestCase):

    def setUp(self) -> None:
        super().setUp()
        if os.getuid() != 0:
            self.skipTest('only root can give files away')

    def test_a_file_of_another_user_is_refused(self) -> None:
        os.chown(self.make(NAME), 54321, 54321)

        error = self.assertRaises(
            PermissionError, lambda: place.opened(
                base.UUID, NAME).__enter__())

        self.assertIn('belongs to user 54321', str(error))
