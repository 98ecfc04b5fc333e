# SPDX-License-Identifier: Apache-2.0

import pathlib
import subprocess

import fixtures

from nova_libvirt_driver.testing import fake_ports
from nova_libvirt_driver.testing import footprint
from nova_libvirt_driver.testing import guests
from tests import base

UUID = '83679162-1378-4288-a2d4-70e13ec132aa'


class FootprintTest(base.TestCase):
    """A folder and a libvirt of the test's own."""

    def setUp(self) -> None:
        super().setUp()
        top = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        self.node = top / 'node.xml'
        self.node.write_text('<node></node>')
        self.folder = top / 'instances'
        self.folder.mkdir()

    def take(self, *ignore: str) -> footprint.Footprint:
        return footprint.Footprint.take(
            f'test://{self.node}', self.folder, ignore=ignore)

    def test_host_that_nobody_touched_shows_no_difference(self) -> None:
        (self.folder / 'disk').write_text('old')
        before = self.take()
        (self.folder / 'disk').write_text('new')

        self.assertEqual([], before.difference(self.take()))

    def test_files_that_came_and_went_are_told(self) -> None:
        (self.folder / 'old').touch(mode=0o600)
        before = self.take()
        (self.folder / 'old').unlink()
        (self.folder / 'a').mkdir(mode=0o700)
        (self.folder / 'a' / 'link').symlink_to('nowhere')

        self.assertEqual(
            [f'+ folder {self.folder}/a 0700',
             f'+ link {self.folder}/a/link 0777',
             f'- file {self.folder}/old 0600 empty'],
            sorted(before.difference(self.take())))

    def test_what_goes_while_it_looks_is_no_error(self) -> None:
        going = subprocess.Popen(
            ['sh', '-c', 'while :; do mkdir -p a/b/c; rm -r a; done'],
            cwd=self.folder)
        self.addCleanup(going.wait)
        self.addCleanup(going.kill)

        for _ in range(200):
            self.take()

    def test_mode_and_emptiness_of_a_file_count(self) -> None:
        disk = self.folder / 'disk'
        disk.touch(mode=0o600)
        before = self.take()
        disk.write_bytes(b'x')
        disk.chmod(0o644)

        self.assertEqual(
            [f'- file {disk} 0600 empty', f'+ file {disk} 0644'],
            before.difference(self.take()))

    def test_ignored_files_do_not_count(self) -> None:
        before = self.take('*/_base/*')
        (self.folder / '_base').mkdir(mode=0o700)
        (self.folder / '_base' / 'image').touch()

        self.assertEqual([f'+ folder {self.folder}/_base 0700'],
                         before.difference(self.take('*/_base/*')))

    def test_domain_that_was_made_is_told(self) -> None:
        before = self.take()
        xml = guests.guest_xml_for_test_driver('one', uuid=UUID)
        self.node.write_text(f'<node>{xml}</node>')

        self.assertEqual([f'+ domain one {UUID} running'],
                         before.difference(self.take()))

    def test_process_that_uses_the_folder_is_told(self) -> None:
        before = self.take()
        copy = subprocess.Popen(
            ['sh', '-c', 'read line', str(self.folder / 'disk')],
            stdin=subprocess.PIPE)
        with copy:
            fake_ports.wait_until(
                lambda: before.difference(self.take()), 'the process')

            self.assertEqual([f'+ process sh {self.folder}/disk'],
                             before.difference(self.take()))

        self.assertEqual([], before.difference(self.take()))

    def test_twins_are_counted(self) -> None:
        one = footprint.Footprint(('process qemu-img x',))
        two = footprint.Footprint(('process qemu-img x',) * 2)

        self.assertEqual(['+ process qemu-img x'], one.difference(two))
        self.assertEqual(['- process qemu-img x'], two.difference(one))
