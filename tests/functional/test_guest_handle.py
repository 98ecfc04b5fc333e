# SPDX-License-Identifier: Apache-2.0

"""The handle of a guest, and verbs that need no more, on real QEMU."""

from nova_libvirt_driver.calls import calls
from nova_libvirt_driver import exception
from nova_libvirt_driver.guest import handle
from nova_libvirt_driver.guest import reach
from nova_libvirt_driver.operations import power_off
from nova_libvirt_driver.operations import rename
from nova_libvirt_driver.operations.steps import exclusive
from nova_libvirt_driver.spec import event
from nova_libvirt_driver.spec import instance as instance_spec
from nova_libvirt_driver.storage import console_log
from nova_libvirt_driver.storage import folder
from nova_libvirt_driver.storage import spec_record
from nova_libvirt_driver.testing import fake_ports
from tests.functional import boot_guest

wait_until = fake_ports.wait_until

INSTANCE = boot_guest.INSTANCE
_State = instance_spec.PowerState
_Transition = event.Transition


class PowerTest(boot_guest.BootGuestTestCase):

    def test_guest_goes_through_its_states(self) -> None:
        guest = self.define()
        seen = []

        for act in (guest.start, guest.pause, guest.pause, guest.resume,
                    guest.resume, guest.save, guest.start, guest.destroy,
                    guest.destroy):
            act()
            seen.append(guest.state())

        self.assertEqual([
            (_State.RUNNING, 'booted'), (_State.PAUSED, 'user'),
            (_State.PAUSED, 'user'), (_State.RUNNING, 'unpaused'),
            (_State.RUNNING, 'unpaused'), (_State.SHUTDOWN, 'saved'),
            (_State.RUNNING, 'restored'), (_State.SHUTDOWN, 'destroyed'),
            (_State.SHUTDOWN, 'destroyed')], seen)
        expected = [
            _Transition.STARTED, _Transition.PAUSED, _Transition.RESUMED,
            _Transition.PAUSED, _Transition.SUSPENDED, _Transition.STARTED,
            _Transition.RESUMED, _Transition.STOPPED]
        wait_until(lambda: [
            item.transition for item in list(self.reached.events)]
            == expected, f'{expected}')

    def test_wrong_states_are_told(self) -> None:
        guest = self.define()
        agent = guest.agent

        for act in (guest.pause, guest.resume, guest.save, guest.shutdown,
                    guest.inject_nmi, agent.freeze,
                    guest.disk('hda').job):
            error = self.assertRaises(exception.WrongState, act)
            self.assertEqual('shutdown', error.fields['state'])
        guest.start(paused=True)
        self.assertEqual(_State.PAUSED, guest.state().power)
        self.assertRaises(exception.WrongState, guest.start)

    def test_guest_that_ignores_the_button_loses_its_power(self) -> None:
        guest = self.define()
        guest.start()
        self.wait_booted()

        power_off.PowerOff(
            self.guests, exclusive.Exclusive(str(self.folder), 'here'),
        ).power_off(INSTANCE, 1.0, 0.3)

        self.assertEqual((_State.SHUTDOWN, 'destroyed'), guest.state())
        self.assertIsNone(self.host.guest_pid('one'))

    def test_suspended_guest_keeps_its_memory(self) -> None:
        guest = self.define()
        guest.start()
        self.wait_booted()

        guest.save()
        self.assertTrue(guest.has_saved())
        guest.start()

        self.assertFalse(guest.has_saved())
        self.assertEqual((_State.RUNNING, 'restored'), guest.state())
        # It did not boot again.
        self.assertNotIn(b'one is up', self.console.read_bytes())

    def test_full_disk_lets_the_guest_go_on(self) -> None:
        guest = self.define()
        guest.start()
        self.wait_booted()
        saves = '/var/lib/libvirt/qemu/save'
        self.host.run(['mount', '-t', 'tmpfs', '-o', 'size=64k', 'small',
                       saves])
        self.addCleanup(self.host.run, ['umount', saves])

        self.assertRaises(exception.DriverError, guest.save)

        self.assertEqual(_State.RUNNING, guest.state().power)
        self.assertFalse(guest.has_saved())
        self.assertEqual('', self.host.run(['ls', saves]).stdout)

    def test_failed_start_leaves_the_guest_stopped(self) -> None:
        guest = self.define()
        self.disk.unlink()

        error = self.assertRaises(exception.LibvirtFailure, guest.start)

        self.assertIn('disk', str(error))
        self.assertEqual(_State.SHUTDOWN, guest.state().power)


class DefinitionTest(boot_guest.BootGuestTestCase):

    def test_only_our_domains_are_touched(self) -> None:
        self.start_guest('theirs')
        foreign = instance_spec.InstanceRef(
            self.host.virsh('domuuid', 'theirs').strip(), 'theirs')
        self.define()

        self.assertRaises(
            exception.ForeignDomain, self.guests.find, foreign)
        self.assertEqual(
            [('one', True, 'web'), ('theirs', False, '')],
            [(entry.name, entry.owned, entry.display_name)
             for entry in self.reached.inventory.summaries()])
        self.assertEqual(foreign.uuid, self.guests.name_owner('theirs'))

    def test_definition_that_breaks_the_schema_is_refused(self) -> None:
        xml = self.xml().replace('<vcpu>', '<nonsense/><vcpu>')

        self.assertRaises(exception.DriverError, self.guests.define, xml,
                          INSTANCE)

        self.assertIsNone(self.guests.find_or_none(INSTANCE))

    def test_name_of_another_domain_is_taken(self) -> None:
        self.start_guest('theirs')
        xml = self.xml().replace('<name>one<', '<name>theirs<')

        self.assertRaises(exception.InstanceExists, self.guests.define, xml,
                          INSTANCE)

    def test_saved_memory_goes_with_the_definition(self) -> None:
        guest = self.define()
        guest.start()
        guest.save()

        guest.undefine(keep_state=True)

        self.assertIsNone(self.guests.find_or_none(INSTANCE))
        again = self.define()
        self.assertFalse(again.has_saved())
        again.remove_saved()

    def test_firmware_variables_are_kept_or_removed(self) -> None:
        for keep_state in (True, False):
            xml = self.xml().replace('<os>', "<os firmware='efi'>")
            xml = xml.replace("machine='pc'", "machine='q35'").replace(
                'machine="pc"', 'machine="q35"').replace(
                'dev="hda" bus="ide"', 'dev="sda" bus="sata"')
            guest = self.guests.define(xml, INSTANCE)
            guest.start(paused=True)
            guest.destroy()

            guest.undefine(keep_state=keep_state)

            kept = self.host.run(
                ['ls', '/var/lib/libvirt/qemu/nvram']).stdout
            self.assertEqual(keep_state, 'one' in kept, kept)

    def test_display_name_is_changed_and_nothing_else(self) -> None:
        guest = self.define()
        guest.start()
        before = guest.xml(inactive=True)

        rename.Rename(
            self.guests, exclusive.Exclusive(str(self.folder), 'here'),
            spec_record.SpecRecords(
                folder.Folders(str(self.folder), lambda: None), 'here'),
        ).rename(INSTANCE, 'a <b> & c')

        for xml in (guest.xml(), guest.xml(inactive=True)):
            self.assertEqual('a <b> & c', reach.mark_in(xml))
        self.assertEqual(
            before.replace('>web<', '>a &lt;b&gt; &amp; c<'),
            guest.xml(inactive=True))


class DiskTest(boot_guest.BootGuestTestCase):

    def setUp(self) -> None:
        super().setUp()
        self.copy = self.folder / 'copy'
        self.content = self.disk.read_bytes()

    def copy_ready(self, guest: handle.Guest) -> None:
        disk = guest.disk('hda')
        disk.copy(str(self.copy), 'qcow2')

        def is_ready() -> bool:
            job = disk.job()
            return job is not None and job.ready

        wait_until(is_ready, 'the copy')

    def raw(self) -> bytes:
        target = self.folder / 'raw'
        boot_guest.qemu_img('convert', '-f', 'qcow2', '-O', 'raw',
                            self.copy, target)
        return target.read_bytes()

    def test_disk_is_copied_under_the_running_guest(self) -> None:
        guest = self.define()
        boot_guest.qemu_img(
            'create', '-f', 'qcow2', self.copy, boot_guest.DISK_BYTES)
        guest.start()
        self.wait_booted()

        self.copy_ready(guest)
        guest.disk('hda').abort()
        guest.disk('hda').abort()

        self.assertIsNone(guest.disk('hda').job())
        self.assertEqual(self.content, self.raw())
        self.assertEqual(_State.RUNNING, guest.state().power)

    def test_guest_goes_on_with_the_copy(self) -> None:
        guest = self.define()
        boot_guest.qemu_img(
            'create', '-f', 'qcow2', self.copy, boot_guest.DISK_BYTES)
        guest.start()
        self.wait_booted()

        self.copy_ready(guest)
        guest.disk('hda').pivot()

        for inactive in (False, True):
            self.assertIn(str(self.copy), guest.xml(inactive=inactive))
        guest.destroy()
        self.assertEqual(self.content, self.raw())

    def test_copy_ends_with_the_guest(self) -> None:
        guest = self.define()
        boot_guest.qemu_img(
            'create', '-f', 'qcow2', self.copy, boot_guest.DISK_BYTES)
        guest.start()
        self.copy_ready(guest)

        guest.destroy()
        guest.disk('hda').abort()

        self.assertRaises(exception.WrongState, guest.disk('hda').job)

    def test_disk_grows_under_the_running_guest(self) -> None:
        guest = self.define()
        guest.start()

        guest.disk('hda').resize(4 << 20)

        self.assertEqual(4 << 20, self.disk.stat().st_size)


class LookingTest(boot_guest.BootGuestTestCase):

    def test_consoles_answer_where_they_are_said_to(self) -> None:
        guest = self.define(boot_guest.VNC, boot_guest.SERIAL)
        self.assertRaises(exception.ConsoleUnavailable,
                          guest.console, 'vnc', '192.0.2.1')
        guest.start()

        vnc = guest.console('vnc', '192.0.2.1')
        serial = guest.console('serial', '192.0.2.1')

        done = self.host.run(
            ['bash', '-c', f'head -c 12 </dev/tcp/{vnc.host}/{vnc.port}'])
        self.assertEqual('RFB 003.008\n', done.stdout)
        self.assertEqual(('127.0.0.1', 10017), (serial.host, serial.port))
        done = self.host.run(
            ['bash', '-c', f': </dev/tcp/{serial.host}/{serial.port}'])
        self.assertEqual(0, done.returncode, done.stderr)
        self.assertRaises(exception.ConsoleUnavailable,
                          guest.console, 'spice', '192.0.2.1')

    def test_console_output_is_what_the_guest_printed(self) -> None:
        self.define().start()
        self.wait_booted()

        path = self.folder / INSTANCE.uuid / 'console.log'
        path.parent.mkdir()
        path.hardlink_to(self.console)
        output = console_log.ConsoleLogs(
            str(self.folder), 0, calls.make(host='here', limit=1),
        ).read(INSTANCE)

        self.assertTrue(output.endswith(b'one is up\r\n'), output)

    def test_figures_are_told(self) -> None:
        guest = self.define(
            "<interface type='user'><mac address='52:54:00:00:00:01'/>"
            '</interface>')
        guest.start()
        self.wait_booted()

        figures = self.reached.statistics.figures_of(INSTANCE.uuid)

        assert figures is not None
        self.assertEqual(('running', 32, 1),
                         (figures.state, figures.memory_mib,
                          len(figures.vcpu_times_ns)))
        self.assertGreater(figures.memory_used_mib or 0, 10)
        (disk,) = figures.disks
        self.assertEqual('hda', disk.target_dev)
        self.assertGreaterEqual(disk.read_bytes or 0, 512)

    def test_interrupt_reaches_the_guest(self) -> None:
        guest = self.define()
        guest.start()
        self.wait_booted()

        guest.inject_nmi()

        self.assertEqual(_State.RUNNING, guest.state().power)
