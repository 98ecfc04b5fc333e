# SPDX-License-Identifier: Apache-2.0

"""Servers made and looked after by the client, on real QEMU.

Each command is a process of its own: what the next one knows is what the
one before has left in libvirt and on disk.
"""

import json
import os
import pathlib
import pty
import subprocess
import sys
from typing import Any

import fixtures

from nova_libvirt_driver.testing import fake_ports
from nova_libvirt_driver.testing import footprint
from nova_libvirt_driver.testing import guests
from tests.functional import base
from tests import output_schema

_ROOT = pathlib.Path(__file__).resolve().parents[2]
_TIMEOUT_S = 300
_IMAGE_BYTES = 1 << 20
_CODES = (0, '')


class ClientTestCase(base.PrivateHostTestCase):
    """Types commands for the private host of the class.

    :ivar folder: ``state_path`` and more; its contents are the test's own
    """

    def setUp(self) -> None:
        super().setUp()
        self.folder = pathlib.Path(
            self.useFixture(fixtures.TempDir()).path)
        self.config_file = self.configure(self.host.uri)
        self.addCleanup(self._remove_domains)
        # The commands whose output was compared with the schema.
        self.checked: set[str] = set()

    def configure(self, uri: str) -> pathlib.Path:
        """Write the configuration; return its file."""
        path = self.folder / 'nova-libvirt.conf'
        path.write_text(
            f'[DEFAULT]\nhost = h1\nstate_path = {self.folder}/state\n'
            f'[libvirt]\nconnection_uri = {uri}\nvirt_type = qemu\n'
            'tb_cache_size = 32\n')
        return path

    def command(self, *words: str) -> list[str]:
        """Return the command line of the client."""
        return [sys.executable, '-m', 'nova_libvirt_driver.cli',
                '--config-file', str(self.config_file), *words]

    def environment(self) -> dict[str, str]:
        """Return the environment of the client."""
        return {**os.environ, 'PYTHONPATH': str(_ROOT),
                'HOME': str(self.folder)}

    def type(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run a command to its end."""
        return subprocess.run(
            self.command(*words), capture_output=True, text=True,
            timeout=_TIMEOUT_S, check=False, env=self.environment())

    def answer(self, *words: str) -> Any:
        """Run a command that must succeed; return its JSON."""
        done = self.type(*words, '-f', 'json')
        self.assertEqual(_CODES, (done.returncode, done.stderr))
        printed = json.loads(done.stdout)
        if '-c' not in words:
            output_schema.check(words, printed)
            self.checked.add(output_schema.command_in(words))
        return printed

    def have_image(self, name: str, message: str) -> None:
        """Add an image whose server prints one line, and halts."""
        path = self.folder / f'{name}.raw'
        path.write_bytes(
            guests.boot_sector(message).ljust(_IMAGE_BYTES, b'\0'))
        self.answer('image', 'add', str(path))

    def create(self, name: str, *words: str) -> Any:
        """Make the smallest server."""
        return self.answer(
            'server', 'create', name, '--flavor', 'nano', '--network',
            'none', *words)

    def _remove_domains(self) -> None:
        self._ensure_daemon()
        for name in self.host.virsh('list', '--all', '--name').split():
            self.host.virsh('undefine', name, '--managed-save', '--nvram',
                            '--snapshots-metadata')


class LifeTest(ClientTestCase):

    def states(self) -> dict[str, str]:
        """Return how each server is."""
        return {row['Name']: row['Status']
                for row in self.answer('server', 'list')}

    def look(self) -> footprint.Footprint:
        """Look at the host; images and their cache do not count."""
        instances = self.folder / 'state' / 'instances'
        return footprint.Footprint.take(self.host, instances, ignore=(
            f'{instances}/_base', f'{instances}/_base/*'))

    def test_a_server_lives_from_its_image_to_its_deletion(self) -> None:
        self.have_image('hello', 'hello is up')
        self.create('first', '--image', 'hello', '--wait')
        self.answer('server', 'delete', 'first', '--yes')
        before = self.look()

        made = self.create('web1', '--image', 'hello',
                           '--wait=serial:^hello is up$')
        self.assertEqual('running', made['status'])
        self.assertEqual({'web1': 'running'}, self.states())
        for words, state in (
                (['pause'], 'paused'), (['unpause'], 'running'),
                (['suspend'], 'suspended'), (['resume'], 'running'),
                (['stop'], 'shutdown'), (['start'], 'running'),
                (['reboot', '--hard'], 'running')):
            row, = self.answer('server', *words, 'web1')
            self.assertEqual(state, row['Status'], words[0])
        self.answer('server', 'delete', 'web1', '--yes')

        self.assertEqual({}, self.states())
        fake_ports.wait_until(
            lambda: not before.difference(self.look()),
            'the host as it was')

    def test_a_server_from_a_snapshot_prints_the_same(self) -> None:
        self.have_image('hello', 'hello is up')
        self.create('web1', '--image', 'hello')

        self.answer('server', 'snapshot', 'web1', '--name', 'kept')
        self.create('web2', '--image', 'kept',
                    '--wait=serial:hello is up')

        self.assertEqual({'web1': 'running', 'web2': 'running'},
                         self.states())

    def test_a_rescued_server_starts_from_the_other_image(self) -> None:
        self.have_image('hello', 'hello is up')
        self.have_image('tools', 'tools are up')
        self.create('web1', '--image', 'hello')

        def printed(line: str) -> None:
            fake_ports.wait_until(
                lambda: line in self.type(
                    'server', 'console', 'log', 'web1').stdout, line,
                timeout_s=180)

        self.answer('server', 'rescue', 'web1', '--image', 'tools')
        printed('tools are up\n')
        self.answer('server', 'unrescue', 'web1')
        printed('hello is up\n')

    def test_too_late_is_a_timeout_that_shows_the_console(self) -> None:
        self.have_image('hello', 'hello is up')

        # On a busy machine it has printed nothing yet after three seconds.
        for timeout_s in (3, 15, 90):
            done = self.type(
                'server', 'create', 'web1', '--image', 'hello', '--flavor',
                'nano', '--timeout', f'{timeout_s}', '--wait=serial:never')
            self.assertEqual(6, done.returncode, done.stderr)
            if 'hello is up' in done.stderr:
                break
            self.answer('server', 'delete', 'web1', '--yes')

        self.assertIn('web1: hello is up\n', done.stderr)
        self.assertEqual({'web1': 'running'}, self.states())

    def test_a_new_name_is_known_to_the_next_command(self) -> None:
        self.have_image('hello', 'hello is up')
        made = self.create('web1', '--image', 'hello')

        self.answer('server', 'rename', 'web1', 'shop')

        shown = self.answer('server', 'show', 'shop')
        self.assertEqual((made['id'], 'shop', 'web1'), tuple(
            shown[name] for name in ('id', 'name', 'domain')))


class LookTest(ClientTestCase):

    def test_a_foreign_domain_is_seen_and_left_alone(self) -> None:
        self.start_guest('router')

        every = self.answer('server', 'list', '--all', '-c', 'Name',
                            '-c', 'Owned')
        done = self.type('server', 'delete', 'router', '--yes')

        self.assertEqual([], self.answer('server', 'list'))
        self.assertEqual([{'Name': 'router', 'Owned': False}], every)
        self.assertEqual(4, done.returncode)
        self.assertIn('is left alone', done.stderr)
        self.assertIn('router', self.host.virsh('list', '--name'))

    def test_a_dry_run_is_what_is_made(self) -> None:
        self.have_image('hello', 'hello is up')
        words = ('server', 'create', 'web1', '--image', 'hello',
                 '--graphics', 'vnc')

        planned = self.type(*words, '--dry-run', '--show-xml')
        self.assertEqual(_CODES, (planned.returncode, planned.stderr))
        self.assertEqual([], self.answer('server', 'list', '--all'))
        path = self.host.directory / 'planned.xml'
        path.write_text(planned.stdout)

        self.host.run(['virt-xml-validate', str(path), 'domain'])
        self.answer(*words)
        url = self.type('server', 'console', 'url', 'web1').stdout
        self.assertRegex(url, r'^vnc://127\.0\.0\.1:59\d\d\n$')

    def test_a_changed_definition_is_told(self) -> None:
        self.have_image('hello', 'hello is up')
        self.create('web1', '--image', 'hello')

        same = self.type('server', 'diff', 'web1')
        self.host.virsh('setmaxmem', 'web1', '65M', '--config')
        other = self.type('server', 'diff', 'web1')

        self.assertEqual((0, '', ''),
                         (same.returncode, same.stdout, same.stderr))
        self.assertEqual(1, other.returncode)
        self.assertIn("+  <memory unit='KiB'>66560</memory>  (reboot)\n",
                      other.stdout)

    def test_a_terminal_is_joined_to_the_serial_port(self) -> None:
        self.have_image('hello', 'hello is up')
        self.create('web1', '--image', 'hello')
        ours, theirs = pty.openpty()
        os.set_blocking(ours, False)
        self.addCleanup(os.close, ours)

        client = subprocess.Popen(
            self.command('server', 'console', 'attach', 'web1'),
            stdin=theirs, stdout=theirs, stderr=theirs,
            env=self.environment())
        os.close(theirs)
        self.addCleanup(client.wait, _TIMEOUT_S)
        self.addCleanup(client.kill)
        seen = bytearray()
        self._read_until(ours, seen, b'Ctrl-] ends it')
        os.write(ours, b'x\x1d')
        self._read_until(ours, seen, b'detached')

        self.assertEqual(0, client.wait(_TIMEOUT_S))

    def _read_until(
            self, descriptor: int, seen: bytearray, text: bytes) -> None:
        def read() -> bool:
            try:
                seen.extend(os.read(descriptor, 4096))
            except OSError:
                # Nothing yet, or nobody at the other end any more.
                pass
            return text in seen

        fake_ports.wait_until(read, text.decode(), timeout_s=60)


class EmbeddedTest(ClientTestCase):

    def test_a_server_of_the_test_driver_leaves_nothing(self) -> None:
        self.config_file = self.configure('test:///default')
        self.have_image('hello', 'hello is up')
        instances = self.folder / 'state' / 'instances'

        done = self.type('server', 'create', 'web1', '--image', 'hello',
                         '-f', 'json')

        self.assertEqual(0, done.returncode, done.stderr)
        self.assertIn('web1 is gone when the command ends', done.stderr)
        self.assertEqual('running', json.loads(done.stdout)['status'])
        self.assertEqual([], [
            path.name for path in instances.iterdir()
            if path.is_dir() and path.name[0] not in '._'])
