# SPDX-License-Identifier: Apache-2.0

"""nova-compute is not root, and neither is QEMU.

All other tests of the cloud rely on that, too.
"""

import pathlib
import pwd
import stat

from checks import session

from tests.cloud import base
from tests.cloud import host

USER = 'nova'
QEMU_USER = 'libvirt-qemu'


class ServiceUserTest(base.CloudTest):

    def test_nova_compute_has_a_user_without_rights(self) -> None:
        pid = host.daemon('nova-compute')
        status = host.status(pid)

        self.assertIn('nova-compute', pathlib.Path(
            f'/proc/{pid}/cmdline').read_text())
        self.assertNotIn(0, host.user_ids(pid))
        self.assertEqual({pwd.getpwnam(USER).pw_uid}, host.user_ids(pid))
        for name in ('CapEff', 'CapPrm', 'CapInh', 'CapAmb'):
            self.assertEqual(0, int(status[name], 16), name)

    def test_a_console_log_that_is_not_its_own_is_read(self) -> None:
        server = self.check.boot(image_id=self.check.image())

        console = self.check.console_ready(server)

        log = host.INSTANCES / server.id / 'console.log'
        domain = self.check.cloud.compute.get_server(server.id).instance_name
        self.assertEqual({pwd.getpwnam(QEMU_USER).pw_uid},
                         host.user_ids(host.process(domain)))
        self.assertIn(log.owner(), ('root', QEMU_USER))
        self.assertFalse(log.stat().st_mode & stat.S_IRWXO)
        self.assertIn(session.READY, console)
