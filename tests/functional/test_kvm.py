# SPDX-License-Identifier: Apache-2.0

"""How a device is kept from the programs of one process."""

import os
import pathlib
import pwd
import subprocess
import sys

import fixtures

from tests import base

# A process that changes its user is not dumpable, and may not map users.
_SCRIPT = """
import ctypes
import os
import subprocess
import sys
from nova_libvirt_driver.compute import kvm
user_id, group_id = map(int, sys.argv[2:])
os.setgroups([])
os.setgid(group_id)
os.setuid(user_id)
ctypes.CDLL(None).prctl(4, 1)
assert kvm.hide(sys.argv[1]), 'not hidden'
for flags in (os.O_RDWR, os.O_WRONLY):
    try:
        os.open(sys.argv[1], flags)
    except OSError as error:
        print(error.strerror)
print(os.access(sys.argv[1], os.R_OK | os.W_OK), os.geteuid())
print(subprocess.call(['sh', '-c', ': >>"$0"', sys.argv[1]],
                      stderr=subprocess.DEVNULL))
"""


class HideTestCase(base.TestCase):

    def setUp(self) -> None:
        super().setUp()
        # Its parents are open to everybody, unlike those of other tests.
        folder = pathlib.Path(self.useFixture(
            fixtures.TempDir(rootdir='/var/tmp')).path)
        folder.chmod(0o755)
        self.device = folder / 'device'
        self.device.touch()
        self.device.chmod(0o666)

    def hide(self, *user: int) -> list[str]:
        done = subprocess.run(
            [sys.executable, '-c', _SCRIPT, str(self.device),
             *map(str, user)],
            text=True, capture_output=True, check=False)
        self.assertEqual((0, ''), (done.returncode, done.stderr))
        return done.stdout.splitlines()

    def test_it_cannot_be_opened_any_more_by_the_process_and_its_children(
            self) -> None:
        nobody = pwd.getpwnam('nobody')
        for user_id, group_id in ((0, 0), (nobody.pw_uid, nobody.pw_gid)):
            self.assertEqual(
                ['Read-only file system'] * 2 + [f'False {user_id}', '2'],
                self.hide(user_id, group_id))

        # Everybody else still has it.
        os.close(os.open(self.device, os.O_RDWR))
