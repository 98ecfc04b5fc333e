# SPDX-License-Identifier: Apache-2.0

"""Passwords, dumps, figures and the size of the root disk."""

import dataclasses
import getpass

import fixtures

from nova_libvirt_driver import exception
from tests.unit.cli import base


class InsideTest(base.ServerTestCase):

    def test_a_password_is_read_and_never_shown(self) -> None:
        self.have('web1')

        result = self.type('server', 'set-password', 'web1', '--user', 'me',
                           typed='secret words\n')

        self.assertEqual(0, result.code, result.stderr)
        self.assertEqual({'new_pass': 'secret words', 'user': 'me'},
                         self.driver.verbs[-1].arguments)
        self.assertNotIn('secret', result.stdout + result.stderr)

    def test_a_password_is_typed_twice(self) -> None:
        self.have('web1')
        for typed, code in ((['one', 'one'], 0), (['one', 'two'], 2),
                            (['', ''], 2)):
            answers = iter(typed)
            with self.subTest(typed=typed), fixtures.MockPatchObject(
                    getpass, 'getpass', lambda prompt: next(answers)):
                self.assertEqual(code, self.type(
                    'server', 'set-password', 'web1', terminal=True).code)
        self.assertEqual(['set_admin_password'], self.driver.verb_names())

    def test_without_an_agent_it_is_a_conflict(self) -> None:
        self.have('web1')
        self.driver.failing['set_admin_password'] = (
            exception.AgentUnavailable(instance='web1', reason='no agent'))

        result = self.type(
            'server', 'set-password', 'web1', typed='secret\n')

        self.assertEqual(4, result.code)
        self.assertNotIn('secret', result.stderr)

    def test_figures_are_numbers_with_names(self) -> None:
        uuid, = self.have('web1')

        found = self.answer('server', 'diagnostics', 'web1')
        table = self.type('server', 'diagnostics', 'web1').stdout

        self.assertEqual((uuid, [7, 8], 512), (
            found['id'], found['vcpu_times_ns'],
            found['disks'][0]['read_bytes']))
        self.assertIn('target_dev vda, read_bytes 512 ', table)

    def test_a_guest_that_is_only_now_reached_is_waited_for(self) -> None:
        self.have('web1')
        self.driver.hypervisor_uri = 'qemu:///embed?root=/x'
        whole = self.driver.get_diagnostics(self.driver.instances[0])
        disk = dataclasses.replace(whole.disks[0], read_bytes=None)
        answers = [dataclasses.replace(whole, disks=(disk,)), whole]
        self.driver.get_diagnostics = (  # type: ignore[method-assign]
            lambda instance: answers.pop(0))

        found = self.answer('server', 'diagnostics', 'web1')

        self.assertEqual(512, found['disks'][0]['read_bytes'])

    def test_several_are_interrupted(self) -> None:
        self.have('a', 'b')

        rows = self.answer('server', 'crash-dump', 'a', 'b')

        self.assertEqual(['a', 'b'], [row['Name'] for row in rows])
        self.assertEqual(['trigger_crash_dump'] * 2,
                         self.driver.verb_names())

    def test_a_root_disk_becomes_larger(self) -> None:
        uuid, = self.have('web1')

        self.assertEqual(
            {'id': uuid, 'name': 'web1', 'root_gib': 40},
            self.answer('server', 'resize-disk', 'web1', '--size', '40'))
        self.assertEqual({'size_gib': 40},
                         self.driver.verbs[-1].arguments)

    def test_the_disk_of_a_foreign_record_is_left(self) -> None:
        self.have('web1')
        self.driver.specs.clear()
        self.driver.instances = [
            dataclasses.replace(self.driver.instances[0])]

        self.assertEqual(4, self.type(
            'server', 'resize-disk', 'web1', '--size', '40').code)
