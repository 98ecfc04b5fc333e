# SPDX-License-Identifier: Apache-2.0

import os
import pathlib
import tempfile

import fixtures

from nova_libvirt_driver.compute import demo_folder
from nova_libvirt_driver.spec import instance as instance_spec
from tests.unit.operations import whole


class DemoFolderTest(whole.WholeTestCase):

    def setUp(self) -> None:
        super().setUp()
        self.temporary = self.useFixture(fixtures.TempDir()).path
        self.useFixture(fixtures.MonkeyPatch(
            'tempfile.tempdir', self.temporary))

    def leave(self, instance: instance_spec.Instance | None = None,
              uri: str = '') -> str:
        """Leave what a killed demonstration leaves."""
        path = tempfile.mkdtemp(prefix='nova-libvirt-demo-')
        if instance is not None:
            demo_folder.note(
                path, instance, uri or self.driver.get_host_facts().uri,
                str(self.instances_path))
        return path

    def sweep(self) -> None:
        demo_folder.sweep(self.driver, str(self.instances_path))

    def test_one_in_use_is_no_leftover_and_stays(self) -> None:
        with demo_folder.made() as path:
            self.assertEqual([], demo_folder.left())
            self.sweep()
            self.assertTrue(os.path.isdir(path))

        self.assertEqual([], os.listdir(self.temporary))

    def test_the_guest_of_a_killed_one_goes_with_its_folder(self) -> None:
        spec = self.guest()
        self.driver.spawn(spec)
        path = self.leave(spec)
        self.assertEqual([path], demo_folder.left())

        self.sweep()

        self.assertEqual([], self.names())
        self.assertEqual([], os.listdir(self.temporary))

    def test_one_without_a_guest_is_removed(self) -> None:
        self.leave()

        self.sweep()

        self.assertEqual([], os.listdir(self.temporary))

    def test_a_guest_of_another_libvirt_is_left_to_that(self) -> None:
        spec = self.guest()
        self.driver.spawn(spec)
        path = self.leave(spec, uri='qemu+tls://there/system')

        self.sweep()

        self.assertEqual([spec.name], self.names())
        self.assertEqual([path], demo_folder.left())

    def test_a_guest_that_is_to_stay_stays(self) -> None:
        spec = self.guest()
        self.driver.spawn(spec)
        demo_folder.forget(self.leave(spec))

        self.sweep()

        self.assertEqual([spec.name], self.names())

    def test_links_and_folders_of_others_are_left_alone(self) -> None:
        foreign = pathlib.Path(self.leave(self.guest()))
        foreign.chmod(0o755)
        link = pathlib.Path(self.temporary, 'nova-libvirt-demo-link')
        link.symlink_to(self.useFixture(fixtures.TempDir()).path)

        self.sweep()

        self.assertEqual([], demo_folder.left())
        self.assertTrue(foreign.is_dir())
        self.assertTrue(link.is_symlink())
