# SPDX-License-Identifier: Apache-2.0

import dataclasses
import json
import os
import pathlib
import tempfile

import fixtures

from nova_libvirt_driver.cli.doctor import check_leftovers
from nova_libvirt_driver.cli.doctor import checks
from nova_libvirt_driver.images import folder
from nova_libvirt_driver.storage import journal as journal_module
from tests import base
from tests import owners

UUID = '8b0c0b9e-1d1c-4b4f-8a53-0f1a2c6f7e01'


class LeftoversTest(base.TestCase):

    def setUp(self) -> None:
        super().setUp()
        self.instances_path, self.images_path, temporary = (
            self.useFixture(fixtures.TempDir()).path for _ in range(3))
        self.useFixture(fixtures.MonkeyPatch('tempfile.tempdir', temporary))
        self.images = folder.ImageFolder(self.images_path)

    def check(self) -> checks.Check:
        return check_leftovers.leftovers(
            self.instances_path, self.images_path, 'here', owners.HERE)

    def leave_image(self) -> pathlib.Path:
        path = pathlib.Path(self.images_path, f'{UUID}.data.part')
        path.write_bytes(b'half')
        return path

    def test_nothing_is_made_where_nothing_is_left(self) -> None:
        self.assertEqual(checks.Status.OK, self.check().status)
        self.assertEqual([], os.listdir(self.images_path))
        self.assertEqual([], os.listdir(self.instances_path))

    def test_what_cannot_be_read_is_named(self) -> None:
        path = pathlib.Path(
            self.instances_path, '.operations', f'{UUID}.1@there.json')
        path.parent.mkdir()
        path.touch()

        found = self.check()

        self.assertEqual(checks.Status.WARNING, found.status)
        self.assertIn(str(path), found.detail)

    def test_what_is_left_is_named_and_stays(self) -> None:
        path = self.leave_image()
        bytes_only = pathlib.Path(
            self.images_path, f'{UUID.replace("8", "9")}.data')
        bytes_only.touch()
        entry = owners.journal(self.instances_path).begin(
            'snapshot', uuid=UUID, name='one')
        entry.release()
        demonstration = tempfile.mkdtemp(prefix='nova-libvirt-demo-')

        found = self.check()

        self.assertEqual(checks.Status.WARNING, found.status)
        for words in (str(path), str(bytes_only), demonstration,
                      f'an interrupted snapshot of instance {UUID}'):
            self.assertIn(words, found.detail)
        self.assertEqual(found, self.check())

    def test_what_waits_for_an_operator_is_named_with_what_to_do(
            self) -> None:
        other = UUID.replace('8', '9')
        for uuid, hint in ((UUID, 'look there'), (other, 'look here')):
            owners.journal(self.instances_path).begin(
                'live-migrate', uuid=uuid, name='one').leave_open(
                    'gone to qemu+tcp://two/system', 600.0, hint=hint)

        found = self.check()

        self.assertEqual(checks.Status.WARNING, found.status)
        self.assertIn(f'a live-migrate of instance {UUID}, gone to qemu+tcp:'
                      '//two/system', found.detail)
        for words in (other, UUID):
            self.assertIn(words, found.detail)
        self.assertEqual(
            ['look here', 'look there'], sorted(found.fix.split('; ')))

        damaged = pathlib.Path(
            self.instances_path, '.operations', f'{UUID}.1@there.json')
        damaged.touch()

        self.assertIn(str(damaged), self.check().detail)

    def test_what_is_under_way_is_no_leftover(self) -> None:
        entry = owners.journal(self.instances_path).begin(
            'snapshot', uuid=UUID, name='one')
        self.addCleanup(entry.end)

        with self.images.temporary(UUID):
            self.assertEqual(checks.Status.OK, self.check().status)

    def leave(self, owner: journal_module.Owner, age_s: float = 0) -> None:
        entry = owners.journal(self.instances_path, owner).begin(
            'spawn', uuid=UUID, name='one')
        path, = pathlib.Path(self.instances_path).rglob('*.json')
        path.write_bytes(dataclasses.replace(
            entry.note, begun_at=entry.note.begun_at - age_s).data())
        entry.release()

    def test_what_another_host_has_left_is_named_with_owner_and_age(
            self) -> None:
        self.leave(owners.THERE, 3 * 3600)

        found = self.check()

        self.assertEqual(checks.Status.WARNING, found.status)
        for words in ('interrupted spawn', UUID, '3 h old',
                      'host there with fake:///'):
            self.assertIn(words, found.detail)

    def test_what_another_libvirt_of_this_host_has_left_is_not_ours(
            self) -> None:
        self.leave(
            dataclasses.replace(owners.HERE, uri='test:///default'), 7200)

        self.assertIn('with test:///default', self.check().detail)

    def test_what_another_host_is_about_is_not_worth_a_word(self) -> None:
        self.leave(owners.THERE)

        self.assertEqual(checks.Status.OK, self.check().status)

    def test_what_names_no_owner_is_named(self) -> None:
        folder = pathlib.Path(self.instances_path, '.operations')
        folder.mkdir()
        (folder / 'a.json').write_text(json.dumps({
            'operation': 'rescue', 'uuid': UUID, 'name': 'one',
            'values': {}}))

        self.assertIn('of an unknown host', self.check().detail)

    def test_a_sweep_removes_what_is_left_and_no_more(self) -> None:
        other = UUID.replace('8', '9')

        with self.images.temporary(other) as file:
            path = self.leave_image()
            self.images.sweep()
            self.assertFalse(path.exists())
            self.assertTrue(os.path.exists(file.name))
