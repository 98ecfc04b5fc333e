# SPDX-License-Identifier: Apache-2.0

"""``nova-libvirt volume``, and servers that have volumes."""

import dataclasses
from typing import Any

from nova_libvirt_driver.cli import exit_code
from nova_libvirt_driver import exception
from nova_libvirt_driver.spec import instance as instance_spec
from tests.unit.cli import base

Code = exit_code.ExitCode
State = instance_spec.PowerState
GIB = 1 << 30


class VolumeTest(base.ServerTestCase):

    def create(self, name: str, *words: str) -> Any:
        return self.answer(
            'volume', 'create', name, *(words or (
                '--size', '1', '--disk-format', 'raw')))

    def refused(self, code: exit_code.ExitCode, *words: str) -> str:
        """Run a command that fails; return what it says."""
        result = self.type(*words)
        self.assertEqual(code, result.code, result.stderr)
        self.assertEqual('', result.stdout)
        return result.stderr

    def statuses(self) -> dict[str, tuple[str, str]]:
        return {row['Name']: (row['Status'], row['Servers'])
                for row in self.answer('volume', 'list')}

    def test_created_listed_and_deleted(self) -> None:
        made = self.create('data')
        self.create('far', '--source', 'nbd://h/disk')

        self.assertEqual((GIB, 'raw', 'default', []), (
            made['size_bytes'], made['format'], made['pool'],
            made['servers']))
        self.assertEqual({'data': ('available', []),
                          'far': ('available', [])}, self.statuses())
        self.assertEqual(made, self.answer('volume', 'show', 'data'))
        self.assertIn('say --yes', self.refused(
            Code.USAGE, 'volume', 'delete', 'data', 'far'))
        self.assertIn('not confirmed', self.type(
            'volume', 'delete', 'data', typed='n\n', terminal=True).stderr)
        deleted = self.answer('volume', 'delete', 'data', 'far', '--yes')
        self.assertEqual(['deleted'] * 2, [row['Status'] for row in deleted])
        self.assertEqual({}, self.statuses())

    def test_what_a_server_has_stays(self) -> None:
        self.have('web1', 'web2')
        made = self.create('data')

        found = self.answer('volume', 'attach', 'web1', 'data')

        self.assertEqual({'server': 'web1', 'volume': 'data',
                          'device': '/dev/vdx'}, found)
        disk = self.driver.verbs[-1].arguments['disk']
        self.assertEqual((made['id'], made['id'], made['path'], 'raw'), (
            disk.id, disk.serial, disk.source.path, disk.format))
        self.assertEqual({'data': ('in use', ['web1'])}, self.statuses())
        for words in (('volume', 'attach', 'web2', 'data'),
                      ('volume', 'delete', 'data', '--yes'),
                      ('server', 'create', 'web3', '--boot-volume', 'data')):
            said = self.refused(Code.CONFLICT, *words)
            self.assertIn('server web1 has volume data', said)
            self.assertIn('nothing was changed', said)
        self.assertIn('does not have', self.refused(
            Code.CONFLICT, 'volume', 'detach', 'web2', 'data'))
        self.answer('volume', 'detach', 'web1', 'data')
        self.assertEqual({'data': ('available', [])}, self.statuses())
        self.assertEqual(['attach_disk', 'detach_disk'],
                         self.driver.verb_names())

    def test_a_volume_grows(self) -> None:
        self.have('web1')
        self.create('data')

        self.answer('volume', 'extend', 'data', '--size', '2')
        self.answer('volume', 'attach', 'web1', 'data')
        found = self.answer('volume', 'extend', 'data', '--size', '3')

        self.assertEqual(3 * GIB, found['size_bytes'])
        # While a guest has it open, QEMU alone makes it larger.
        self.assertEqual({'size_bytes': 3 * GIB},
                         self.driver.verbs[-1].arguments)
        for words in (('--size', '2'), ()):
            self.assertIn('does not shrink', self.refused(
                Code.USAGE, 'volume', 'extend', 'data', *words))
        self.driver.instances = [
            dataclasses.replace(row, state=State.SHUTDOWN, saved=True)
            for row in self.driver.instances]
        self.assertIn('server resume web1', self.refused(
            Code.CONFLICT, 'volume', 'extend', 'data', '--size', '4'))
        self.create('far', '--source', 'nbd://h/disk')
        self.assertIn('as large as its server says', self.refused(
            Code.USAGE, 'volume', 'extend', 'far', '--size', '2'))

    def test_a_failure_is_told_with_what_is_left(self) -> None:
        self.have('web1')
        self.create('data')
        self.driver.failing['attach_disk'] = exception.DeviceAttachFailed(
            device='volume', instance='web1', reason='no place')

        self.assertIn('nova-libvirt volume list', self.refused(
            Code.FAILED, 'volume', 'attach', 'web1', 'data'))

        self.assertEqual({'data': ('available', [])}, self.statuses())

    def test_a_server_with_volumes(self) -> None:
        root, data = self.create('root'), self.create('data')

        self.answer('server', 'create', 'web1', '--boot-volume', 'root',
                    '--volume', 'data')

        spec, = self.driver.specs.values()
        self.assertEqual('', spec.storage.image_id)
        self.assertEqual([(root['id'], 1), (data['id'], None)], [
            (disk.id, disk.boot_order) for disk in spec.storage.volumes])
        self.assertEqual({'root': ('in use', ['web1']),
                          'data': ('in use', ['web1'])}, self.statuses())

    def test_a_server_needs_one_root(self) -> None:
        self.create('root')
        self.have_image('debian')

        for words in (('--boot-volume', 'root', '--image', 'debian'),
                      ('--boot-volume', 'root', '--volume', 'root'),
                      ('--volume', 'root')):
            self.refused(Code.USAGE, 'server', 'create', 'web1', *words)
        self.assertEqual([], self.driver.verb_names())
