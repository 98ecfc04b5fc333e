# SPDX-License-Identifier: Apache-2.0

"""Commands that do something to servers."""

from nova_libvirt_driver import exception
from nova_libvirt_driver.spec import disk as disk_spec
from nova_libvirt_driver.spec import guest as guest_spec
from nova_libvirt_driver.testing import fake_guest_driver
from tests.unit.cli import base

Call = fake_guest_driver.Call
HARD, SOFT = guest_spec.RebootType.HARD, guest_spec.RebootType.SOFT


class PowerTest(base.ServerTestCase):

    def test_each_command_is_its_verb(self) -> None:
        self.have('a')
        for words, verb, status, arguments in (
                (['stop'], 'power_off', 'shutdown', {'timeout_s': 0}),
                (['start'], 'power_on', 'running', {}),
                (['pause'], 'pause', 'paused', {}),
                (['unpause'], 'unpause', 'running', {}),
                (['suspend'], 'suspend', 'shutdown', {}),
                (['resume'], 'resume', 'running', {}),
                (['reboot'], 'reboot', 'running', {'reboot_type': SOFT}),
                (['reboot', '--hard'], 'reboot', 'running',
                 {'reboot_type': HARD}),
                (['stop', '--soft'], 'power_off', 'shutdown',
                 {'timeout_s': 60}),
                (['--timeout', '5', 'stop', '--soft'], 'power_off',
                 'shutdown', {'timeout_s': 5}),
                (['unrescue'], 'unrescue', 'running', {})):
            with self.subTest(words=words):
                rows = self.answer('server', *words, 'a')

                self.assertEqual([('a', status)], [
                    (row['Name'], row['Status']) for row in rows])
                self.assertEqual(Call(verb, 'a', arguments),
                                 self.driver.verbs[-1])
                self.assertFalse(self.read_only[-1])

    def test_several_servers_are_done_in_order_and_once(self) -> None:
        uuid, _ = self.have('a', 'b')

        rows = self.answer('server', 'pause', 'b', 'a', uuid)

        self.assertEqual(['b', 'a'], [row['Name'] for row in rows])
        self.assertEqual(['b', 'a'],
                         [call.instance for call in self.driver.verbs])

    def test_nothing_is_done_when_one_name_is_wrong(self) -> None:
        self.have('a')

        result = self.type('server', 'stop', 'a', 'nobody')

        self.assertEqual(3, result.code)
        self.assertIn('State: nothing was changed', result.stderr)
        self.assertEqual([], self.driver.verbs)

    def test_a_failure_says_what_was_done_before(self) -> None:
        _, second = self.have('a', 'b')
        spec = self.driver.specs.pop(second)

        result = self.type('server', 'start', 'a', 'b')

        self.assertEqual(4, result.code)
        self.assertEqual([
            'Error: there is no record of what server b was made from',
            '  Tried: server start on qemu:///system',
            '  State: started: a; see how b is: nova-libvirt server show '
            f'{spec.uuid}',
            '  Next:  leave it to the service that made it'],
            result.stderr.splitlines())

    def test_a_device_in_the_record_may_be_another_volumes(self) -> None:
        uuid, = self.have('a')
        spec = self.driver.specs[uuid]
        self.driver.specs[uuid] = spec.with_device(disk_spec.DiskSpec(
            id='v', target_dev='vdb', bus=disk_spec.DiskBus.VIRTIO,
            format='raw', source=disk_spec.DiskSource(
                kind=disk_spec.SourceKind.BLOCK, path='/dev/sdb')))

        for words in (['start'], ['reboot'], ['resume'], ['unrescue']):
            result = self.type('server', *words, 'a')

            self.assertEqual(4, result.code)
            self.assertIn('server a has volumes', result.stderr)
        self.assertEqual([], self.driver.verbs)

    def test_a_wrong_state_is_a_conflict(self) -> None:
        self.have('a')
        self.driver.failing['pause'] = exception.WrongState(
            tried='pause it', instance='a', state='shutdown')

        self.assertEqual(4, self.type('server', 'pause', 'a').code)

    def test_an_interruption_says_where_to_look(self) -> None:
        uuid, = self.have('a')
        self.driver.failing['reboot'] = KeyboardInterrupt()

        result = self.type('server', 'reboot', 'a')

        self.assertEqual(130, result.code)
        self.assertIn(f'see how a is: nova-libvirt server show {uuid}',
                      result.stderr)

    def test_quiet_prints_nothing(self) -> None:
        self.have('a')

        result = self.type('-q', 'server', 'stop', 'a', terminal=True)

        self.assertEqual((0, '', ''),
                         (result.code, result.stdout, result.stderr))

    def test_a_server_of_this_process_ends_with_it(self) -> None:
        self.have('a')
        for uri, note in (
                ('test:///default', 'note: test:///default lives in this '
                 'process: a is gone when the command ends\n'),
                # Its guests are processes of their own.
                ('qemu:///embed?root=/x', '')):
            self.driver.hypervisor_uri = uri

            self.assertEqual(note, self.type('server', 'start', 'a').stderr)
            self.assertEqual('', self.type('server', 'stop', 'a').stderr)


class ChangeTest(base.ServerTestCase):

    def test_rescue_starts_from_the_image_that_is_named(self) -> None:
        self.have('a')
        image_id = self.have_image('tools')

        self.answer('server', 'rescue', 'a', '--image', 'tools',
                    '--stable-device')

        self.assertEqual([Call('rescue', 'a', {
            'image_id': image_id,
            'stable_device': disk_spec.RescueDevice()})],
            self.driver.verbs)

    def test_rescue_from_no_image_does_nothing(self) -> None:
        self.have('a')

        result = self.type('server', 'rescue', 'a', '--image', 'tools')

        self.assertEqual(3, result.code)
        self.assertEqual([], self.driver.verbs)

    def test_a_snapshot_is_an_image_of_that_name(self) -> None:
        self.have('a')

        shown = self.answer('server', 'snapshot', 'a', '--name', 'monday')

        self.assertEqual('monday', shown['name'])
        self.assertEqual(shown['id'], self.images.find('monday').id)

    def test_a_snapshot_does_not_replace_an_image(self) -> None:
        self.have('a')
        self.have_image('monday')

        result = self.type('server', 'snapshot', 'a', '--name', 'monday')

        self.assertEqual(4, result.code)
        self.assertEqual([], self.driver.verbs)

    def test_a_snapshot_that_fails_leaves_all_as_it_was(self) -> None:
        self.have('a')
        self.driver.failing['snapshot'] = exception.StorageFailure(
            reason='the disk is full')

        result = self.type('server', 'snapshot', 'a', '--name', 'monday')

        self.assertEqual(1, result.code)
        self.assertIn('State: there is no image, and the server is as it '
                      'was\n', result.stderr)

    def test_a_renamed_server_has_the_new_name(self) -> None:
        uuid, = self.have('a')

        shown = self.answer('server', 'rename', 'a', 'b')

        self.assertEqual({'ID': uuid, 'Name': 'b', 'Status': 'running'},
                         shown)

    def test_a_name_that_is_taken_or_none_is_refused(self) -> None:
        self.have('a', 'b')

        for name, code in (('b', 4), ('', 2), ('-x', 2), ('x/y', 2),
                           ('x' * 64, 2), ('ä', 2), ('a\n', 2),
                           ('5d1f7f5c-6b1e-4d8a-9c41-2f6f5e0a7b11', 2)):
            with self.subTest(name=name):
                result = self.type('server', 'rename', 'a', '--', name)

                self.assertEqual(code, result.code, result.stderr)
        self.assertEqual([], self.driver.verbs)

    def test_deleted_servers_are_gone(self) -> None:
        self.have('a', 'b')

        rows = self.answer('server', 'delete', 'a', 'b', '--yes')

        self.assertEqual(['deleted', 'deleted'],
                         [row['Status'] for row in rows])
        self.assertEqual([], self.answer('server', 'list'))

    def test_a_person_is_asked_before_a_deletion(self) -> None:
        self.have('Web1')

        no = self.type('server', 'delete', 'Web1', typed='n\n',
                       terminal=True)
        self.assertEqual([], self.driver.verbs)
        yes = self.type('server', 'delete', 'Web1', typed='y\n',
                        terminal=True)

        self.assertEqual((4, 0), (no.code, yes.code))
        self.assertTrue(yes.stderr.startswith('Delete server Web1? [y/N] '))
        self.assertEqual(['destroy'], self.driver.verb_names())

    def test_without_a_person_a_deletion_needs_a_yes(self) -> None:
        self.have('a')

        result = self.type('server', 'delete', 'a', typed='y\n')

        self.assertEqual(2, result.code)
        self.assertIn('say --yes', result.stderr)
        self.assertEqual([], self.driver.verbs)
