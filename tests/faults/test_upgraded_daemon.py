# SPDX-License-Identifier: Apache-2.0

"""A daemon that is another one after its restart."""

import re
import uuid

from nova_libvirt_driver.host import capabilities as capabilities_module
from tests.faults import base

NEWER = 99_001_002


class UpgradedDaemonTest(base.ConnectionFaultTestCase):

    def change_host_uuid(self) -> str:
        """Give the daemon something else to say of its host."""
        path = self.host.directory / 'etc' / 'libvirtd.conf'
        before = path.read_text()
        self.addCleanup(self.host.kill_daemon)
        self.addCleanup(path.write_text, before)
        host_uuid = str(uuid.uuid4())
        path.write_text(re.sub(
            '(?m)^host_uuid = .*', f'host_uuid = "{host_uuid}"', before))
        return host_uuid

    def test_what_is_kept_of_a_connection_is_read_anew(self) -> None:
        with self.relayed() as link:
            driver = self.connect(link.uri)
            self.addCleanup(driver.cleanup_host, 'here')
            capabilities = capabilities_module.Capabilities(
                driver._parts.link, driver._parts.facts)
            before = (driver.get_host_facts(), driver.get_host_offers(),
                      capabilities.get())
            self.assertIs(before[0], driver.get_host_facts())
            self.assertIs(before[1], driver.get_host_offers())
            self.assertIs(before[2], capabilities.get())
            host_uuid = self.change_host_uuid()

            self.host.kill_daemon()
            link.pretend(NEWER)
            self.restart_daemon()
            self.assert_recovers(driver)

            with base.within(base.MARGIN_S):
                facts, host = driver.get_host_facts(), capabilities.get()
                offers = driver.get_host_offers()
            self.assertEqual(
                (NEWER, NEWER, host_uuid),
                (facts.libvirt_version, host.libvirt_version,
                 host.host_uuid))
            self.assertNotEqual(host_uuid, before[2].host_uuid)
            self.assertIsNot(before[1], offers)
