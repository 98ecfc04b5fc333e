# SPDX-License-Identifier: Apache-2.0

"""Folders and files for the privileged functions, which run in process."""

import os
import pathlib
import pwd

import fixtures

from nova_libvirt_driver import conf
from nova_libvirt_driver.privileged import context
from tests import base

UUID = '8b0c0b9e-1d1c-4b4f-8a53-0f1a2c6f7e01'


class PrivilegedTestCase(base.TestCase):
    """Has the folder of an instance, as in the privileged process.

    :ivar folder: of the instance
    """

    def setUp(self) -> None:
        super().setUp()
        context.CONTEXT.set_client_mode(False)
        self.addCleanup(context.CONTEXT.set_client_mode, True)
        instances_path = pathlib.Path(
            self.useFixture(fixtures.TempDir()).path, 'instances')
        self.folder = instances_path / UUID
        self.folder.mkdir(parents=True, mode=0o750)
        conf.register_opts(self.config.conf)
        self.config.config(instances_path=str(instances_path))
        self.config.config(
            group='nova_libvirt_driver',
            qemu_users=[pwd.getpwuid(os.getuid()).pw_name])

    def make(self, name: str, data: bytes = b'data') -> pathlib.Path:
        """Return a file in the folder of the instance."""
        path = self.folder / name
        path.write_bytes(data)
        path.chmod(0o640)
        return path
