# SPDX-License-Identifier: Apache-2.0

"""Finding, listing and showing servers."""

import csv
import dataclasses
import io
import json
import subprocess

from nova_libvirt_driver import exception
from nova_libvirt_driver.spec import instance as instance_spec
from nova_libvirt_driver.spec import nic as nic_spec
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
              'Memory MiB': 32, 'Address': ''}],
            self.answer('server', 'list'))

    def test_addresses_are_shown_where_they_are_known(self) -> None:
        uuid, _ = self.have('web1', 'web2')
        self.driver.found_addresses[uuid] = [
            nic_spec.FoundAddress(address='192.0.2.7', source='lease',
                                  mac='fa:16:3e:00:00:01')]

        listed = self.answer('server', 'list', '-c', 'Address')
        shown = self.answer('server', 'show', 'web1')['addresses']

        self.assertEqual(
            [{'Address': '192.0.2.7'}, {'Address': ''}], listed)
        self.assertEqual(
            [{'address': '192.0.2.7', 'source': 'lease',
              'mac': 'fa:16:3e:00:00:01'}], shown)

    def test_a_command_is_run_through_the_agent(self) -> None:
        self.have('web1')

        done = self.type('server', 'exec', 'web1', '--', '/bin/echo', '-n')

        self.assertEqual((3, '/bin/echo -n\n', 'hm\n'),
                         (done.code, done.stdout, done.stderr))
        self.assertEqual('/bin/rm -- -f\n', self.type(
            'server', 'exec', 'web1', '--', '/bin/rm', '--', '-f').stdout)
        self.assertEqual(2, self.type('server', 'exec', 'web1').code)

    def test_people_see_where_a_port_leads_into_a_server(self) -> None:
        self.have_image('debian')
        made = self.answer(
            'server', 'create', 'web1', '--image', 'debian', '--network',
            'user', '--forward', '2222:22', '--forward', '5353:53/udp')

        listed = self.answer('server', 'list')
        table = self.type('server', 'list').stdout
        shown = self.type('server', 'show', 'web1').stdout
        self.type('server', 'stop', 'web1')
        stopped = self.type('server', 'list').stdout

        self.assertEqual([2222, 5353], [
            one['host_port'] for one in made['forwards']])
        self.assertEqual(['', 'shutdown'], [
            listed[0]['Address'], self.answer('server', 'list')[0]['Status']])
        self.assertIn(' 127.0.0.1:2222 ', table)
        self.assertIn('127.0.0.1:2222 to 22/tcp, 127.0.0.1:5353 to 53/udp',
                      shown)
        self.assertNotIn('2222', stopped)

    def test_a_server_is_shown_whose_record_may_not_be_read(self) -> None:
        uuid, = self.have('web1')
        xml = self.driver.get_domain_xml(self.driver.instances[0])
        self.driver.xml[uuid] = xml, xml
        self.driver.failing['get_spec'] = exception.StorageFailure(
            reason='Permission denied')

        done = self.type('server', 'show', uuid)

        self.assertEqual(0, done.code)
        self.assertIn('web1', done.stdout)
        self.assertIn('Permission denied', done.stderr)

    def test_foreign_domains_are_listed_when_asked_for_only(self) -> None:
        self.have('web1')
        self.driver.instances.append(FOREIGN)

        few = self.answer('server', 'list', '-c', 'Name')
        every = self.answer('server', 'list', '--all', '-c', 'Name',
                            '-c', 'Owned')

        self.assertEqual([{'Name': 'web1'}], few)
        self.assertEqual([{'Name': 'router', 'Owned': False},
                          {'Name': 'web1', 'Owned': True}], every)

    def test_ten_comes_after_two_and_some_are_chosen(self) -> None:
        self.have('vm-10', 'vm-2', 'db')
        self.type('server', 'pause', 'vm-2')

        def names(*words: str) -> list[str]:
            return [row['Name'] for row in self.answer(
                'server', 'list', *words)]

        self.assertEqual(['db', 'vm-2', 'vm-10'], names())
        self.assertEqual(['vm-2', 'vm-10'], names('--name', 'vm-*'))
        self.assertEqual(['vm-2'], names('--status', 'paused'))
        self.assertEqual(['db', 'vm-10'], names(
            '--sort-column', 'Name', '--status', 'running'))
        self.assertEqual(2, self.type(
            'server', 'list', '--status', 'up').code)

    def test_people_see_short_ids_unless_they_want_long_ones(self) -> None:
        uuid, = self.have('web1')

        self.assertIn(f'| {uuid[:8]} |', self.type('server', 'list').stdout)
        self.assertIn(f'| {uuid} |', self.type(
            'server', 'list', '--long').stdout)

    def test_a_list_in_csv_and_value_is_json(self) -> None:
        self.have('web1')

        row, = csv.DictReader(io.StringIO(self.type(
            'server', 'show', 'web1', '-f', 'csv').stdout))
        value = self.type(
            'server', 'show', 'web1', '-f', 'value', '-c', 'consoles').stdout

        self.assertEqual(('web1', '1', 'serial'), (
            row['name'], row['vcpus'],
            json.loads(row['consoles'])[0]['kind']))
        self.assertEqual('pty', json.loads(value)[0]['type'])

    def test_a_shell_carries_out_nothing_of_a_value(self) -> None:
        uuid, = self.have('web1')
        name = 'a"$(echo x)`echo y`\' b'
        spec = self.driver.specs[uuid]
        self.driver.specs[uuid] = dataclasses.replace(
            spec, metadata=dataclasses.replace(
                spec.metadata, display_name=name))
        text = self.type('server', 'show', 'web1', '-f', 'shell',
                         '--prefix', 'own_').stdout

        done = subprocess.run(
            ['sh', '-c', 'eval "$1"; printf "%s\n" "$own_name" '
             '"$own_consoles"', 'sh', text], capture_output=True, text=True,
            check=True)

        shown, consoles = done.stdout.splitlines()
        self.assertEqual(name, shown)
        self.assertEqual('serial', json.loads(consoles)[0]['kind'])

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
            [uuid, 'web1', 'running', 1, 32, 'tiny', ['serial']],
            [*(shown[name] for name in (
                'id', 'name', 'status', 'vcpus', 'memory_mib', 'flavor')),
             [console['kind'] for console in shown['consoles']]])
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
