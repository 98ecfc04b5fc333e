# SPDX-License-Identifier: Apache-2.0

import os
import pathlib
import stat
import subprocess
import sys

import fixtures

from nova_libvirt_driver.compute import instance_lock
from nova_libvirt_driver.compute import record as service_record
from nova_libvirt_driver.filesystem import locking
from nova_libvirt_driver.monitoring import status_socket
from nova_libvirt_driver.storage import record as disk_record
from tests import base

TIMEOUT_S = 10.0

# Another user opens and locks whatever can be opened, and says so.
NOBODY = '''
import fcntl, os, sys
os.setgroups([])
os.setgid(65534)
os.setuid(65534)
held = []
for folder, _, names in os.walk(sys.argv[1]):
    for path in (folder, *(os.path.join(folder, name) for name in names)):
        for flags in (os.O_RDONLY, os.O_RDWR):
            try:
                file = os.open(path, flags | os.O_NONBLOCK)
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                held.append(file)
                print(path, flush=True)
            except OSError:
                pass
print('ready', flush=True)
sys.stdin.read()
'''


class LockingTest(base.TestCase):

    def setUp(self) -> None:
        super().setUp()
        self.folder = self.useFixture(fixtures.TempDir()).path
        os.chmod(self.folder, 0o755)
        self.addCleanup(os.umask, os.umask(0))

    def mode(self, path: str) -> int:
        return stat.S_IMODE(os.stat(path).st_mode)

    def test_a_lock_is_the_owners_alone_whatever_the_umask(self) -> None:
        for mask in (0, 0o022, 0o077):
            os.umask(mask)
            path = locking.beside(self.folder, f'{mask}.lock')

            with locking.held(path, TIMEOUT_S):
                self.assertEqual(0o700, self.mode(os.path.dirname(path)))
                self.assertEqual(0o600, self.mode(path))
            self.assertFalse(os.path.exists(path))

    def test_an_open_folder_is_closed_to_others(self) -> None:
        os.mkdir(os.path.join(self.folder, locking.FOLDER), 0o777)

        path = locking.beside(self.folder, 'x')

        self.assertEqual(0o700, self.mode(os.path.dirname(path)))

    def test_a_link_in_its_place_is_refused(self) -> None:
        os.symlink('/tmp', os.path.join(self.folder, locking.FOLDER))

        self.assertRaises(OSError, locking.beside, self.folder, 'x')

    def test_who_waits_too_long_is_told(self) -> None:
        path = locking.beside(self.folder, 'x')
        with locking.held(path, TIMEOUT_S):
            self.assertRaises(
                TimeoutError, locking.held(path, 0.05).__enter__)
        with locking.held(path, TIMEOUT_S):
            pass


class OtherUserTest(base.TestCase):
    """Whoever may read the folders locks all that can be opened."""

    def setUp(self) -> None:
        super().setUp()
        if os.geteuid() != 0:
            self.skipTest('only root can become another user')
        self.folder = self.useFixture(fixtures.TempDir()).path
        # Where the tests' folders are, others may not look.
        for path in (pathlib.Path(self.folder).parent, self.folder):
            os.chmod(path, 0o755)
        self.path = os.path.join(self.folder, 'disk.info')

    def use_all(self) -> None:
        """Let each part that locks something do so once."""
        disk_record.write(self.path, '/i/disk', 'raw')
        service_record.ServiceRecordFile(
            self.folder, 'node1').set_by_operator(False, 'x')
        lock = instance_lock.InstanceLock(self.folder, 'node1')
        lock.acquire()
        lock.release()
        served = status_socket.StatusSocket(
            os.path.join(self.folder, 'status.sock'), lambda: b'{}')
        served.start()
        served.stop()

    def test_nothing_of_the_service_waits_for_another_user(self) -> None:
        self.use_all()
        with subprocess.Popen(
                [sys.executable, '-c', NOBODY, self.folder],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                text=True) as other:
            assert other.stdout is not None
            locked = list(iter(other.stdout.readline, 'ready\n'))
            self.assertIn(f'{self.folder}\n', locked)

            self.use_all()
            other.communicate('')
