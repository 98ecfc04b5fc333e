# SPDX-License-Identifier: Apache-2.0

import base64
import json
import typing

from nova_libvirt_driver import exception
from nova_libvirt_driver.spec import configdrive as configdrive_spec
from nova_libvirt_driver.spec import guest as guest_spec
from nova_libvirt_driver.storage.configdrive import content
from nova_libvirt_driver.storage.configdrive import drive
from nova_libvirt_driver.testing import specs
from tests import base

SEED = bytes(range(256)) * 2


def guest(name: str = 'one', **fields: typing.Any) -> guest_spec.GuestSpec:
    """Return a guest with a config drive of these fields."""
    return specs.guest_spec(
        name, config_drive=configdrive_spec.ConfigDriveSpec(**fields))


def injected(
        path: str, data: bytes) -> configdrive_spec.InjectedFile:
    return configdrive_spec.InjectedFile(
        path=path, content_base64=base64.b64encode(data).decode())


def made(spec: guest_spec.GuestSpec) -> dict[str, bytes]:
    return content.files(spec, random_seed=SEED)


def meta_data(
        spec: guest_spec.GuestSpec, version: str = 'latest') -> typing.Any:
    return json.loads(made(spec)[f'openstack/{version}/meta_data.json'])


class MetaDataTest(base.TestCase):

    def test_a_guest_is_told_who_it_is(self) -> None:
        spec = guest(hostname='one.example', project_id='p-1',
                     availability_zone='zone', meta={'role': 'web'})

        found = meta_data(spec)

        self.assertEqual(
            {'uuid': spec.uuid, 'name': 'one', 'hostname': 'one.example',
             'launch_index': 0, 'availability_zone': 'zone',
             'project_id': 'p-1', 'meta': {'role': 'web'}, 'devices': [],
             'dedicated_cpus': [],
             'random_seed': base64.b64encode(SEED).decode()}, found)

    def test_keys_are_told_in_both_ways(self) -> None:
        found = meta_data(guest(public_keys={'mine': 'ssh-rsa AAAA'}))

        self.assertEqual({'mine': 'ssh-rsa AAAA'}, found['public_keys'])
        self.assertEqual(
            [{'type': 'ssh', 'name': 'mine', 'data': 'ssh-rsa AAAA'}],
            found['keys'])

    def test_a_password_is_told_when_there_is_one(self) -> None:
        self.assertEqual(
            'secret', meta_data(guest(admin_password='secret'))['admin_pass'])
        self.assertNotIn('admin_pass', meta_data(guest()))

    def test_the_path_of_a_file_is_only_data(self) -> None:
        spec = guest(files=(injected('/etc/motd', b'hello'),
                            injected('../../../etc/passwd', b'\xff\0')))

        files = made(spec)

        self.assertEqual(
            [{'path': '/etc/motd', 'content_path': '/content/0000'},
             {'path': '../../../etc/passwd',
              'content_path': '/content/0001'}], meta_data(spec)['files'])
        self.assertEqual(b'hello', files['openstack/content/0000'])
        self.assertEqual(b'\xff\0', files['openstack/content/0001'])
        self.assertFalse(any('..' in path for path in files))

    def test_a_host_name_is_made_of_the_name(self) -> None:
        for name, expected in (('Web Server #1!', 'web-server-1'),
                               ('a' * 80, 'a' * 63)):
            self.assertEqual(expected, meta_data(guest(name))['hostname'])
        unnamed = guest('\N{SNOWMAN}')
        self.assertEqual(
            f'server-{unnamed.uuid}', meta_data(unnamed)['hostname'])

    def test_any_text_is_told_as_it_is(self) -> None:
        name = 'a"b\\<&>\n\x01\N{SNOWMAN}\udc80'

        found = meta_data(guest(name, meta={name: name}))

        self.assertEqual(name, found['name'])
        self.assertEqual({name: name}, found['meta'])

    def test_a_guest_may_get_a_drive_it_did_not_ask_for(self) -> None:
        spec = specs.guest_spec('one')

        self.assertEqual(spec.uuid, meta_data(spec)['uuid'])


class LayoutTest(base.TestCase):

    def test_early_versions_have_no_later_files(self) -> None:
        files = made(guest(user_data='x'))

        def names(version: str) -> list[str]:
            start = f'openstack/{version}/'
            return sorted(path.removeprefix(start) for path in files
                          if path.startswith(start))

        self.assertEqual(['meta_data.json', 'user_data'],
                         names('2012-08-10'))
        self.assertEqual(
            ['meta_data.json', 'user_data', 'vendor_data.json'],
            names('2013-10-17'))
        self.assertEqual(
            ['meta_data.json', 'network_data.json', 'user_data',
             'vendor_data.json', 'vendor_data2.json'], names('latest'))
        self.assertEqual(names('latest'), names('2020-10-14'))

    def test_early_versions_have_no_later_fields(self) -> None:
        spec = guest()

        early = meta_data(spec, '2012-08-10')

        self.assertNotIn('random_seed', early)
        self.assertIn('random_seed', meta_data(spec, '2013-04-04'))
        self.assertNotIn('project_id', meta_data(spec, '2013-10-17'))
        self.assertIn('project_id', meta_data(spec, '2015-10-15'))

    def test_user_data_are_handed_on_as_bytes(self) -> None:
        data = b'\x1f\x8b\xff\0 na\xc3\xafve'
        spec = guest(user_data=data.decode('utf-8', 'surrogateescape'))

        files = made(spec)

        for path in ('openstack/latest/user_data',
                     'openstack/2012-08-10/user_data',
                     'ec2/latest/user-data'):
            self.assertEqual(data, files[path])
        self.assertNotIn('openstack/latest/user_data', made(guest()))

    def test_vendor_data_are_in_both_files(self) -> None:
        files = made(guest(vendor_data='{"cloud-init": "x"}'))

        self.assertEqual(
            {'cloud-init': 'x'},
            json.loads(files['openstack/latest/vendor_data.json']))
        self.assertEqual(
            {'static': {'cloud-init': 'x'}},
            json.loads(files['openstack/latest/vendor_data2.json']))

    def test_there_is_the_layout_of_ec2_too(self) -> None:
        spec = guest(hostname='h', public_keys={'mine': 'ssh-rsa AAAA'})

        found = json.loads(made(spec)['ec2/latest/meta-data.json'])

        self.assertEqual('h', found['local-hostname'])
        self.assertEqual(f'i-{spec.uuid[:8]}', found['instance-id'])
        self.assertEqual({'0': {'_name': '0=mine',
                                'openssh-key': 'ssh-rsa AAAA'}},
                         found['public-keys'])

    def test_prebuilt_files_replace_all_others(self) -> None:
        spec = guest(hostname='h', user_data='x', prebuilt={
            'openstack/latest/meta_data.json': 'e30=',
            'openstack/content/0000': 'aGVs\nbG8=\n'})

        self.assertEqual(
            {'openstack/latest/meta_data.json': b'{}',
             'openstack/content/0000': b'hello'}, made(spec))


class RefusalTest(base.TestCase):

    def refusal(self, **fields: typing.Any) -> str:
        return str(self.assertRaises(
            exception.InvalidRequest,
            lambda: drive.check(made(guest(**fields)))))

    def test_a_path_that_leads_elsewhere_is_refused(self) -> None:
        for path in ('/etc/passwd', '../x', 'a/../../x', 'a/..', '.', '',
                     'a//b', 'a/', './a', 'a\0b', 'a\n', 'a\\..\\b', 'C:x',
                     'a b', 'caf\N{LATIN SMALL LETTER E WITH ACUTE}',
                     'x' * 65, '/'.join('abcdefghi')):
            self.assertIn(repr(path), self.refusal(prebuilt={path: ''}))

    def test_paths_that_exclude_each_other_are_refused(self) -> None:
        for one, other in (('a', 'a/b'), ('a/b', 'A/b'), ('a/b', 'A/c'),
                           ('Read', 'read')):
            self.assertIn(
                repr(one.partition('/')[0]),
                self.refusal(prebuilt={one: '', other: ''}))

    def test_what_is_no_base64_is_refused_by_its_path(self) -> None:
        bad = configdrive_spec.InjectedFile(
            path='/etc/motd', content_base64='canary!')

        text = self.refusal(files=(bad,))

        self.assertIn("'/etc/motd'", text)
        self.assertNotIn('canary', text)

    def test_secrets_are_not_quoted(self) -> None:
        for fields in ({'user_data': 'canary \ud800'},
                       {'vendor_data': '{"canary'}):
            self.assertNotIn('canary', self.refusal(**fields))

    def test_too_much_is_refused(self) -> None:
        drive.check({'a': bytes(drive.MAX_MIB * 1024 * 1024)})

        error = self.assertRaises(
            exception.InvalidRequest, drive.check,
            {'a': bytes(drive.MAX_MIB * 1024 * 1024), 'b': b'x'})
        self.assertIn('64 MiB', str(error))
        many = {f'f{index}': b'' for index in range(drive.MAX_FILES + 1)}
        self.assertRaises(exception.InvalidRequest, drive.check, many)
