# SPDX-License-Identifier: Apache-2.0

"""Volumes and ports by the client, on real QEMU, without a service."""

import pathlib
import subprocess

from nova_libvirt_driver.testing import fake_ports
from nova_libvirt_driver.testing import guests
from tests.functional import test_cli_servers

CONFLICT = 4
GIB = 1 << 30


class ClientVolumesTest(test_cli_servers.ClientTestCase):

    def disks(self, name: str) -> list[str]:
        """Return the sources of a server's disks, as libvirt tells."""
        return [line.split()[1] for line in self.host.virsh(
            'domblklist', name).splitlines()]

    def volume(self, name: str, *words: str) -> pathlib.Path:
        """Create a volume of 1 GiB; return its path."""
        return pathlib.Path(self.answer(
            'volume', 'create', name, '--size', '1', *words)['path'])

    def servers(self) -> dict[str, list[str]]:
        """Return which servers have each volume."""
        return {row['Name']: row['Servers']
                for row in self.answer('volume', 'list')}

    def test_a_server_boots_from_a_volume_and_has_more(self) -> None:
        root = self.volume('root', '--disk-format', 'raw')
        with root.open('r+b') as file:
            file.write(guests.boot_sector('root is up'))
        more = self.volume('more')

        self.answer(
            'server', 'create', 'one', '--boot-volume', 'root', '--volume',
            'more', '--vcpus', '1', '--ram', '32', '--network', 'none',
            '--wait=serial:root is up')

        self.assertEqual([str(root), str(more)], self.disks('one'))
        self.assertEqual({'root': ['one'], 'more': ['one']}, self.servers())
        self.answer('server', 'reboot', 'one', '--hard')
        self.assertEqual([str(root), str(more)], self.disks('one'))
        self.answer('server', 'delete', 'one', '--yes')
        self.assertEqual({'root': [], 'more': []}, self.servers())
        self.assertTrue(root.exists() and more.exists())
        self.answer('volume', 'delete', 'root', 'more', '--yes')
        self.assertFalse(root.exists() or more.exists())

    def test_a_running_server_gets_a_volume_and_loses_it(self) -> None:
        self.have_image('image', 'one is up')
        self.create('one', '--image', 'image', '--wait=serial:one is up')
        path = self.volume('data')
        disks = self.disks('one')

        self.answer('volume', 'attach', 'one', 'data', '--bus', 'scsi')
        found = self.answer('volume', 'extend', 'data', '--size', '2')

        self.assertEqual(2 * GIB, found['size_bytes'])
        self.assertEqual([*disks, str(path)], self.disks('one'))
        self.assertRegex(
            self.host.virsh('domblkinfo', 'one', 'sda'),
            rf'Capacity: +{2 * GIB}\n')
        self.assertEqual(CONFLICT, self.type(
            'volume', 'delete', 'data', '--yes').returncode)
        self.answer('server', 'reboot', 'one', '--hard')
        self.assertEqual([*disks, str(path)], self.disks('one'))
        self.answer('volume', 'detach', 'one', 'data')
        self.assertEqual(disks, self.disks('one'))
        self.answer('volume', 'delete', 'data', '--yes')

    def test_one_of_two_at_once_gets_a_volume(self) -> None:
        self.have_image('image', 'up')
        for name in ('one', 'two'):
            self.create(name, '--image', 'image')
        path = self.volume('data')

        running = [subprocess.Popen(
            self.command('volume', 'attach', name, 'data', '--bus', 'scsi'),
            env=self.environment(), stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL) for name in ('one', 'two')]
        codes = sorted(process.wait(120) for process in running)

        self.assertEqual([0, CONFLICT], codes)
        self.assertEqual(1, sum(str(path) in self.disks(name)
                                for name in ('one', 'two')))

    def test_an_attach_that_was_killed_can_be_repeated(self) -> None:
        self.have_image('image', 'up')
        self.create('one', '--image', 'image')
        path = self.volume('data')
        words = ('volume', 'attach', 'one', 'data', '--bus', 'scsi')
        killed = subprocess.Popen(
            self.command(*words), env=self.environment(),
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        journal = self.folder / 'state' / 'instances' / '.operations'
        fake_ports.wait_until(
            lambda: killed.poll() is not None
            or list(journal.glob('*.json')), 'the begin of the attach')
        killed.kill()
        killed.wait()

        code = self.type(*words).returncode

        # It may have been attached just before.
        self.assertIn(code, (0, CONFLICT))
        self.assertEqual(1, self.disks('one').count(str(path)))
        self.assertEqual({'data': ['one']}, self.servers())
        self.assertEqual([], list(journal.glob('*.json')))
        self.answer('volume', 'detach', 'one', 'data')
        self.assertEqual({'data': []}, self.servers())

    def test_a_port_comes_and_goes(self) -> None:
        self.have_image('image', 'one is up')
        self.create('one', '--image', 'image', '--wait=serial:one is up')
        made = self.answer('port', 'attach', 'one', 'user')

        row, = self.answer('port', 'list', 'one')

        self.assertEqual((made['id'], made['mac'], 'user'), (
            row['ID'], row['MAC'], row['Network']))
        # Its guest does not know how to let go of a card.
        self.answer('server', 'stop', 'one')
        self.answer('server', 'start', 'one')
        self.assertEqual([made['mac']], [
            row['MAC'] for row in self.answer('port', 'list', 'one')])
        self.answer('server', 'stop', 'one')
        self.answer('port', 'detach', 'one', made['mac'])
        self.assertEqual([], self.answer('port', 'list', 'one'))
