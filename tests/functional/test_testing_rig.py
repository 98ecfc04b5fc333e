# SPDX-License-Identifier: Apache-2.0

"""Private hosts for real: daemons, guests, faults, and nothing left over."""

import os
import pathlib
import signal
import subprocess
import sys
from typing import Any

import fixtures
import libvirt
import psutil

from nova_libvirt_driver.connection import opener
from nova_libvirt_driver.testing import fixtures as rig_fixtures
from nova_libvirt_driver.testing import guests
from nova_libvirt_driver.testing import libvirtd
from tests import base
from tests.unit.testing import contract

OWNER = '''
from nova_libvirt_driver.testing import libvirtd
import sys, time
host = libvirtd.PrivateHost('orphan', sys.argv[1])
host.start()
host.virsh('create', sys.argv[2])
print(host.holder_pid, host.guest_pid('one'), flush=True)
time.sleep(60)
'''


# A chroot that only its own root tells from the machine's.
CHROOT = '''set -e
mount --rbind / "$1"
mount -t tmpfs tmpfs "$1/mnt"
echo inside >"$1/mnt/marker"
exec chroot "$1" "$2" -c "$3"
'''
IN_CHROOT = '''
import pathlib, tempfile
from nova_libvirt_driver.testing import namespaces
folder = pathlib.Path(tempfile.mkdtemp(dir='/mnt'))
for name in namespaces.SHADOWED:
    (folder / name).mkdir()
held = namespaces.Namespaces(folder, 'inside')
held.hold()
print(held.run(['cat', '/mnt/marker']))
held.release()
'''


def pid_namespace(pid: int | None) -> str:
    """Name the process namespace of a process."""
    return os.readlink(f'/proc/{pid}/ns/pid')


def processes_in(namespace: str) -> list[int]:
    """List the processes of a namespace; remains of dead ones are none."""
    found = []
    for pid in psutil.pids():
        try:
            if pid_namespace(pid) == namespace:
                found.append(pid)
        except OSError:
            continue
    return found


def guest_xml(folder: pathlib.Path, name: str = contract.GUEST) -> str:
    """Write a guest's disk and XML into a folder; return the XML's path."""
    disk = folder / f'{name}.img'
    disk.write_bytes(guests.boot_sector(f'{name} is up'))
    xml = folder / f'{name}.xml'
    xml.write_text(guests.boot_guest_xml(
        name, disk, folder / f'{name}.log', uuid=contract.UUID))
    return str(xml)


class RigTest(base.TestCase):
    """Shared by the tests below."""

    def setUp(self) -> None:
        super().setUp()
        self.folder = pathlib.Path(self.useFixture(fixtures.TempDir()).path)

    def start_host(self, name: str = 'alpha', **options: Any
                   ) -> libvirtd.PrivateHost:
        return self.useFixture(
            rig_fixtures.PrivateHost(name, **options)).host

    def start_guest(self, host: libvirtd.PrivateHost) -> None:
        host.virsh('create', guest_xml(host.directory))


class PrivateHostTest(RigTest):
    """A started host."""

    def test_host_has_a_name_and_an_identity_of_its_own(self) -> None:
        host = self.start_host('alpha')

        self.assertEqual('alpha', host.virsh('hostname').strip())
        self.assertEqual('alpha\n', host.run(['hostname']).stdout)
        self.assertIn(host.host_uuid, host.virsh('capabilities'))

    def test_guest_boots_and_says_so(self) -> None:
        host = self.start_host()

        self.start_guest(host)

        log = host.directory / 'one.log'
        self.assertTrue(contract.wait_for(
            lambda: log.read_bytes() == b'one is up\r\n'))

    def test_guest_process_is_known_and_its_death_is_seen(self) -> None:
        host = self.start_host()
        self.start_guest(host)
        pid = host.guest_pid('one')
        assert pid is not None
        self.assertIn('qemu', psutil.Process(pid).name())

        os.kill(pid, signal.SIGKILL)

        self.assertTrue(contract.wait_for(
            lambda: host.virsh('list', '--all').strip() == ''))
        self.assertIsNone(host.guest_pid('one'))

    def test_two_hosts_are_strangers(self) -> None:
        alpha = self.start_host('alpha')
        beta = self.start_host('beta')

        self.start_guest(alpha)

        self.assertIn('one', alpha.virsh('list'))
        self.assertNotIn('one', beta.virsh('list', '--all'))
        self.assertIsNone(beta.guest_pid('one'))
        beta.stop()
        self.assertIn('one', alpha.virsh('list'))

    def test_guest_outlives_the_daemon(self) -> None:
        host = self.start_host()
        self.start_guest(host)
        before = host.daemon_pid, host.guest_pid('one')

        host.kill_daemon()

        self.assertIsNone(host.daemon_pid)
        self.assertEqual(before[1], host.guest_pid('one'))
        self.assertRaises(libvirtd.HostError, host.virsh, 'list')

        host.start_daemon()
        host.wait_ready()

        self.assertNotEqual(before[0], host.daemon_pid)
        self.assertEqual(before[1], host.guest_pid('one'))
        self.assertIn('one', host.virsh('list'))

    def test_daemon_ends_in_the_regular_way(self) -> None:
        host = self.start_host()

        host.stop_daemon()
        host.stop_daemon()

        self.assertIsNone(host.daemon_pid)
        self.assertFalse((host.directory / 'run' / 'libvirtd.pid').exists())
        host.start_daemon()
        host.wait_ready()
        self.assertIsNotNone(host.daemon_pid)

    def test_daemon_can_be_stopped_and_continued(self) -> None:
        host = self.start_host()

        host.kill_daemon(signal.SIGSTOP)

        def ask() -> None:
            host.virsh('list', timeout_s=1.0)

        self.assertRaises(libvirtd.CommandTimeout, ask)
        host.resume_daemon()
        host.virsh('list')
        self.assertEqual([], host.crashes)

    def test_daemon_that_crashes_when_continued_is_started_again(
            self) -> None:
        host = self.start_host()
        host.kill_daemon(signal.SIGSTOP)
        # Delivered as soon as it goes on.
        host.kill_daemon(signal.SIGSEGV)

        host.resume_daemon()

        host.virsh('list')
        self.assertEqual(1, len(host.crashes))

    def test_read_only_socket_lets_nobody_write(self) -> None:
        host = self.start_host()
        opener.ensure_loop()
        connection = libvirt.open(host.read_only_uri)
        self.addCleanup(connection.close)

        error = self.assertRaises(
            libvirt.libvirtError, connection.createXML,
            guests.boot_guest_xml('two', '/nowhere', '/nowhere'))

        self.assertEqual(
            libvirt.VIR_ERR_OPERATION_DENIED, error.get_error_code())

    def test_host_may_refuse_everyone(self) -> None:
        host = self.start_host(libvirtd={'auth_unix_rw': 'sasl'})
        opener.ensure_loop()

        error = self.assertRaises(
            libvirt.libvirtError, libvirt.open, host.uri)

        self.assertEqual(
            libvirt.VIR_ERR_AUTH_FAILED, error.get_error_code())
        libvirt.openReadOnly(host.read_only_uri).close()

    def test_settings_reach_the_daemon(self) -> None:
        host = self.start_host(
            libvirtd={'unix_sock_rw_perms': '0770', 'keepalive_interval': 1})

        mode = (host.directory / 's' / 'libvirt-sock').stat().st_mode

        self.assertEqual(0o770, mode & 0o777)


class ChrootTest(base.TestCase):

    def test_a_host_stays_in_the_chroot_that_made_it(self) -> None:
        root = self.useFixture(fixtures.TempDir()).path

        done = subprocess.run(
            ['unshare', '--mount', '--propagation', 'private', 'bash', '-c',
             CHROOT, 'bash', root, sys.executable, IN_CHROOT],
            cwd='/', text=True, capture_output=True, check=False,
            env={**os.environ, 'TMPDIR': '/tmp',
                 'PYTHONPATH': str(pathlib.Path(__file__).parents[2])})

        self.assertIn("stdout='inside\\n'", done.stdout, done.stderr)


class CapabilityCacheTest(RigTest):
    """What the first host learns about QEMU."""

    def test_second_host_need_not_probe(self) -> None:
        cache = self.folder / 'capabilities'
        self.start_host('alpha', capabilities=cache)
        learned = {path.name: path.read_bytes() for path in cache.iterdir()}

        beta = self.start_host('beta', capabilities=cache)

        used = beta.directory / 'cache' / 'qemu' / 'capabilities'
        self.assertNotEqual({}, learned)
        # Another probe would have written another time into them.
        self.assertEqual(learned, {
            path.name: path.read_bytes() for path in used.iterdir()})


class NothingLeftTest(RigTest):
    """After a host there is neither process nor mount nor folder."""

    def setUp(self) -> None:
        super().setUp()
        self.mounts = self.look_at_mounts()

    def look_at_mounts(self) -> list[str]:
        """Return what is mounted, but in folders of tests beside this one."""
        folder = os.environ.get('TMPDIR', '/tmp').rstrip(os.sep) + os.sep
        return [line for line in pathlib.Path(
            '/proc/self/mountinfo').read_text().splitlines()
            if not line.split()[4].startswith(folder)
            or str(self.folder) in line]

    def assert_nothing_left(self, state_dir: pathlib.Path) -> None:
        self.assertEqual([], list(state_dir.iterdir()))
        self.assertEqual(self.mounts, self.look_at_mounts())

    def test_stop_leaves_nothing(self) -> None:
        state = self.folder / 'state'
        state.mkdir()
        host = self.start_host('alpha', state_dir=state)
        self.start_guest(host)
        namespace = pid_namespace(host.holder_pid)
        self.assertGreaterEqual(len(processes_in(namespace)), 3)

        host.stop()
        host.stop()

        self.assertEqual([], processes_in(namespace))
        self.assert_nothing_left(state)
        self.assertIsNone(host.daemon_pid)
        self.assertRaises(libvirtd.HostError, getattr, host, 'uri')

    def test_host_can_be_started_again_after_stop(self) -> None:
        host = self.start_host('alpha')
        host.stop()

        host.start()

        self.assertEqual('alpha', host.virsh('hostname').strip())

    def test_failed_start_leaves_nothing(self) -> None:
        state = self.folder / 'state'
        state.mkdir()
        host = libvirtd.PrivateHost(
            'alpha', state, libvirtd={'max_clients': 'many'})

        error = self.assertRaises(libvirtd.HostError, host.start)

        self.assertIn('max_clients', str(error))
        self.assert_nothing_left(state)

    def test_daemon_that_never_answers_leaves_nothing(self) -> None:
        state = self.folder / 'state'
        state.mkdir()
        host = libvirtd.PrivateHost(
            'alpha', state, qemu={'stdio_handler': 'nonsense'})

        error = self.assertRaises(libvirtd.HostError, host.start)

        self.assertIn('alpha', str(error))
        self.assert_nothing_left(state)

    def test_folder_too_long_for_a_socket_is_named(self) -> None:
        state = self.folder / ('long' * 25)
        state.mkdir()

        error = self.assertRaises(
            libvirtd.HostError, libvirtd.PrivateHost('alpha', state).start)

        self.assertIn('shorter state_dir', str(error))
        self.assert_nothing_left(state)

    def test_killed_owner_leaves_nothing(self) -> None:
        state = self.folder / 'state'
        state.mkdir()
        xml = guest_xml(self.folder)
        owner = subprocess.Popen(
            [sys.executable, '-c', OWNER, str(state), xml],
            stdout=subprocess.PIPE, text=True)
        self.addCleanup(owner.wait)
        self.addCleanup(owner.kill)
        with owner:
            assert owner.stdout is not None
            holder, guest = owner.stdout.readline().split()
            namespace = pid_namespace(int(holder))
            self.assertIn(int(guest), processes_in(namespace))

            owner.kill()

        self.assertTrue(contract.wait_for(
            lambda: not processes_in(namespace)))
        self.assert_nothing_left(state)


class _Qemu(contract.Contract):
    """Connections to a private host with a guest that is shut off."""

    def setUp(self) -> None:
        super().setUp()
        opener.ensure_loop()
        self.host = self.useFixture(rig_fixtures.PrivateHost('alpha')).host
        self.host.virsh('define', guest_xml(self.host.directory))

    def open(self, *, read_only: bool = False) -> Any:
        flags = libvirt.VIR_CONNECT_RO if read_only else 0
        auth = [[], lambda asked, opaque: -1, None]
        return libvirt.openAuth(self.host.uri, auth, flags)


class QemuConnectionTest(_Qemu, contract.ConnectionContract):
    """A real daemon keeps the contract that the fake keeps."""


class QemuLinkTest(_Qemu, contract.LinkContract):
    """A real daemon that is killed, likewise."""

    def cut_link(self, connection: Any) -> None:
        self.host.kill_daemon()
