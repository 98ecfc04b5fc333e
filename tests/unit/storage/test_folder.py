# SPDX-License-Identifier: Apache-2.0

import os
import pathlib
import stat

import fixtures

from nova_libvirt_driver import exception
from nova_libvirt_driver.spec import instance as instance_spec
from nova_libvirt_driver.storage import folder as folder_module
from tests import base

UUID = '5b2d9d6f-6f4f-4b5c-8f2c-3f2a4f4c8f11'


class InstanceFolderTest(base.TestCase):

    def setUp(self) -> None:
        super().setUp()
        self.root = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        self.folder = folder_module.InstanceFolder(str(self.root), UUID)

    def test_files_have_the_names_of_novas_own_driver(self) -> None:
        found = self.folder
        names = [
            os.path.relpath(path, self.root / UUID) for path in (
                found.disk, found.disk_info, found.config_drive,
                found.console_log, found.swap, found.ephemeral(1),
                found.rescue_disk, found.rescue_config_drive,
                found.unrescue_xml, found.kernel, found.ramdisk)]

        self.assertEqual(
            ['disk', 'disk.info', 'disk.config', 'console.log', 'disk.swap',
             'disk.eph1', 'disk.rescue', 'disk.config.rescue',
             'unrescue.xml', 'kernel', 'ramdisk'], names)

    def test_what_is_no_uuid_names_no_folder(self) -> None:
        for wrong in ('', '.', '..', '../x', '/etc', f'{UUID}/..',
                      f'{UUID}\n', f'{UUID}\0', UUID.upper(), '_base'):
            self.assertRaises(
                exception.InvalidRequest, folder_module.InstanceFolder,
                str(self.root), wrong)

    def test_a_file_beside_the_folders_says_who_shares_them(self) -> None:
        folders = folder_module.Folders(str(self.root), lambda: None)
        (self.root / '.seen-1').touch()

        for marker, expected in (
                ('.seen-1', True), ('.seen-2', False), ('', False),
                ('/etc/passwd', False)):
            place = folders.place(marker)
            self.assertEqual((str(self.root), expected), (
                place.instances_path, place.is_shared))

    def test_what_another_host_has_made_is_looked_at_again(self) -> None:
        # NFS believes what it remembers as long as a folder is unchanged.
        self.folder.create(os.getgid())
        places = self.root, pathlib.Path(self.folder.path)
        for place in places:
            os.utime(place, (0, 0))

        folder_module.Folders(str(self.root), lambda: None).adopt(
            instance_spec.InstanceRef(UUID, 'web'))

        for place in places:
            self.assertLess(0, place.stat().st_mtime)

    def test_others_on_the_host_may_not_look_in(self) -> None:
        self.addCleanup(os.umask, os.umask(0))

        self.folder.create(os.getgid())

        status = os.stat(self.folder.path)
        self.assertEqual(0o750, stat.S_IMODE(status.st_mode))
        self.assertEqual(os.getgid(), status.st_gid)

    def test_one_whose_group_cannot_be_known_is_not_begun(self) -> None:
        path = self.root / 'cache'

        def unknown() -> int:
            raise exception.HypervisorUnavailable(host='here', reason='away')

        self.assertRaises(exception.HypervisorUnavailable,
                          folder_module.ensure, str(path), unknown)
        self.assertFalse(path.exists())

        folder_module.ensure(str(path), os.getgid)
        self.assertTrue(path.is_dir())

    def test_a_strict_umask_does_not_shut_qemu_out(self) -> None:
        self.addCleanup(os.umask, os.umask(0o777))

        self.folder.create()

        self.assertEqual(
            0o750, stat.S_IMODE(os.stat(self.folder.path).st_mode))

    def test_an_existing_folder_is_not_taken_over(self) -> None:
        self.folder.create()
        pathlib.Path(self.folder.disk).write_text('precious')

        self.assertRaises(exception.StorageFailure, self.folder.create)

        self.assertEqual('precious', pathlib.Path(
            self.folder.disk).read_text())

    def test_removing_may_be_repeated(self) -> None:
        self.folder.create()
        pathlib.Path(self.folder.disk).touch()

        self.folder.remove()
        self.folder.remove()

        self.assertFalse(self.folder.exists())
        self.assertEqual([], os.listdir(self.root))

    def test_removing_follows_no_link(self) -> None:
        outside = self.root / 'outside'
        outside.mkdir()
        (outside / 'precious').touch()
        self.folder.create()
        os.symlink(outside, self.folder.disk)

        self.folder.remove()

        self.assertTrue((outside / 'precious').exists())

    def test_a_link_in_the_folders_place_goes_alone(self) -> None:
        outside = self.root / 'outside'
        outside.mkdir()
        (outside / 'precious').touch()
        os.symlink(outside, self.folder.path)

        self.assertTrue(self.folder.exists())
        self.folder.remove()

        self.assertFalse(self.folder.exists())
        self.assertTrue((outside / 'precious').exists())
