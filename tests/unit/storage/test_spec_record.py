# SPDX-License-Identifier: Apache-2.0

import json
import os
import stat
import subprocess
import sys

import fixtures
import hypothesis
from hypothesis import strategies

from nova_libvirt_driver import exception
from nova_libvirt_driver.spec import boot as boot_spec
from nova_libvirt_driver.spec import configdrive as configdrive_spec
from nova_libvirt_driver.spec import console as console_spec
from nova_libvirt_driver.spec import cpu as cpu_spec
from nova_libvirt_driver.spec import device as device_spec
from nova_libvirt_driver.spec import disk as disk_spec
from nova_libvirt_driver.spec import flavor as flavor_spec
from nova_libvirt_driver.spec import guest as guest_spec
from nova_libvirt_driver.spec import memory as memory_spec
from nova_libvirt_driver.spec import nic as nic_spec
from nova_libvirt_driver.storage import spec_record
from tests import base

_TEXT = strategies.text(
    strategies.characters(exclude_categories=['Cs']), max_size=20)

_PLAIN = strategies.from_type
strategies.register_type_strategy(str, _TEXT)

SPECS = strategies.builds(
    guest_spec.GuestSpec,
    uuid=strategies.uuids().map(str), name=_TEXT,
    metadata=strategies.builds(
        guest_spec.GuestMetadata,
        flavor=_PLAIN(flavor_spec.Flavor),
        owner=strategies.none() | _PLAIN(guest_spec.Owner)),
    cpu=_PLAIN(cpu_spec.CpuSpec), memory=_PLAIN(memory_spec.MemorySpec),
    boot=_PLAIN(boot_spec.BootSpec), storage=_PLAIN(disk_spec.StorageSpec),
    nics=strategies.lists(_PLAIN(nic_spec.NicSpec), max_size=2).map(tuple),
    consoles=_PLAIN(console_spec.ConsoleSpec),
    devices=_PLAIN(device_spec.DeviceSpec),
    features=_PLAIN(device_spec.FeatureSpec),
    config_drive=strategies.none() | strategies.builds(
        configdrive_spec.ConfigDriveSpec,
        admin_password=strategies.just('')))


def small(**more: object) -> guest_spec.GuestSpec:
    values = {
        'uuid': '11111111-2222-3333-4444-555555555555', 'name': 'one',
        'metadata': guest_spec.GuestMetadata(
            display_name='one', created_at='2026-11-25T00:00:00',
            flavor=flavor_spec.Flavor(name='tiny', vcpus=1, memory_mib=64)),
        'cpu': cpu_spec.CpuSpec(vcpus=1),
        'memory': memory_spec.MemorySpec(size_mib=64), **more}
    return guest_spec.GuestSpec(**values)  # type: ignore[arg-type]


class SpecRecordTest(base.TestCase):

    def setUp(self) -> None:
        super().setUp()
        self.path = os.path.join(
            self.useFixture(fixtures.TempDir()).path, 'guest.json')

    @hypothesis.given(SPECS)
    @hypothesis.settings(
        max_examples=50, deadline=None,
        suppress_health_check=list(hypothesis.HealthCheck))
    def test_what_is_written_is_read(
            self, spec: guest_spec.GuestSpec) -> None:
        self.assertEqual(spec, spec_record.loads(spec_record.dumps(spec)))

    def test_a_file_without_world_bits(self) -> None:
        spec_record.write(self.path, small())

        self.assertEqual(small(), spec_record.read(self.path))
        self.assertEqual(0o640, stat.S_IMODE(os.stat(self.path).st_mode))
        self.assertEqual(['guest.json'],
                         os.listdir(os.path.dirname(self.path)))

    def test_a_password_is_not_kept(self) -> None:
        drive = configdrive_spec.ConfigDriveSpec(
            admin_password='canary-4711', user_data='stays')
        spec_record.write(self.path, small(config_drive=drive))

        with open(self.path, encoding='utf-8') as file:
            text = file.read()
        self.assertNotIn('canary', text)
        self.assertIn('stays', text)

    def test_user_data_may_be_any_bytes(self) -> None:
        text = b'\x1f\x8b\xff\0'.decode('utf-8', 'surrogateescape')
        spec = small(config_drive=configdrive_spec.ConfigDriveSpec(
            user_data=text))

        spec_record.write(self.path, spec)

        self.assertEqual(spec, spec_record.read(self.path))

    def test_a_record_that_cannot_be_replaced_stays(self) -> None:
        spec_record.write(self.path, small())
        folder = os.path.dirname(self.path)
        nowhere = os.path.join(folder, 'none', 'guest.json')

        self.assertRaises(
            exception.StorageFailure, spec_record.write, nowhere, small())
        self.assertRaises(
            exception.StorageFailure, spec_record.write, folder, small())

        self.assertEqual(['guest.json'], os.listdir(folder))
        self.assertEqual(small(), spec_record.read(self.path))

    def test_the_library_is_loaded_only_when_it_is_needed(self) -> None:
        code = ('import sys; '
                'from nova_libvirt_driver.storage import spec_record; '
                'sys.exit("cattrs" in sys.modules)')

        self.assertEqual(0, subprocess.run(
            [sys.executable, '-c', code], check=False).returncode)

    def test_a_later_version_may_know_more_and_an_earlier_less(self) -> None:
        record = json.loads(spec_record.dumps(small()))
        record['guest']['warp_drive'] = True
        del record['guest']['features']

        self.assertEqual(small(), spec_record.loads(json.dumps(record)))

    def test_a_damaged_record_is_named(self) -> None:
        for text in ('', '[]', '{"guest": {"uuid": 1}}', '{"guest": 3}',
                     spec_record.dumps(small()).replace(
                         '"locked": false', '"locked": "no"'),
                     spec_record.dumps(small()).replace(
                         '"name": "one"', '"name": null'),
                     spec_record.dumps(small()).replace(
                         '"vcpus": 1', '"vcpus": "1"')):
            with open(self.path, 'w', encoding='utf-8') as file:
                file.write(text)
            error = self.assertRaises(
                exception.StorageFailure, spec_record.read, self.path)
            self.assertIn(self.path, str(error))
