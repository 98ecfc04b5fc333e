# SPDX-License-Identifier: Apache-2.0

"""The life of a server: each test finds it running and leaves it so."""

from typing import Any
import unittest

from checks import compute
from checks import session

from tests.cloud import base
from tests.cloud import host

BOOT = 'cat /proc/sys/kernel/random/boot_id'
MARK = '/root/mark'


class Life(unittest.TestCase):
    """One server for all of them."""

    maker: str | None = None
    """Driver that makes the server; None for the one that runs."""

    keeper: str | None = None
    """Driver that looks after it; None for the maker."""

    check: session.Check
    server: Any
    address: str
    console: str
    nova: Any

    @classmethod
    def setUpClass(cls) -> None:
        if cls.maker is not None:
            compute.restart(cls.maker)
        cls.addClassCleanup(base.nothing_left, host.traces())
        cls.check = base.check('life')
        cls.addClassCleanup(cls.check.close)
        cls.server = cls.check.boot(
            image_id=cls.check.image(), config_drive=True,
            metadata={'role': 'test'})
        cls.console = cls.check.console_ready(cls.server)
        cls.address = cls.check.address(cls.server)
        cls.nova = cls.check.cloud.compute
        cls.reach()
        cls.ssh(f'echo marked >{MARK}; sync')
        if cls.keeper is not None:
            cls._hand_over(cls.keeper)

    @classmethod
    def _hand_over(cls, keeper: str) -> None:
        name = cls.nova.get_server(cls.server.id).instance_name
        before = cls.reach(), host.process(name)
        compute.restart(keeper)
        if before != (cls.reach(), host.process(name)):
            raise AssertionError('the guest did not run on')

    @classmethod
    def ssh(cls, command: str) -> str:
        """Run a command in the guest."""
        return cls.check.ssh(cls.address, command)

    @classmethod
    def reach(cls) -> str:
        """Wait until the guest can be logged in to; return the boot's id."""
        return str(cls.check.until(lambda: cls.ssh(BOOT), 'ssh', 120))

    def settled(self, status: str = 'ACTIVE') -> Any:
        """Wait until nothing is being done to the server."""
        return base.settled(self.check, self.server, status)

    def process(self) -> int:
        """Return the process of the server's QEMU."""
        return host.process(self.nova.get_server(
            self.server.id).instance_name)

    def test_the_console_shows_the_name_and_the_login(self) -> None:
        self.assertIn(session.READY, self.console)
        self.assertIn(f'hostname={self.check.name}', self.console)
        self.assertIn('devcloud: config drive', self.console)

    def test_a_remote_console_has_a_url(self) -> None:
        console = self.nova.create_server_remote_console(
            self.server, protocol='vnc', type='novnc')

        self.assertIn('token', console.url)

    def test_stop_and_start(self) -> None:
        before = self.reach()
        self.nova.stop_server(self.server)
        self.settled('SHUTOFF')
        self.nova.start_server(self.server)
        self.settled()

        self.assertNotEqual(before, self.reach())
        self.assertEqual('marked', self.ssh(f'cat {MARK}'))

    def test_soft_reboot_keeps_the_process(self) -> None:
        before = self.reach(), self.process()
        self.nova.reboot_server(self.server, 'SOFT')
        self.settled()

        self.assertNotEqual(before[0], self.reach())

    def test_hard_reboot_makes_a_new_process(self) -> None:
        before = self.reach(), self.process()
        self.nova.reboot_server(self.server, 'HARD')
        self.settled()

        self.assertNotEqual(before[0], self.reach())
        self.assertNotEqual(before[1], self.process())

    def test_pause_and_unpause(self) -> None:
        before = self.reach()
        self.nova.pause_server(self.server)
        self.assertEqual(3, self.settled('PAUSED').power_state)
        self.nova.unpause_server(self.server)
        self.settled()

        self.assertEqual(before, self.reach())

    def test_suspend_and_resume(self) -> None:
        before = self.reach()
        self.nova.suspend_server(self.server)
        self.settled('SUSPENDED')
        self.nova.resume_server(self.server)
        self.settled()

        self.assertEqual(before, self.reach())

    def test_rescue_and_unrescue(self) -> None:
        before = self.reach()
        self.nova.rescue_server(self.server)
        self.settled('RESCUE')
        # Which of two copies of one image the guest takes its root from is
        # left to it.
        self.assertNotEqual(before, self.reach())
        self.assertEqual('vdb', self.ssh('ls /sys/block | grep vdb'))
        self.nova.unrescue_server(self.server)
        self.settled()

        self.reach()
        self.assertEqual('marked', self.ssh(f'cat {MARK}'))

    def test_a_snapshot_boots(self) -> None:
        image = self.check.cloud.create_image_snapshot(
            f'{self.check.name}-snapshot', self.server, wait=True)
        self.addCleanup(self.check.cloud.image.delete_image, image)
        with base.check('snapshot') as check:
            copy = check.boot(image_id=image.id)
            address = check.address(copy)
            check.until(lambda: check.ssh(address, BOOT), 'ssh', 120)

            self.assertEqual('marked', check.ssh(address, f'cat {MARK}'))

    def test_shelve_and_unshelve(self) -> None:
        self.nova.shelve_server(self.server)
        self.settled('SHELVED_OFFLOADED')
        self.nova.unshelve_server(self.server)
        self.settled()

        self.reach()
        self.assertEqual('marked', self.ssh(f'cat {MARK}'))

    def test_resize_is_confirmed_and_reverted(self) -> None:
        before = self.memory_kib()
        self.resize('84')
        larger = self.memory_kib()
        self.nova.revert_server_resize(self.server)
        self.settled()
        self.assertLess(self.memory_kib(), larger)
        self.assertEqual('marked', self.ssh(f'cat {MARK}'))
        self.resize('84')
        self.nova.confirm_server_resize(self.server)
        self.settled()

        self.assertLess(before, self.memory_kib())
        self.assertEqual('marked', self.ssh(f'cat {MARK}'))

    def resize(self, flavor_id: str) -> None:
        """Give the server another flavor, and wait until it has it."""
        self.nova.resize_server(self.server, flavor_id)
        self.settled('VERIFY_RESIZE')

    def memory_kib(self) -> int:
        """Return how much memory the guest sees."""
        self.reach()
        return int(self.ssh(
            "sed -n 's/MemTotal: *\\([0-9]*\\).*/\\1/p' /proc/meminfo"))

    def test_rebuild_starts_afresh(self) -> None:
        self.ssh('echo lost >/root/lost; sync')
        self.nova.rebuild_server(self.server, image=self.check.image())
        self.settled()

        self.reach()
        self.assertEqual('', self.ssh('cat /root/lost'))
        self.ssh(f'echo marked >{MARK}; sync')
