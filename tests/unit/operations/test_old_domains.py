# SPDX-License-Identifier: Apache-2.0

"""What is deleted on a host while another one lets its guest go."""

import contextlib
import dataclasses
import itertools
import os
import shutil

import fixtures
import libvirt

from nova_libvirt_driver.testing import fake_attachment
from nova_libvirt_driver.testing import fake_guest
from nova_libvirt_driver.testing import fake_libvirt
from nova_libvirt_driver.testing import fake_progress
from nova_libvirt_driver.testing import fake_xml
from tests import owners
from tests.unit.operations import whole

URI = 'qemu+tcp://two/system'
GONE = f'gone to {URI}'
PHASES = ('', 'migrating', 'moved', GONE)
"""Of a live migration that has begun on another host."""

SHUT_DOWN = (libvirt.VIR_DOMAIN_SHUTOFF,
             libvirt.VIR_DOMAIN_SHUTOFF_SHUTDOWN)
HERE = {
    'up': (libvirt.VIR_DOMAIN_RUNNING, 1),
    'paused': (libvirt.VIR_DOMAIN_PAUSED, libvirt.VIR_DOMAIN_PAUSED_USER),
    'coming': (libvirt.VIR_DOMAIN_PAUSED,
               libvirt.VIR_DOMAIN_PAUSED_MIGRATION),
    'began to come': (libvirt.VIR_DOMAIN_PAUSED,
                      libvirt.VIR_DOMAIN_PAUSED_STARTING_UP),
    'down': SHUT_DOWN,
    'crashed': (libvirt.VIR_DOMAIN_CRASHED,
                libvirt.VIR_DOMAIN_CRASHED_PANICKED),
    'gone': None}
"""States of the domain on this host."""

DOWN = {
    'destroyed': (libvirt.VIR_DOMAIN_SHUTOFF,
                  libvirt.VIR_DOMAIN_SHUTOFF_DESTROYED),
    'failed': (libvirt.VIR_DOMAIN_SHUTOFF,
               libvirt.VIR_DOMAIN_SHUTOFF_CRASHED),
    'saved': (libvirt.VIR_DOMAIN_SHUTOFF, libvirt.VIR_DOMAIN_SHUTOFF_SAVED),
    'migrated': (libvirt.VIR_DOMAIN_SHUTOFF,
                 libvirt.VIR_DOMAIN_SHUTOFF_MIGRATED),
    'never started': (libvirt.VIR_DOMAIN_SHUTOFF,
                      libvirt.VIR_DOMAIN_SHUTOFF_UNKNOWN)}
"""More of those."""

KEEP_NVRAM = libvirt.VIR_DOMAIN_UNDEFINE_KEEP_NVRAM
ARRIVED, STOPPED = ('up', 'paused'), ('down', 'destroyed', 'failed', 'saved')


class OldDomainTest(whole.WholeTestCase):
    """The files are removed only with a guest that is up here."""

    def setUp(self) -> None:
        super().setUp()
        self.there = owners.journal(self.instances_path, owners.THERE)
        self.other = fake_libvirt.FakeHypervisor()
        self.hypervisor.others[URI] = self.other
        self.port = os.path.join(
            self.useFixture(fixtures.TempDir()).path, 'port')

    def make(self, state: tuple[int, int] | None) -> fake_guest.Guest:
        """Have a guest, and a domain in some state on this host."""
        self.spec = self.guest()
        self.driver.spawn(self.spec)
        guest, = self.hypervisor.guests
        self.other.guests = [dataclasses.replace(guest)]
        if state is None:
            self.hypervisor.remove_guest(guest)
        else:
            guest.state, guest.reason = state
        return guest

    def leave_migration(self, phase: str) -> None:
        entry = self.there.begin(
            'live-migrate', uuid=self.spec.uuid, name=self.spec.name,
            uri=URI, is_shared=True, was_paused=False, attachments=[])
        if phase in ('', 'migrating'):
            if phase:
                entry.advance(phase)
            entry.release()
        else:
            entry.leave_open(phase, 600.0)

    def destroy(self, *, destroy_disks: bool, failing: bool) -> None:
        port = fake_attachment.FakeAttachment(
            self.port, fake_attachment.failing('disconnect')
            if failing else lambda point: None)
        with contextlib.suppress(fake_attachment.Failed):
            self.driver.destroy(self.spec, attachments=[port],
                                destroy_disks=destroy_disks)
        self.assertEqual([], self.names())

    def files(self) -> list[str]:
        return sorted(
            str(path) for path in self.folder(self.spec).rglob('*'))

    def end_there(self) -> None:
        """Have the other host end its migration, and what waits for that."""
        for note in self.there.notes(self.spec.uuid):
            with self.there.left(self.spec.uuid, note.id) as entries:
                for entry in entries:
                    entry.end()
        self.driver.clean_up_operation(self.spec.uuid, '', force=False)
        self.assertEqual([], self.journal.notes())

    def test_each_state_here_and_there(self) -> None:
        for phase, here, (destroy_disks, failing) in itertools.product(
                PHASES, HERE, ((True, False), (True, True), (False, False))):
            with self.subTest(phase=phase, here=here, failing=failing,
                              destroy_disks=destroy_disks):
                guest = self.make(HERE[here])
                self.leave_migration(phase)
                disk = self.folder(self.spec) / 'disk'
                is_to_go = destroy_disks and here in ARRIVED

                self.destroy(destroy_disks=destroy_disks, failing=failing)

                if here != 'gone':
                    # Those of a guest that may be elsewhere are shared, too.
                    self.assertEqual(
                        is_to_go, not guest.undefined_with & KEEP_NVRAM)
                # Until the other host says that nothing is left to do there.
                self.assertEqual(
                    not (is_to_go and phase == GONE), disk.exists())
                files = self.files()
                self.driver.delete_instance_files(self.spec)
                self.assertEqual(files, self.files())
                self.end_there()
                self.assertEqual(not is_to_go, disk.exists())
                shutil.rmtree(self.folder(self.spec), ignore_errors=True)

    def test_one_that_has_come_and_was_stopped_goes_with_its_files(
            self) -> None:
        """The URI to which it was let go leads to this host."""
        self.hypervisor.others[URI] = self.hypervisor
        for phase, (here, state) in itertools.product(
                PHASES, {**HERE, **DOWN}.items()):
            with self.subTest(phase=phase, here=here):
                guest = self.make(state)
                self.leave_migration(phase)
                disk = self.folder(self.spec) / 'disk'
                has_come = phase in ('moved', GONE) and here in STOPPED

                self.destroy(
                    destroy_disks=True, failing=here in ('up', 'failed'))

                self.assertEqual(
                    has_come or here in ARRIVED,
                    here != 'gone' and not guest.undefined_with & KEEP_NVRAM)
                self.assertNotIn('token', guest.definition)
                self.assertEqual(
                    not (has_come or phase == GONE and here in ARRIVED),
                    disk.exists())
                self.end_there()
                self.assertEqual(
                    not (has_come or here in ARRIVED), disk.exists())
                shutil.rmtree(self.folder(self.spec), ignore_errors=True)

    def test_so_they_do_when_the_deletion_stops_half_way(self) -> None:
        self.hypervisor.others[URI] = self.hypervisor
        self.make(HERE['down'])
        self.leave_migration('moved')

        self.assertRaises(
            fake_progress.Stopped, self.driver.destroy, self.spec,
            progress=fake_progress.FailingProgress(2))

        self.assertEqual([], self.names())
        self.assertTrue((self.folder(self.spec) / 'disk').exists())
        self.end_there()
        self.assertFalse(self.folder(self.spec).exists())

    def be_marked_there(self) -> None:
        """The other host deletes its domain at this moment."""
        there, = self.other.guests
        there.definition = fake_xml.with_metadata(
            there.definition, f'<token>{32 * "0"}</token>', 'token',
            'urn:nova-libvirt-driver:token')

    def test_what_is_not_proved_to_have_come_stays(self) -> None:
        def stop_both() -> None:
            for one in (self.hypervisor, self.other):
                one.guests[0].state, one.guests[0].reason = SHUT_DOWN

        def come_elsewhere() -> None:
            """It stands there as it does here."""

        def start_anew() -> None:
            """Libvirt no longer knows why it is down."""
            self.hypervisor.others[URI] = self.hypervisor
            self.hypervisor.guests[0].reason = (
                libvirt.VIR_DOMAIN_SHUTOFF_UNKNOWN)

        def go_on() -> None:
            self.hypervisor.others[URI] = self.hypervisor
            self.hypervisor.guests[0].reason = (
                libvirt.VIR_DOMAIN_SHUTOFF_MIGRATED)

        def be_cut_off() -> None:
            self.other.refuse_connections()

        def be_let_go_twice() -> None:
            self.hypervisor.others[URI] = self.hypervisor
            self.leave_migration('moved')

        def be_at_work_elsewhere() -> None:
            self.hypervisor.others[URI] = self.hypervisor
            self.there.begin(
                'migrate', uuid=self.spec.uuid, name=self.spec.name).release()

        for case in (come_elsewhere, self.be_marked_there, start_anew, go_on,
                     be_cut_off, be_let_go_twice, be_at_work_elsewhere):
            with self.subTest(case=case.__name__):
                guest = self.make(HERE['down'])
                self.leave_migration(GONE)
                stop_both()
                case()

                self.destroy(destroy_disks=True, failing=False)

                # On storage that both have, it may be that of the other.
                self.assertTrue(guest.undefined_with & KEEP_NVRAM)
                self.assertNotIn('token', guest.definition)
                self.assertTrue((self.folder(self.spec) / 'disk').exists())
                self.assertIn('The files are left', self.log.output)
                self.end_there()
                self.assertTrue((self.folder(self.spec) / 'disk').exists())
                self.hypervisor.others[URI] = self.other
                self.other.accept_connections()
                shutil.rmtree(self.folder(self.spec))

    def test_other_work_of_other_hosts(self) -> None:
        """A deletion says nothing about where the guest is."""
        for operation, values, is_afterwards in (
                ('receive', {'made': False}, False),
                ('migrate', {}, False), ('finish migration', {}, False),
                ('spawn', {}, False), ('reboot', {}, False),
                ('of a later version', {}, False),
                ('destroy', {'destroy_disks': True}, True)):
            for here in ('up', 'down'):
                with self.subTest(operation=operation, here=here, **values):
                    self.make(HERE[here])
                    self.there.begin(
                        operation, uuid=self.spec.uuid, name=self.spec.name,
                        **values).release()

                    self.destroy(destroy_disks=True, failing=False)

                    disk = self.folder(self.spec) / 'disk'
                    self.assertTrue(disk.exists())
                    self.end_there()
                    self.assertEqual(
                        not is_afterwards and here == 'down', disk.exists())
                    shutil.rmtree(self.folder(self.spec), ignore_errors=True)

    def test_a_deletion_that_is_killed_remembers_who_was_up(self) -> None:
        for here, was_up in itertools.product(('down', 'gone'), (True, False)):
            with self.subTest(here=here, was_up=was_up):
                self.make(HERE[here])
                self.leave_migration('moved')
                self.journal.begin(
                    'destroy', uuid=self.spec.uuid, name=self.spec.name,
                    destroy_disks=True, attachments=[], here_despite=[
                        note.id for note in self.there.notes() if was_up],
                ).release()

                self.driver.clean_up_operation(
                    self.spec.uuid, '', force=False)

                disk = self.folder(self.spec) / 'disk'
                self.assertEqual([], self.names())
                self.assertTrue(disk.exists())
                self.end_there()
                self.assertEqual(not was_up, disk.exists())
                shutil.rmtree(self.folder(self.spec), ignore_errors=True)
