# SPDX-License-Identifier: Apache-2.0

"""Every command, for real; what it prints is what the manual promises."""

import json
import os
import pathlib
import pty
import subprocess
import sys
from typing import Any

import yaml

from tests.functional import test_cli_servers
from tests import output_schema
from tests import owners

_TIMEOUT_S = 120
_COLUMNS = 80
_UUID = '0f6a3f0e-8a55-4b62-9d0c-2a4c1be0a7d1'


class OutputTest(test_cli_servers.ClientTestCase):

    def look(self, *words: str) -> Any:
        """Run a command that may find fault; check what it prints."""
        done = self.type(*words, '-f', 'json')
        printed = json.loads(done.stdout)
        output_schema.check(words, printed)
        self.checked.add(output_schema.command_in(words))
        return printed

    def test_each_command_prints_what_the_schema_says(self) -> None:
        self._of_the_host()
        self._of_servers()
        self._of_devices()
        self.answer('server', 'delete', 'web2', '--yes')
        damaged = (self.folder / 'state' / 'images'
                   / f'{_UUID}.json')
        damaged.write_text('{')
        row, = self.answer('gc', '--yes')
        self.assertEqual(('image', 'removed'), (row['Kind'], row['Status']))
        row, = self.answer('cache', 'clean', '--all', '--yes')
        self.assertFalse(pathlib.Path(row['Path']).exists())
        self.answer('image', 'delete', 'kept', '--yes')
        # What it does takes an agent; its output is compared elsewhere.
        self.checked.add('server set-password')
        # That takes two hosts.
        self.checked.add('server migrate')

        self.assertEqual(set(output_schema.document()['commands']),
                         self.checked)

    def _of_the_host(self) -> None:
        for line in ('doctor', 'health', 'nova check'):
            self.look(*line.split())
        for words in (('version',), ('explain', '38'), ('flavor', 'list'),
                      ('host', 'show'), ('network', 'list'),
                      ('service', 'disable', '--reason', 'new disks'),
                      ('service', 'enable'), ('service', 'show')):
            self.answer(*words)

    def _of_servers(self) -> None:
        self.have_image('hello', 'hello is up')
        self.answer('image', 'list')
        self.create('web1', '--image', 'hello', '--graphics', 'vnc',
                    '--serial', 'tcp', '--wait=serial:hello is up')
        self._an_event()
        for words in (['pause'], ['unpause'], ['suspend'], ['resume'],
                      ['stop'], ['start'], ['reboot', '--hard'],
                      ['rescue', '--image', 'hello']):
            self.answer('server', *words, 'web1')
        row, = self.answer('server', 'list', '--status', 'rescued')
        self.assertEqual('rescued', row['Status'])
        self.answer('server', 'unrescue', 'web1')
        self.answer('server', 'rename', 'web1', 'web2')
        self.answer('server', 'snapshot', 'web2', '--name', 'kept')
        self.answer('image', 'download', 'kept', str(self.folder / 'kept'))
        self.answer('server', 'set', 'web2', '--autostart')
        found = self.answer('server', 'diagnostics', 'web2')
        self.assertGreater(found['disks'][0]['read_bytes'], 0)
        self.answer('server', 'resize-disk', 'web2', '--size', '1')
        self.answer('server', 'crash-dump', 'web2')
        row, = self.answer('cache', 'show')
        self.assertEqual(('hello', True), (row['Image'], row['In use']))
        self._made_again('web2')
        shown = self.answer('server', 'show', 'web2')
        self.assertEqual(
            yaml.safe_load(self.type(
                'server', 'show', 'web2', '-f', 'yaml').stdout), shown)

    def _made_again(self, name: str) -> None:
        """Make a server from what is shown of another one."""
        shown = self.type('server', 'show', name, '-f', 'yaml').stdout
        path = self.folder / 'spec.yaml'
        # Both are there: the other one keeps the addresses of its cards.
        path.write_text(shown)
        self.answer('server', 'create', 'web3', '--spec', str(path),
                    '--wait=serial:hello is up')
        spec = self.answer('server', 'show', 'web3')['spec']
        self.assertEqual(yaml.safe_load(shown)['spec'], spec)
        self.answer('server', 'delete', 'web3', '--yes')

    def _an_event(self) -> None:
        watching = subprocess.Popen(
            self.command('events', '--timeout', '60', '-f', 'json'),
            env=self.environment(), stdout=subprocess.PIPE, text=True)
        try:
            while watching.poll() is None:
                self.answer('server', 'reboot', 'web1', '--hard')
            line, _ = watching.communicate(timeout=_TIMEOUT_S)
        finally:
            watching.kill()
            watching.wait()
        output_schema.check(['events'], json.loads(line))
        self.checked.add('events')

    def _of_devices(self) -> None:
        self.answer('volume', 'create', 'data', '--size', '1')
        self.answer('server', 'stop', 'web2')
        self.answer('volume', 'attach', 'web2', 'data')
        row, = self.answer('volume', 'list')
        self.assertEqual(['web2'], row['Servers'])
        self.answer('volume', 'detach', 'web2', 'data')
        self.answer('volume', 'extend', 'data', '--size', '2')
        self.answer('volume', 'show', 'data')
        self.answer('volume', 'delete', 'data', '--yes')
        made = self.answer('port', 'attach', 'web2', 'user')
        self.answer('port', 'list', 'web2')
        self.answer('port', 'detach', 'web2', made['id'])
        journal = owners.journal(
            str(self.folder / 'state' / 'instances'), owners.THERE)
        entry = journal.begin('spawn', uuid=_UUID, name='x')
        row, = self.answer('operations', 'list')
        entry.end()
        self.assertEqual((owners.THERE.host, 'elsewhere'),
                         (row['Owner']['host'], row['State']))


class TerminalTest(test_cli_servers.ClientTestCase):

    def screen(self, *words: str) -> list[str]:
        """Return the lines of a command in a terminal of 80 columns."""
        ours, theirs = pty.openpty()
        self.addCleanup(os.close, ours)
        environment = {**self.environment(), 'TERM': 'xterm',
                       'COLUMNS': str(_COLUMNS)}
        done = subprocess.run(
            [sys.executable, '-c', 'import fcntl, os, struct, sys, termios\n'
             'fcntl.ioctl(1, termios.TIOCSWINSZ, struct.pack("HHHH", 24, '
             f'{_COLUMNS}, 0, 0))\nos.execv(sys.argv[1], sys.argv[1:])',
             *self.command(*words)], stdin=theirs, stdout=theirs,
            stderr=subprocess.PIPE, timeout=_TIMEOUT_S, check=False,
            env=environment)
        os.close(theirs)
        self.assertEqual((0, b''), (done.returncode, done.stderr))
        return os.read(ours, 1 << 16).decode().splitlines()

    def test_tables_fit_into_a_terminal(self) -> None:
        self.have_image('hello', 'hello is up')
        for name in ('vm-10', f'vm-2-{"x" * 50}'):
            self.create(name, '--image', 'hello')
        self.answer('volume', 'create', 'data', '--size', '1')

        for words in (('server', 'list'), ('server', 'show', 'vm-10'),
                      ('image', 'list'), ('volume', 'list'),
                      ('network', 'list'), ('flavor', 'list'),
                      ('host', 'show'), ('port', 'list', 'vm-10'),
                      ('version',)):
            with self.subTest(words=words):
                lines = self.screen(*words)

                self.assertLessEqual(max(map(len, lines)), _COLUMNS, lines)
        self.assertEqual(
            [f'vm-2-{"x" * 50}', 'vm-10'],
            [row['Name'] for row in self.answer('server', 'list')])
