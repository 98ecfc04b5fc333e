# SPDX-License-Identifier: Apache-2.0

"""The checks of the host, each on a small input."""

import dataclasses
import os
import pathlib
import stat
import threading

import fixtures

from nova_libvirt_driver.cli.doctor import check_connection
from nova_libvirt_driver.cli.doctor import check_guest
from nova_libvirt_driver.cli.doctor import check_library
from nova_libvirt_driver.cli.doctor import check_machine
from nova_libvirt_driver.cli.doctor import checks
from nova_libvirt_driver.compute import kvm
from nova_libvirt_driver.configurators import builder
from nova_libvirt_driver.host import versions
from nova_libvirt_driver.spec import guest as guest_spec
from nova_libvirt_driver.spec import instance as instance_spec
from nova_libvirt_driver.storage import spec_record
from nova_libvirt_driver.testing import specs
from tests import base
from tests.unit.cli.doctor import links
from tests.unit.configurators import values

Status = checks.Status

_link = links.link


class RunTest(base.TestCase):

    topic = checks.Topic('x')

    def test_an_exception_is_a_failure_with_its_text(self) -> None:
        def fails() -> checks.Check:
            raise ValueError('two\nlines')

        found = checks.run(self.topic, fails, timeout_s=5)

        self.assertEqual((Status.FAILURE, 'two lines'),
                         (found.status, found.detail))

    def test_a_check_that_hangs_is_a_failure_in_time(self) -> None:
        release = threading.Event()
        self.addCleanup(release.set)

        def hangs() -> checks.Check:
            release.wait(60)
            return self.topic.ok('late')

        found = checks.run(self.topic, hangs, timeout_s=0.05)

        self.assertEqual((Status.FAILURE, 'gave no answer within 0.05 s'),
                         (found.status, found.detail))


class ConnectionCheckTest(base.TestCase):

    def test_plain_tcp_alone_is_warned_of(self) -> None:
        expected = {
            'qemu+tcp://h2/system': Status.WARNING,
            'qemu+tls://h2/system': Status.OK,
            'qemu://h2/system': Status.OK,
            'qemu+ssh://root@h2/system': Status.OK,
            'qemu:///system': Status.OK,
            'qemu:///embed?root=/srv': Status.OK,
            'test:///default': Status.OK}

        for uri, status in expected.items():
            with self.subTest(uri=uri):
                self.assertEqual(
                    status, check_connection.transport(uri).status)

    def test_an_old_qemu_is_a_failure(self) -> None:
        old = check_connection.hypervisor(_link(version=6_001_000))
        enough = check_connection.hypervisor(_link(version=6_002_000))
        other = check_connection.hypervisor(_link(kind='TEST', version=2))

        self.assertEqual('QEMU 6.1.0 is older than 6.2.0', old.detail)
        self.assertEqual(
            [Status.FAILURE, Status.OK, Status.OK],
            [old.status, enough.status, other.status])

    def test_no_events_are_warned_of(self) -> None:
        self.assertEqual(Status.OK, check_connection.events(_link()).status)
        self.assertEqual(Status.WARNING, check_connection.events(
            _link(events=False)).status)

    def test_keepalive_matters_where_there_is_a_daemon(self) -> None:
        remote = _link(keepalive=False)
        embedded = _link(keepalive=False, uri='test:///default')

        self.assertEqual(
            [Status.WARNING, Status.SKIPPED],
            [check_connection.keepalive(remote).status,
             check_connection.keepalive(embedded).status])


class GuestCheckTest(base.TestCase):

    def test_an_emulator_that_can_be_run_is_named(self) -> None:
        found = check_guest.emulator(_link(), 'qemu')

        self.assertEqual((Status.OK, '/bin/sh'),
                         (found.status, found.detail))

    def test_an_emulator_that_is_gone_is_a_failure(self) -> None:
        found = check_guest.emulator(_link(emulator='/gone/qemu'), 'qemu')

        self.assertEqual(Status.FAILURE, found.status)

    def test_another_virt_type_than_the_emulators_is_a_failure(self) -> None:
        found = check_guest.emulator(_link(), 'parallels')

        self.assertEqual(Status.FAILURE, found.status)
        self.assertEqual('correct [libvirt] virt_type', found.fix)

    def test_kvm_is_wanted_but_not_offered(self) -> None:
        found = check_guest.acceleration(
            _link(uri='qemu+ssh://h2/system'), 'kvm', _broken)

        self.assertEqual((Status.FAILURE, 'libvirt does not offer KVM'),
                         (found.status, found.detail))

    def test_kvm_is_offered(self) -> None:
        link = _link(kvm="<domain type='kvm'/>")

        self.assertEqual(
            Status.OK, check_guest.acceleration(
                link, 'kvm', _works).status)
        self.assertEqual(
            'set [libvirt] virt_type = kvm',
            check_guest.acceleration(link, 'qemu', _works).fix)

    def test_kvm_that_runs_no_guest_is_told_apart(self) -> None:
        link = _link(kvm="<domain type='kvm'/>")

        for virt_type, status in (
                ('kvm', Status.FAILURE), ('qemu', Status.WARNING)):
            found = check_guest.acceleration(link, virt_type, _broken)

            self.assertEqual(status, found.status)
            self.assertIn('a tiny guest does not run', found.detail)

    def test_guests_without_confinement_are_warned_of(self) -> None:
        expected = {'none': Status.WARNING, 'dac': Status.WARNING,
                    'apparmor': Status.OK, 'selinux': Status.OK}

        for model, status in expected.items():
            with self.subTest(model=model):
                self.assertEqual(status, check_guest.confinement(
                    _link(secmodel=model)).status)

    def test_how_to_confine_guests_depends_on_whose_they_are(self) -> None:
        for uri, user_id, said, unsaid in (
                ('qemu:///system', 1000, '/etc/libvirt/qemu.conf', '--uri'),
                ('qemu:///session', 0, '/etc/libvirt/qemu.conf', '--uri'),
                ('qemu:///session', 1000, '--uri qemu:///system', 'qemu.conf'),
                ('qemu+unix:///session', 1000, '--uri', 'qemu.conf'),
                ('qemu:///embed?root=/x', 0, '--uri', 'qemu.conf'),
                ('qemu:///embed?root=/x', 1000, '--uri', 'qemu.conf'),
                ('qemu+ssh://there/system', 1000, 'on that host', '--uri')):
            with self.subTest(uri=uri, user_id=user_id):
                found = check_guest.confinement(_link(uri=uri), user_id)

                self.assertIn(said, found.fix)
                self.assertNotIn(unsaid, found.fix)

    def test_no_daemon_is_restarted_where_there_is_none(self) -> None:
        for uri, expected in (('qemu:///system', True),
                              ('qemu:///embed?root=/x', False)):
            for link in (_link(uri=uri, capabilities='<capabilities/>'),):
                self.assertEqual(
                    expected, 'restart the libvirt daemon' in (
                        check_guest.emulator(link, 'qemu').fix))

    def test_guests_that_storage_has_paused_are_named(self) -> None:
        rows = [instance_spec.InstanceSummary(
            uuid=name, name=name, state=instance_spec.PowerState.PAUSED,
            stopped_by_storage=name != 'by-user')
            for name in ('web', 'db', 'by-user')]

        found = check_guest.disks(rows)

        self.assertIs(Status.WARNING, found.status)
        self.assertIn(': db, web', found.detail)
        self.assertNotIn('by-user', found.detail)
        self.assertIn('then unpause', found.fix)
        self.assertIs(Status.OK, check_guest.disks(rows[-1:]).status)

    def test_guests_without_a_record_are_named(self) -> None:
        folder = self.useFixture(fixtures.TempDir()).path
        spec = specs.guest_spec('web')
        owner = guest_spec.Owner(project_id='p1')
        rows = [instance_spec.InstanceSummary(
            uuid=uuid, name=uuid, owned=owned,
            state=instance_spec.PowerState.RUNNING)
            for uuid, owned in ((spec.uuid, True), (values.UUID, False))]

        def look(owner: guest_spec.Owner | None) -> checks.Check:
            return check_guest.records(rows, folder, lambda row: builder.build(
                values.inputs(metadata=dataclasses.replace(
                    values.METADATA, owner=owner))).to_xml())

        found = look(None)
        self.assertIs(Status.WARNING, found.status)
        self.assertIn(f'{spec.uuid}/guest.json', found.detail)
        self.assertNotIn(values.UUID, found.detail)
        self.assertIs(Status.OK, look(owner).status)
        os.mkdir(os.path.join(folder, spec.uuid))
        spec_record.write(
            os.path.join(folder, spec.uuid, 'guest.json'), spec)
        self.assertIs(Status.OK, look(None).status)

    def test_nothing_of_qemu_matters_to_another_hypervisor(self) -> None:
        link = _link(kind='TEST')

        self.assertEqual({Status.SKIPPED}, {
            check_guest.emulator(link, 'kvm').status,
            check_guest.acceleration(link, 'kvm', _works).status,
            check_guest.confinement(link).status})


def _works() -> kvm.Verdict:
    return kvm.Verdict.WORKS


def _broken() -> kvm.Verdict:
    return kvm.Verdict.BROKEN


class LibraryCheckTest(base.TestCase):

    def test_an_old_library_is_a_failure(self) -> None:
        expected = {'7.10.0': Status.FAILURE, '8.0.0': Status.OK,
                    '10.0.0': Status.OK}

        for library, status in expected.items():
            with self.subTest(library=library):
                self.assertEqual(status, check_library.library(
                    versions.Versions('9', library)).status)

    def test_a_missing_binding_is_a_failure(self) -> None:
        found = versions.Versions(problem='no libvirt.so.0')

        self.assertIn(
            'no libvirt.so.0', check_library.binding(found).detail)
        self.assertEqual(
            Status.SKIPPED, check_library.library(found).status)

    def _qemu_img(self, script: str | None) -> None:
        folder = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        if script is not None:
            path = folder / 'qemu-img'
            path.write_text(f'#!/bin/sh\n{script}\n')
            path.chmod(path.stat().st_mode | stat.S_IXUSR)
        self.useFixture(fixtures.EnvironmentVariable('PATH', str(folder)))

    def test_qemu_img_says_its_version(self) -> None:
        self._qemu_img('echo "qemu-img version 8.2.1 (Debian)"')

        found = check_library.qemu_img('QEMU')

        self.assertEqual(Status.OK, found.status)
        self.assertTrue(found.detail.startswith('8.2.1 '))

    def test_qemu_img_that_is_old_or_broken_is_a_failure(self) -> None:
        for script in ('echo qemu-img version 5.0.0', 'exit 1'):
            with self.subTest(script=script):
                self._qemu_img(script)

                self.assertEqual(
                    Status.FAILURE, check_library.qemu_img('QEMU').status)

    def test_qemu_img_is_needed_for_qemu_only(self) -> None:
        self._qemu_img(None)

        self.assertEqual(
            [Status.FAILURE, Status.SKIPPED],
            [check_library.qemu_img('QEMU').status,
             check_library.qemu_img('TEST').status])


class MachineCheckTest(base.TestCase):

    def test_a_folder_may_be_made_later(self) -> None:
        folder = self.useFixture(fixtures.TempDir()).path
        path = os.path.join(folder, 'not', 'yet')

        self.assertEqual(Status.OK, check_machine.state_path(path).status)
        self.assertIn('GiB free', check_machine.instances_path(path).detail)
        self.assertEqual([], os.listdir(folder))

    def test_a_folder_that_qemu_cannot_reach_is_a_failure(self) -> None:
        folder = self.useFixture(fixtures.TempDir()).path
        path = os.path.join(folder, 'instances')
        os.mkdir(path)
        for place in (pathlib.Path(folder).parent, folder, path):
            os.chmod(place, 0o711)
        self.assertEqual(Status.OK, check_machine.instances_path(
            path, qemu_uid=65534).status)

        for place, mode in ((path, 0o700), (folder, 0o600)):
            os.chmod(place, mode)
            found = check_machine.instances_path(path, qemu_uid=65534)
            mine = check_machine.instances_path(path, qemu_uid=os.geteuid())

            self.assertEqual(Status.FAILURE, found.status)
            self.assertIn(f'may not enter {place}', found.detail)
            self.assertIn(f'chmod o+x {place}', found.fix)
            self.assertNotIn('may not enter', mine.detail)

    def test_a_file_in_the_place_of_a_folder_is_a_failure(self) -> None:
        found = check_machine.state_path(__file__)

        self.assertEqual(
            (Status.FAILURE, 'correct [DEFAULT] state_path'),
            (found.status, found.fix))

    def test_little_room_is_told(self) -> None:
        expected = {0.5: Status.FAILURE, 5.0: Status.WARNING,
                    50.0: Status.OK}

        for free_gib, status in expected.items():
            with self.subTest(free_gib=free_gib):
                self.assertEqual(
                    status, check_machine.room('/x', free_gib).status)

    def test_host_names(self) -> None:
        expected = {'compute1': Status.OK, '': Status.FAILURE,
                    'a b': Status.FAILURE, 'localhost': Status.WARNING}

        for name, status in expected.items():
            with self.subTest(name=name):
                self.assertEqual(
                    status, check_machine.host_name(name).status)

    def test_an_address_that_leads_nowhere_is_warned_of(self) -> None:
        for address in ('127.0.0.1', '::1', '198.51.100.1'):
            with self.subTest(address=address):
                self.assertEqual(
                    Status.WARNING, check_machine.my_ip(address).status)
