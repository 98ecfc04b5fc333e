# SPDX-License-Identifier: Apache-2.0

"""Commands about images and flavors."""

import os
import pathlib

from tests.unit.cli import base


class ImageTest(base.ServerTestCase):

    def test_an_added_file_is_listed_by_its_name(self) -> None:
        path = self.file('debian-12.raw', base.DISK.ljust(3 << 20, b'x'))

        added = self.answer('image', 'add', path)

        self.assertEqual(added, self.answer('image', 'list'))
        self.assertEqual(
            [('debian-12', 'raw', 3)],
            [(row['Name'], row['Format'], row['Size MiB']) for row in added])

    def test_what_is_said_of_an_image_is_kept(self) -> None:
        self.answer(
            'image', 'add', self.file('a'), '--name', 'b',
            '--disk-format', 'raw', '--property', 'hw_disk_bus=scsi',
            '--min-disk', '3', '--min-ram', '64')

        image = self.images.find('b')
        self.assertEqual({'hw_disk_bus': 'scsi'}, image.properties)
        self.assertEqual((3, 64), (image.min_disk_gib, image.min_ram_mib))

    def test_a_folder_is_an_image_for_each_file(self) -> None:
        (self.folder / 'some').mkdir()
        for name in ('some/b.raw', 'some/a.img', 'some/.hidden'):
            self.file(name)

        added = self.answer('image', 'add', str(self.folder / 'some'))

        self.assertEqual(['a', 'b'], [row['Name'] for row in added])

    def test_links_in_a_folder_are_left_alone(self) -> None:
        some = self.folder / 'some'
        some.mkdir()
        (some / 'a.raw').write_bytes(base.DISK)
        (some / 'b.raw').symlink_to('/etc/passwd')

        added = self.answer('image', 'add', str(some))

        self.assertEqual(['a'], [row['Name'] for row in added])

    def test_a_folder_with_a_bad_file_says_what_was_kept(self) -> None:
        (self.folder / 'some').mkdir()
        self.file('some/a.raw')
        self.file('some/b.raw', b'')

        result = self.type('image', 'add', str(self.folder / 'some'))

        self.assertEqual(2, result.code)
        self.assertIn('State: added: a\n', result.stderr)
        self.assertEqual(['a'], [one.name for one in self.images.list()])

    def test_a_name_that_is_taken_is_a_conflict(self) -> None:
        self.have_image('debian')

        result = self.type(
            'image', 'add', self.file('x.raw'), '--name', 'debian')

        self.assertEqual(4, result.code)
        self.assertIn('nova-libvirt image delete debian', result.stderr)

    def test_no_images_are_an_empty_table(self) -> None:
        self.assertIn('| ID | Name | Format | Size MiB |',
                      self.type('image', 'list').stdout)

    def test_deleted_images_are_gone_and_shown(self) -> None:
        kept = self.have_image('kept')
        self.have_image('old')

        deleted = self.answer('image', 'delete', 'old', '--yes')

        self.assertEqual(['old'], [row['Name'] for row in deleted])
        self.assertEqual([kept], [one.id for one in self.images.list()])

    def test_a_damaged_image_can_be_deleted_by_its_id(self) -> None:
        image_id = self.have_image('bad')
        for path in (self.folder / 'images').glob(f'{image_id}*'):
            path.write_bytes(b'?')

        result = self.type('image', 'delete', image_id, '--yes')

        self.assertEqual(0, result.code, result.stderr)
        self.assertEqual([], list(
            (self.folder / 'images').glob(f'{image_id}*')))

    def test_an_unknown_image_gets_the_closest_one(self) -> None:
        self.have_image('debian')

        result = self.type('image', 'delete', 'debain', '--yes')

        self.assertEqual(3, result.code)
        self.assertIn('did you mean debian?', result.stderr)

    def test_nothing_is_deleted_that_nobody_can_confirm(self) -> None:
        self.have_image('debian')

        result = self.type('image', 'delete', 'debian')

        self.assertEqual(2, result.code)
        self.assertEqual(
            'Error: to delete image debian has to be confirmed\n'
            '  Next:  say --yes if you mean it\n', result.stderr)
        self.assertEqual(1, len(self.images.list()))

    def test_a_bad_argument_is_named(self) -> None:
        for words, told in (
                (('--property', 'x'), "'x' is not NAME=VALUE"),
                (('--min-disk', '-1'), "'-1' is not a number"),
                (('--min-ram', 'much'), "'much' is not a number"),
                (('--disk-format', 'zip'), "'zip'")):
            with self.subTest(words=words):
                result = self.type('image', 'add', 'x', *words)

                self.assertEqual(2, result.code)
                self.assertIn(told, result.stderr.splitlines()[0])


class FlavorTest(base.ServerTestCase):

    def test_sizes_are_listed_with_their_units(self) -> None:
        rows = {row['Name']: row for row in self.answer('flavor', 'list')}

        self.assertEqual(2048, rows['small']['Memory MiB'])
        self.assertEqual(20, rows['small']['Disk GiB'])


class DownloadTest(base.ServerTestCase):

    def test_an_image_becomes_a_file(self) -> None:
        image_id = self.have_image('debian')
        path = self.folder / 'copy.raw'

        found = self.answer('image', 'download', 'debian', str(path))

        self.assertEqual((image_id, str(path), len(base.DISK)), (
            found['id'], found['path'], found['size_bytes']))
        self.assertEqual(base.DISK, path.read_bytes())

    def test_a_file_is_replaced_only_by_force(self) -> None:
        self.have_image('debian')
        path = self.file('mine', 'mine')

        result = self.type('image', 'download', 'debian', path)
        self.assertEqual(4, result.code)
        self.assertIn('add --force to replace it', result.stderr)

        self.answer('image', 'download', 'debian', path, '--force')
        self.assertEqual(base.DISK, pathlib.Path(path).read_bytes())

    def test_a_failure_leaves_no_half_of_a_file(self) -> None:
        image_id = self.have_image('debian')
        os.unlink(self.folder / 'images' / f'{image_id}.data')
        folder = self.folder / 'out'
        folder.mkdir()

        result = self.type('image', 'download', image_id,
                           str(folder / 'debian'))

        self.assertNotEqual(0, result.code)
        self.assertEqual([], os.listdir(folder))

    def test_an_unknown_one_gets_the_closest(self) -> None:
        self.have_image('debian')

        result = self.type('image', 'download', 'debain', '/nonexistent/x')

        self.assertEqual(3, result.code)
        self.assertIn('did you mean debian?', result.stderr)
