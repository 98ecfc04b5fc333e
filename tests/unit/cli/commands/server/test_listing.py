# SPDX-License-Identifier: Apache-2.0

"""Finding, listing and showing servers."""

import dataclasses

from nova_libvirt_driver.spec import instance as instance_spec
from nova_libvirt_driver.testing import specs
from tests.unit.cli import base

FOREIGN = instance_spec.InstanceSummary(
    uuid='aaaaaaaa-0000-4000-8000-000000000001', name='router',
    state=instance_spec.PowerState.RUNNING, owned=False)


class ListTest(base.ServerTestCase):

    def test_servers_have_the_names_that_users_gave_them(self) -> None:
        uuid, = self.have('web1')
        self.driver.rename(self.driver.instances[0], 'shop')

        self.assertEqual(
            [{'ID': uuid, 'Name': 'shop', 'Status': 'running', 'vCPUs': 1,
              'Memory MiB': 32}], self.answer('server', 'list'))

    def test_foreign_domains_are_listed_when_asked_for_only(self) -> None:
        self.have('web1')
        self.driver.instances.append(FOREIGN)

        few = self.answer('server', 'list', '-c', 'Name')
        every = self.answer('server', 'list', '--all', '-c', 'Name',
                            '-c', 'Owned')

        self.assertEqual([{'Name': 'web1'}], few)
        self.assertEqual([{'Name': 'router', 'Owned': False},
                          {'Name': 'web1', 'Owned': True}], every)

    def test_a_person_is_told_of_what_is_left_out(self) -> None:
        self.driver.instances.append(FOREIGN)

        told = self.type('server', 'list', terminal=True)
        quiet = self.type('-q', 'server', 'list', terminal=True)

        self.assertEqual(
            'note: --all lists 1 more that something else has made\n',
            told.stderr)
        self.assertEqual('', quiet.stderr)

    def test_a_table_shows_no_control_characters(self) -> None:
        self.have('web1')
        self.driver.rename(self.driver.instances[0], 'a\x9b2Jb')

        self.assertIn('| ab   |', self.type('server', 'list').stdout)

    def test_a_host_that_cannot_be_asked_is_an_error(self) -> None:
        self.driver.connected = False

        self.assertEqual(5, self.type('server', 'list').code)


class ShowTest(base.ServerTestCase):

    def test_a_server_is_found_by_name_id_and_prefix(self) -> None:
        uuid, _ = self.have('web1', 'web2')
        self.driver.rename(self.driver.instances[0], 'shop')

        for word in ('web1', 'shop', uuid, uuid.upper(), uuid[:13]):
            with self.subTest(word=word):
                shown = self.answer('server', 'show', word)

                self.assertEqual((uuid, 'web1'),
                                 (shown['id'], shown['domain']))

    def test_its_fields_have_units_and_lists(self) -> None:
        uuid, = self.have('web1')

        shown = self.answer('server', 'show', 'web1')

        self.assertEqual(
            [uuid, 'web1', 'running', 1, 32, 'tiny', ['serial pty']],
            [shown[name] for name in (
                'id', 'name', 'status', 'vcpus', 'memory_mib', 'flavor',
                'consoles')])
        self.assertEqual([True], self.read_only)

    def test_an_image_that_is_gone_leaves_its_id(self) -> None:
        image_id = self.have_image('debian')
        self.driver.spawn(specs.guest_spec('web1', image_id))
        self.images.delete(image_id)

        shown = self.answer('server', 'show', 'web1')

        self.assertEqual(('', image_id), (shown['image'], shown['image_id']))

    def test_an_unknown_server_gets_the_closest_one(self) -> None:
        self.have('web1', 'db')

        result = self.type('server', 'show', 'wbe1')

        self.assertEqual(3, result.code)
        self.assertEqual([
            'Error: server wbe1 was not found on host h1',
            '  Tried: server show on qemu:///system',
            '  State: nothing was changed',
            '  Next:  did you mean web1? List all: nova-libvirt server list',
            ], result.stderr.splitlines())

    def test_a_name_of_several_is_not_guessed(self) -> None:
        self.have('web1', 'web2')
        self.driver.rename(self.driver.instances[1], 'web1')

        result = self.type('server', 'show', 'web1')

        self.assertEqual(2, result.code)
        self.assertIn('web1 may be each of 2 servers', result.stderr)

    def test_ours_wins_over_a_foreign_domain_of_that_name(self) -> None:
        uuid, = self.have('web1')
        self.driver.instances.append(
            dataclasses.replace(FOREIGN, name='web1'))

        self.assertEqual(uuid, self.answer('server', 'show', 'web1')['id'])

    def test_a_foreign_domain_is_left_alone(self) -> None:
        self.driver.instances.append(FOREIGN)

        for words in (('show', 'router'), ('show-xml', FOREIGN.uuid),
                      ('stop', 'router'), ('delete', '--yes', 'router'),
                      ('console', 'log', 'router')):
            with self.subTest(words=words):
                result = self.type('server', *words)

                self.assertEqual(4, result.code)
                self.assertIn('does not belong to this driver and is left '
                              'alone', result.stderr)
        self.assertEqual([], self.driver.verbs)
