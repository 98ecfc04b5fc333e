# SPDX-License-Identifier: Apache-2.0

"""Servers that the client lets go to another host while they run."""

import contextlib
import hashlib
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
from typing import Any
from typing import ClassVar

import fixtures

from nova_libvirt_driver.testing import fake_ports
from nova_libvirt_driver.testing import guests
from nova_libvirt_driver.testing import libvirtd
from tests import base
from tests.functional import kills
from tests.functional import pair
from tests.functional import process
from tests import output_schema

_TIMEOUT_S = 300
_FULL_MIB = 24


class MigrateTest(base.TestCase):
    """Types commands on the first of two hosts, each with a service."""

    hosts: ClassVar[list[libvirtd.PrivateHost]]
    _exit: ClassVar[contextlib.ExitStack]

    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        with contextlib.ExitStack() as stack:
            cls.hosts = pair.hosts(stack)
            cls._exit = stack.pop_all()

    @classmethod
    def tearDownClass(cls) -> None:
        cls._exit.close()
        super().tearDownClass()

    def setUp(self) -> None:
        super().setUp()
        self.folder = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        self.addCleanup(self._remove_domains)

    def begin(self, *, shared: bool = False, options: str = '') -> None:
        """Start a service on the other host, and have a guest's image."""
        for host in self.hosts:
            common = (f'instances_path = {self.folder}/instances\n'
                      if shared else '')
            (self.folder / f'{host.name}.conf').write_text(
                f'[DEFAULT]\nhost = {host.name}\n'
                f'state_path = {self.folder}/{host.name}\n{common}'
                f'[libvirt]\nconnection_uri = {host.uri}\n'
                f'virt_type = qemu\ntb_cache_size = 32\n{options}')
        (self.folder / 'instances').mkdir()
        self.serve('two')
        path = self.folder / 'count.raw'
        path.write_bytes(guests.counting_sector().ljust(1 << 20, b'\0'))
        self.answer('one', 'image', 'add', str(path))

    def serve(self, name: str) -> process.Service:
        service = process.Service(
            self.useFixture(fixtures.TempDir()).path,
            ('--config-file', str(self.folder / f'{name}.conf')),
            {**os.environ})
        self.addCleanup(service.stop)
        service.wait_for('connected to qemu')
        return service

    def command(self, name: str, *words: str) -> list[str]:
        return [sys.executable, '-m', 'nova_libvirt_driver.cli',
                '--config-file', str(self.folder / f'{name}.conf'), *words]

    def type(
            self, name: str, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(name, *words), capture_output=True, text=True,
            cwd=kills.ROOT, timeout=_TIMEOUT_S, check=False)

    def answer(self, name: str, *words: str) -> Any:
        done = self.type(name, *words, '-f', 'json')
        self.assertEqual((0, ''), (done.returncode, done.stderr))
        return json.loads(done.stdout)

    def create(self, *words: str) -> str:
        """Make a server on the first host; return its id."""
        found = self.answer(
            'one', 'server', 'create', 'web1', '--image', 'count',
            '--flavor', 'nano', '--network', 'none', '--wait=serial:0000',
            *words)
        return str(found['id'])

    def to(self, *words: str) -> tuple[str, ...]:
        """Return the words that let the server go to the other host."""
        return ('server', 'migrate', 'web1', '--to', self.hosts[1].uri,
                '--service', str(self.folder / 'two' / 'service-two.sock'),
                '--address', pair.ADDRESSES[1], *words)

    def fill(self, uuid: str) -> None:
        """Write to the disk of the server, which then takes its time."""
        disk = str(self.folder / 'one' / 'instances' / uuid / 'disk')
        self.hosts[0].virsh('destroy', self.domain())
        for argv in (['qemu-img', 'resize', '-q', disk, f'{_FULL_MIB}M'],
                     ['qemu-io', '-c', f'write -q -P 7 1M {_FULL_MIB - 1}M',
                      disk]):
            subprocess.run(argv, check=True)
        self.answer('one', 'server', 'start', 'web1')

    def domain(self) -> str:
        return self.hosts[0].virsh('list', '--name').split()[0]

    def states(self, name: str) -> dict[str, str]:
        return {row['Name']: row['Status']
                for row in self.answer(name, 'server', 'list')}

    def files(self, name: str) -> list[str]:
        folder = self.folder / name / 'instances'
        return sorted(str(path.relative_to(folder))
                      for path in folder.glob('*-*-*-*-*/*'))

    def drive(self, name: str, uuid: str) -> str:
        """Return a digest of the config drive."""
        return hashlib.sha256((self.folder / name / 'instances' / uuid
                               / 'disk.config').read_bytes()).hexdigest()

    def count(self, name: str, above: int) -> int:
        """Wait until the server has counted further; return how far."""
        found: list[int] = []

        def has_counted() -> bool:
            text = self.type(name, 'server', 'console', 'log', 'web1').stdout
            found[:] = map(int, re.findall(r'^(\d{8})\s*$', text, re.M))
            return bool(found) and found[-1] > above

        fake_ports.wait_until(has_counted, 'counting', timeout_s=180)
        return found[-1]

    def assert_is_here(self) -> None:
        self.assertEqual({'web1': 'running'}, self.states('one'))
        self.assertEqual({}, self.states('two'))
        self.assertEqual([], self.files('two'))
        self.count('one', above=self.count('one', above=0))

    def _remove_domains(self) -> None:
        for host in self.hosts:
            for name in host.virsh('list', '--all', '--name').split():
                for verb in ('destroy', 'undefine'):
                    with contextlib.suppress(libvirtd.HostError):
                        host.virsh(verb, name)

    def test_a_server_goes_with_its_disks(self) -> None:
        self.begin()
        (self.folder / 'data').write_text('#cloud-config\n')
        uuid = self.create(
            '--user-data', str(self.folder / 'data'), '--autostart')
        before = self.count('one', above=0)
        drive = self.drive('one', uuid)

        words = self.to('--copy-disks')
        found = self.answer('one', *words)

        output_schema.check(words, found)
        self.assertEqual(
            ('web1', 'running'), (found['name'], found['status']))
        self.assertEqual(({}, []), (self.states('one'), self.files('one')))
        self.assertEqual({'web1': 'running'}, self.states('two'))
        self.assertGreaterEqual(self.count('two', above=before), before)
        self.assertEqual(drive, self.drive('two', uuid))
        self.assertTrue(self.answer(
            'two', 'server', 'show', 'web1')['autostart'])
        for name in ('one', 'two'):
            self.assertEqual([], self.answer(name, 'operations', 'list'))

    def test_a_server_leaves_its_disks_where_both_hosts_see_them(
            self) -> None:
        self.begin(shared=True)
        self.create()
        self.serve('one')
        before = self.count('one', above=0)

        done = self.type('one', *self.to('--copy-disks'))
        self.assertEqual(4, done.returncode, done.stderr)
        self.assertIn('both hosts have the disks', done.stderr)
        self.answer('one', *self.to())

        self.assertEqual(({}, {'web1': 'running'}), (
            self.states('one'), self.states('two')))
        self.count('two', above=before)
        self.answer('two', 'server', 'reboot', 'web1', '--hard')
        self.count('two', above=1)

    def test_what_cannot_go_is_refused_before_anything_is_done(self) -> None:
        self.begin()
        self.create()

        for words, said in (
                (self.to(), 'does not see'),
                (self.to('--copy-disks')[:6] + (
                    str(self.folder / 'none.sock'), '--copy-disks'),
                 'none.sock')):
            done = self.type('one', *words)
            self.assertNotEqual(0, done.returncode)
            self.assertIn(said, done.stderr)
            self.assertIn('nothing was changed', done.stderr)
        self.answer('one', 'server', 'create', 'web2', '--image', 'count',
                    '--flavor', 'nano')
        words = self.to('--copy-disks')
        done = self.type('one', *words[:2], 'web2', *words[3:])
        self.assertIn('user networking', done.stderr)
        self.answer('one', 'server', 'delete', 'web2', '--yes')
        self.answer('one', 'volume', 'create', 'data', '--size', '1')
        self.answer('one', 'volume', 'attach', 'web1', 'data')
        done = self.type('one', *self.to('--copy-disks'))
        self.assertIn('kept on this host', done.stderr)
        self.assert_is_here()

    def test_an_interrupted_server_runs_on_here(self) -> None:
        self.begin(options='live_migration_bandwidth = 1\n')
        self.fill(self.create())

        for is_served in (False, True):
            if is_served:
                self.serve('one')
            going = subprocess.Popen(
                self.command('one', *self.to('--copy-disks')),
                stderr=subprocess.PIPE, text=True, cwd=kills.ROOT)
            self.addCleanup(going.wait)
            self.addCleanup(going.kill)
            name = self.domain()
            fake_ports.wait_until(
                lambda: going.poll() is not None or 'Unbounded' in (
                    self.hosts[0].virsh('domjobinfo', name)), 'a migration',
                timeout_s=180)

            going.send_signal(signal.SIGINT)
            _, said = going.communicate(timeout=_TIMEOUT_S)

            self.assertEqual(130, going.returncode, said)
            self.assertIn('the server is here as before', said)
            self.assert_is_here()
