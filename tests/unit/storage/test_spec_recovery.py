# SPDX-License-Identifier: Apache-2.0

"""Guests whose record was lost: their domains say what made them."""

import dataclasses
import os
import pathlib
from unittest import mock

import fixtures

from nova_libvirt_driver.configurators import builder
from nova_libvirt_driver import exception
from nova_libvirt_driver.spec import guest as guest_spec
from nova_libvirt_driver.spec import instance as instance_spec
from nova_libvirt_driver.storage import folder as folder_module
from nova_libvirt_driver.storage import spec_record
from nova_libvirt_driver.storage import spec_recovery
from nova_libvirt_driver.xmlmodel import domain as domain_model
from tests import base
from tests.unit.configurators import scenarios
from tests.unit.configurators.scenarios import whole
from tests.unit.configurators import values

FOLDER = folder_module.InstanceFolder('/instances', values.UUID)
INSTANCE = instance_spec.InstanceRef(values.UUID, 'instance-00000001')
# Libvirt adds such a mouse to each guest with a graphical console.
MOUSE = 'console-without-card'


def sayable(spec: guest_spec.GuestSpec) -> guest_spec.GuestSpec:
    """Return a guest without what its domain does not say."""
    return dataclasses.replace(
        spec, metadata=dataclasses.replace(spec.metadata, owner=None),
        nics=tuple(dataclasses.replace(nic, addresses=())
                   for nic in spec.nics))


def with_ports(
        spec: guest_spec.GuestSpec,
        other: guest_spec.GuestSpec) -> guest_spec.GuestSpec:
    """Return a guest with the TCP ports that each start chooses."""
    serials = tuple(
        dataclasses.replace(one, port=theirs.port) for one, theirs in zip(
            spec.consoles.serials, other.consoles.serials, strict=True))
    return dataclasses.replace(spec, consoles=dataclasses.replace(
        spec.consoles, serials=serials))


class RecoveryTest(base.TestCase):

    def test_what_is_recovered_makes_the_same_domain(self) -> None:
        for name, inputs in scenarios.SCENARIOS.items():
            if name == MOUSE:
                continue
            before = builder.build(dataclasses.replace(
                inputs, spec=sayable(inputs.spec))).to_xml()

            spec = spec_recovery.spec(
                domain_model.Domain.parse(before), FOLDER)

            self.assertEqual(before, builder.build(dataclasses.replace(
                inputs, spec=with_ports(spec, inputs.spec))).to_xml(), name)

    def test_what_a_person_has_added_is_left_to_stay_as_it_is(self) -> None:
        xml = builder.build(values.inputs()).to_xml().replace(
            '</devices>', """
            <disk type='file' device='disk'>
              <driver name='qemu' type='raw' detect_zeroes='unmap'/>
              <source file='/data/extra.img'/><target dev='vdb' bus='virtio'/>
            </disk>
            <disk type='file' device='disk'>
              <source file='/data/v'/><target dev='vdc' bus='virtio'/>
              <serial>one-of-ours</serial>
            </disk>
            <interface type='network'><mac address='52:54:00:00:00:01'/>
              <source network='default'/><link state='down'/></interface>
            <interface type='network'><mac address='52:54:00:00:00:02'/>
              <source network='default'/></interface></devices>""")

        spec = spec_recovery.spec(domain_model.Domain.parse(xml), FOLDER)

        self.assertEqual(
            ['vdc'], [disk.target_dev for disk in spec.storage.volumes])
        self.assertEqual(
            ['52:54:00:00:00:02'], [nic.mac for nic in spec.nics])

    def test_the_files_of_a_folder_that_was_moved_are_where_it_is(
            self) -> None:
        for name, inputs in scenarios.SCENARIOS.items():
            if name == MOUSE:
                continue
            domain = builder.build(dataclasses.replace(
                inputs, spec=sayable(inputs.spec))).to_xml()

            spec, moved = (
                spec_recovery.spec(domain_model.Domain.parse(xml), FOLDER)
                for xml in (domain, domain.replace(
                    FOLDER.path, f'/gone/{values.UUID}')))

            self.assertEqual(spec, moved, name)

    def test_guests_of_nova_are_told_by_their_owner(self) -> None:
        for owner, expected in ((whole.METADATA.owner, False), (None, True)):
            domain = builder.build(values.inputs(
                metadata=dataclasses.replace(whole.METADATA, owner=owner)))

            self.assertIs(expected, spec_recovery.is_recoverable(domain))


class LostTest(base.TestCase):
    """A record that is lost, of a guest that has a domain."""

    def setUp(self) -> None:
        super().setUp()
        self.log = self.useFixture(fixtures.FakeLogger())
        path = self.useFixture(fixtures.TempDir()).path
        self.folder = folder_module.InstanceFolder(path, values.UUID)
        os.mkdir(self.folder.path)
        self.xml = builder.build(values.inputs()).to_xml()
        self.specs = spec_record.SpecRecords(
            folder_module.Folders(path, lambda: None), 'here',
            lambda instance: self.xml)

    def test_it_is_made_again_once(self) -> None:
        for text in (None, '', '{"guest": 3}'):
            pathlib.Path(self.folder.spec).unlink(missing_ok=True)
            if text is not None:
                pathlib.Path(self.folder.spec).write_text(text)
            lost = spec_record.is_lost(self.folder.spec)
            found = [self.specs.current(INSTANCE) for _ in range(2)]

            self.assertTrue(lost)
            self.assertFalse(spec_record.is_lost(self.folder.spec))
            self.assertEqual(found[0], found[1])
            self.assertEqual('instance-00000001', found[0].name)
        self.assertEqual(3, self.log.output.count('is made again from'))

    def test_a_reader_without_the_lock_writes_and_says_nothing(self) -> None:
        for text in (None, '{'):
            if text is not None:
                pathlib.Path(self.folder.spec).write_text(text)
            before = os.listdir(self.folder.path)

            spec = self.specs.read(values.guest())

            self.assertEqual('instance-00000001', spec.name)
            self.assertEqual(before, os.listdir(self.folder.path))
        self.assertEqual('', self.log.output)

    def test_a_record_that_was_written_meanwhile_stays(self) -> None:
        mine = dataclasses.replace(
            spec_recovery.spec(
                domain_model.Domain.parse(self.xml), self.folder),
            name='the-full-one')

        def written(instance: instance_spec.Instance) -> str:
            spec_record.write(self.folder.spec, mine)
            return self.xml

        self.specs = spec_record.SpecRecords(
            folder_module.Folders(
                os.path.dirname(self.folder.path), lambda: None),
            'here', written)

        self.specs.current(INSTANCE)

        self.assertEqual(mine, spec_record.read(self.folder.spec))
        self.assertEqual(['guest.json'], os.listdir(self.folder.path))

    def test_a_damaged_one_is_kept_and_named(self) -> None:
        pathlib.Path(self.folder.spec).write_text('{"keys": ')

        self.specs.current(INSTANCE)

        kept, = pathlib.Path(self.folder.path).glob('guest.json.damaged-*')
        self.assertEqual('{"keys": ', kept.read_text())
        self.assertIn(str(kept), self.log.output)

    def test_one_of_a_later_version_is_left_alone(self) -> None:
        spec_record.write(self.folder.spec, self.specs.read(values.guest()))
        text = pathlib.Path(self.folder.spec).read_text()
        for later in (text.replace('"version": 1', '"version": 2'),
                      text.replace('"root_device": "disk"',
                                   '"root_device": "tape"')):
            pathlib.Path(self.folder.spec).write_text(later)

            lost = spec_record.is_lost(self.folder.spec)
            error = self.assertRaises(exception.StorageFailure,
                                      self.specs.current, INSTANCE)

            self.assertFalse(lost)
            self.assertIn('later version', error.next_step)
            self.assertEqual(
                later, pathlib.Path(self.folder.spec).read_text())

    def test_a_change_is_noted_in_it(self) -> None:
        self.specs.note_display_name(values.guest(), 'web')

        self.assertEqual('web', spec_record.read(
            self.folder.spec).metadata.display_name)

    def test_a_rescued_guest_is_what_it_was_before(self) -> None:
        pathlib.Path(self.folder.unrescue_xml).write_text(self.xml)
        self.xml = self.xml.replace('<vcpu>1<', '<vcpu>2<')

        self.assertEqual(1, self.specs.read(values.guest()).cpu.vcpus)

    def test_those_of_nova_are_nova_s(self) -> None:
        self.xml = builder.build(values.inputs(
            metadata=whole.METADATA)).to_xml()

        self.assertRaises(exception.InstanceNotFound, self.specs.read,
                          values.guest())
        self.assertEqual([], os.listdir(self.folder.path))

    def test_without_a_domain_it_stays_lost(self) -> None:
        def gone(instance: instance_spec.Instance) -> str:
            raise exception.InstanceNotFound(
                instance=instance.uuid, host='here')

        specs = spec_record.SpecRecords(
            folder_module.Folders(
                os.path.dirname(self.folder.path), lambda: None),
            'here', gone)

        self.assertRaises(
            exception.InstanceNotFound, specs.read, values.guest())
        pathlib.Path(self.folder.spec).write_text('{')
        self.assertRaises(
            exception.StorageFailure, specs.read, values.guest())

    def test_a_service_without_need_of_it_waits_for_no_disk(self) -> None:
        specs = spec_record.SpecRecords(folder_module.Folders(
            os.path.dirname(self.folder.path), lambda: None), 'here')
        spec_record.write(self.folder.spec, values.guest())

        with mock.patch.object(os, 'fsync', autospec=True) as fsync:
            specs.note_display_name(values.guest(), 'other')
        fsync.assert_not_called()
        self.assertEqual('other', spec_record.read(
            self.folder.spec).metadata.display_name)

        # So a loss of power may leave it without a byte.
        pathlib.Path(self.folder.spec).write_text('')
        specs.note_display_name(values.guest(), 'third')
        self.assertIsNone(specs.find(values.guest()))
        with mock.patch.object(os, 'fsync', wraps=os.fsync) as fsync:
            self.specs.note_display_name(values.guest(), 'fourth')
        self.assertGreater(fsync.call_count, 1)

    def test_who_only_looks_makes_none(self) -> None:
        self.assertIsNone(self.specs.find(values.guest()))
        self.assertEqual([], os.listdir(self.folder.path))

    def test_a_full_disk_keeps_no_verb_from_it(self) -> None:
        os.rmdir(self.folder.path)

        self.assertEqual(1, self.specs.current(INSTANCE).cpu.vcpus)
