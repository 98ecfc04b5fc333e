# SPDX-License-Identifier: Apache-2.0

"""Guests as documents: what is printed can be given back."""

from collections.abc import Mapping
import dataclasses
import enum
import json
import os
import pathlib
import types
import typing
from typing import Any

import fixtures
import jsonschema
import yaml

from nova_libvirt_driver.cli.commands.server import document
from nova_libvirt_driver.cli import errors
from nova_libvirt_driver.spec import boot as boot_spec
from nova_libvirt_driver.spec import guest as guest_spec
from tests import base
from tests import output_schema
from tests.unit.cli import base as cli_base

SCHEMA = output_schema.PATH.with_name('guest-spec-schema.json')
_LEFT_OUT = ('uuid', 'name', 'metadata')
_SECRET = ('admin_password', 'prebuilt', 'hostname')
_MORE = '''
cpu:
  vcpus: 4
  topology: {sockets: 1, cores: 2, threads: 2}
  pins: [{vcpu: 0, host_cpus: [0, 1]}]
memory: {size_mib: 1024, page_size_kib: 2048}
storage:
  image_id: debian
  ephemerals: [{size_mib: 1024}, {size_mib: 2048}]
nics: [{kind: user, mtu: 9000, queues: 4}, {kind: user}]
'''


def filled(kind: Any, number: int = 7) -> Any:
    """Return a value of a type, of which no field has its default."""
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if origin in (types.UnionType, typing.Union):
        return filled(inner[0])
    if origin in (tuple, frozenset):
        return origin([filled(inner[0])])
    if origin is not None:
        return {'one': filled(inner[1])}
    if dataclasses.is_dataclass(kind):
        kinds = typing.get_type_hints(kind)
        return typing.cast(type, kind)(**{
            field.name: not field.default if kinds[field.name] is bool
            else filled(kinds[field.name])
            for field in dataclasses.fields(kind)
            if field.name not in _SECRET})
    if issubclass(kind, enum.Enum):
        return list(kind)[-1]
    return {int: number, str: '52:54:00:12:34:56', bool: True}[kind]


def schema(kind: Any, left_out: tuple[str, ...] = ()) -> Any:
    """Return the JSON Schema of a type."""
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if origin in (types.UnionType, typing.Union):
        return {'anyOf': [schema(each) for each in inner]}
    if origin in (tuple, frozenset):
        return {'type': 'array', 'items': schema(inner[0])}
    if origin is not None:
        return {'type': 'object', 'additionalProperties': schema(inner[1])}
    if dataclasses.is_dataclass(kind):
        kinds = typing.get_type_hints(kind)
        fields = [field for field in dataclasses.fields(kind)
                  if field.name not in left_out]
        return {
            'type': 'object', 'additionalProperties': False,
            'properties': {
                field.name: schema(kinds[field.name]) for field in fields},
            'required': [field.name for field in fields if (
                field.default is field.default_factory)
                # A card gets an address, if it is given none.
                and field.name != 'mac']}
    if kind is types.NoneType:
        return {'type': 'null'}
    if issubclass(kind, enum.Enum):
        return {'enum': [each.value for each in kind]}
    return {int: {'type': 'integer', 'minimum': 0}, str: {'type': 'string'},
            bool: {'type': 'boolean'}}[kind]


def whole_schema() -> dict[str, Any]:
    """Return the schema of a document."""
    made = schema(guest_spec.GuestSpec, _LEFT_OUT)
    made['properties'] = {'flavor': {'type': 'string'}, **made['properties']}
    return {
        '$schema': 'https://json-schema.org/draft/2020-12/schema',
        'title': 'What "server create --spec" takes', **made}


class DocumentTest(base.TestCase):

    def setUp(self) -> None:
        super().setUp()
        made: guest_spec.GuestSpec = filled(guest_spec.GuestSpec)
        # A kernel is one of a file, or one of an image.
        self.full = dataclasses.replace(
            made, boot=dataclasses.replace(made.boot, kernel=None))

    def again(self, spec: guest_spec.GuestSpec) -> guest_spec.GuestSpec:
        """Return a guest from the YAML of another one."""
        text = yaml.safe_dump({'id': 'x', 'spec': document.of(spec)})
        return document.guest(spec.name, self.read(text))

    def read(self, text: str) -> dict[str, Any]:
        path = pathlib.Path(
            self.useFixture(fixtures.TempDir()).path) / 'a.yaml'
        path.write_text(text)
        return document.read(str(path))

    def test_every_field_comes_back(self) -> None:
        found = self.again(self.full)

        assert self.full.config_drive is not None
        drive = dataclasses.replace(
            self.full.config_drive, hostname='52-54-00-12-34-56')
        self.assertEqual(dataclasses.replace(
            self.full, config_drive=drive, uuid=found.uuid,
            metadata=found.metadata), found)
        self.assertNotEqual(self.full.uuid, found.uuid)
        self.assertEqual(
            (7, 7, '52:54:00:12:34:56'),
            (found.metadata.flavor.vcpus, found.metadata.flavor.memory_mib,
             found.metadata.flavor.name))

    def test_a_kernel_of_a_file_comes_back(self) -> None:
        spec = dataclasses.replace(self.full, boot=boot_spec.BootSpec(
            kernel=boot_spec.KernelBoot(kernel='/boot/vmlinuz')))

        self.assertEqual(spec.boot, self.again(spec).boot)

    def test_what_is_printed_is_what_the_schema_says(self) -> None:
        jsonschema.validate(document.of(self.full), whole_schema())

    def test_the_schema_in_the_manual_is_that_of_the_values(self) -> None:
        text = json.dumps(whole_schema(), indent=1) + '\n'
        if os.environ.get('NOVA_LIBVIRT_GOLDEN') == 'regenerate':
            SCHEMA.write_text(text)

        self.assertEqual(text, SCHEMA.read_text())

    def test_texts_stay_texts(self) -> None:
        found = self.read(
            'nics: [{mac: 52:54:00:12:34:56}]\ndevices: {tpm: {version: 2.0},'
            ' sound: no}')

        self.assertEqual(
            ('52:54:00:12:34:56', '2.0', 'no'),
            (found['nics'][0]['mac'], found['devices']['tpm']['version'],
             found['devices']['sound']))

    def test_what_is_wrong_is_named_with_what_is_legal(self) -> None:
        good = {'cpu': {'vcpus': 1}, 'memory': {'size_mib': 64}}
        for change, error, advice in (
                ({'cpu': {'vcpu': 1}}, '--spec: cpu.vcpu: there is no such '
                 'key', 'did you mean vcpus? legal: vcpus, mode, '),
                ({'cpu': {}}, 'cpu.vcpus: it is missing', ''),
                ({'cpu': {'vcpus': 1, 'mode': 'host'}},
                 "cpu.mode: 'host' is not legal",
                 'legal: none, host-model, host-passthrough, custom'),
                ({'cpu': {'vcpus': -1}}, '-1 is not a number of 0 or more',
                 ''),
                ({'cpu': {'vcpus': True}}, 'True is not a number', ''),
                ({'memory': {'size_mib': '64M'}}, "memory.size_mib: '64M'",
                 ''),
                ({'memory': []}, 'memory: [] is not an object', ''),
                ({'nics': {}}, 'nics: {} is not a list', ''),
                ({'nics': [{'mtu': 'x'}]}, "nics[0].mtu: 'x' is not", ''),
                ({'nics': [3]}, 'nics[0]: 3 is not an object', ''),
                ({'features': {'acpi': 'yes'}}, "features.acpi: 'yes' is "
                 'neither true nor false', ''),
                ({'storage': {'image_id': 5}}, 'storage.image_id: 5 is not a '
                 'text; put it into quotes', ''),
                ({'flavor': []}, 'flavor: [] is not a text', ''),
                ({'uuid': 'x'}, 'uuid: there is no such key',
                 'legal: flavor, cpu'),
                ({'config_drive': {'meta': {'a': 1}}},
                 'config_drive.meta.a: 1 is not a text', '')):
            with self.subTest(change=change):
                wanted: Mapping[str, Any] = {**good, **change}

                failure = self.assertRaises(
                    errors.UsageError, document.guest, 'web1', wanted)

                self.assertIn(error, str(failure))
                self.assertIn(advice, failure.next_step)

    def test_a_file_that_is_no_document_is_named(self) -> None:
        for text, told in (
                ('a: [', 'line 1: '), ('- a', 'does not describe a server'),
                ('', 'does not describe'), ('spec: 3', 'does not describe'),
                ('a: !!python/object:os.system {}', 'could not determine')):
            with self.subTest(text=text):
                failure = self.assertRaises(
                    errors.UsageError, self.read, text)

                self.assertIn(told, str(failure))
        failure = self.assertRaises(
            errors.UsageError, document.read, '/nonexistent')
        self.assertIn('No such file', str(failure))


class SpecTest(cli_base.ServerTestCase):

    def setUp(self) -> None:
        super().setUp()
        self.image_id = self.have_image('debian')

    def made(self, name: str, *arguments: str) -> guest_spec.GuestSpec:
        """Make a server; return what the driver was asked for."""
        uuid = self.answer('server', 'create', name, *arguments)['id']
        return self.driver.specs[uuid]

    def test_a_server_can_be_made_like_another_one(self) -> None:
        first = self.made(
            'one', '--image', 'debian', '--vcpus', '2', '--ram', '64',
            '--swap', '8', '--graphics', 'vnc', '--network', 'bridge=br0',
            '--user-data', self.file('user', b'\x1f\x8b\xff'))
        shown = self.type('server', 'show', 'one', '-f', 'yaml').stdout
        self.answer('server', 'delete', 'one', '--yes')

        second = self.made('one', '--spec', self.file('one.yaml', shown))

        self.assertEqual(
            first, dataclasses.replace(
                second, uuid=first.uuid, metadata=first.metadata))
        self.assertEqual(
            dataclasses.replace(first.metadata.flavor, id=''),
            dataclasses.replace(second.metadata.flavor, id=''))

    def test_more_than_options_can_say(self) -> None:
        spec = self.made('one', '--spec', self.file('a.yaml', _MORE))

        self.assertEqual(self.image_id, spec.storage.image_id)
        self.assertEqual(frozenset((0, 1)), spec.cpu.pins[0].host_cpus)
        self.assertEqual((9000, 2), (spec.nics[0].mtu, len({
            nic.mac for nic in spec.nics})))
        self.assertEqual(3, spec.metadata.flavor.ephemeral_gib)

    def test_what_the_file_says_is_not_said_twice(self) -> None:
        path = self.file('a.yaml', _MORE)
        for words, told in (
                (('--ram', '64'), '--spec and --ram are given'),
                (('--network', 'user', '--graphics', 'vnc'),
                 '--spec and --network, --graphics are given')):
            with self.subTest(words=words):
                result = self.type(
                    'server', 'create', 'one', '--spec', path, *words)

                self.assertEqual(2, result.code)
                self.assertIn(told, result.stderr)
        self.assertEqual([], self.driver.verbs)

    def test_an_address_that_is_taken_is_refused(self) -> None:
        self.made('one', '--image', 'debian', '--network', 'bridge=br0')
        shown = self.type('server', 'show', 'one', '-f', 'yaml').stdout

        result = self.type('server', 'create', 'two', '--spec',
                           self.file('one.yaml', shown))

        self.assertEqual(4, result.code)
        self.assertIn('server one has a card of the address', result.stderr)
