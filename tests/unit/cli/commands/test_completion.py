# SPDX-License-Identifier: Apache-2.0

"""What a shell is told that may follow; and the shells themselves."""

import os
import pathlib
import subprocess
import sys

from nova_libvirt_driver.storage import spec_record
from nova_libvirt_driver.testing import specs
from tests.unit.cli import base

ROOT = pathlib.Path(__file__).parents[4]
_TIMEOUT_S = 60

_BASH = """
source script
COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
_nova_libvirt
printf '%s\\n' "${COMPREPLY[@]}"
"""
_ZSH = """
compdef() { :; }
compadd() { print -l $found; }
_files() { print FILES; }
source script
words=("$@") CURRENT=$#
_nova_libvirt
"""
_FISH = 'source script; complete -C "$argv"'


class CompletionTestCase(base.ServerTestCase):

    def setUp(self) -> None:
        super().setUp()
        for name in ('web1', 'web2', 'db'):
            spec = specs.guest_spec(name)
            folder = self.folder / 'instances' / spec.uuid
            folder.mkdir(parents=True)
            spec_record.write(str(folder / 'guest.json'), spec)
        self.have_image('debian')
        self.have_image('tools')


class CompletionTest(CompletionTestCase):

    def possible(self, *words: str) -> list[str]:
        """Return what the last word may become."""
        result = self.type('complete', '--line', '--', *words)
        self.assertEqual((0, ''), (result.code, result.stderr))
        return result.stdout.split()

    def test_words_of_commands(self) -> None:
        self.assertEqual(['image'], self.possible('im'))
        self.assertEqual(['add', 'delete'], self.possible('image', '')[:2])
        self.assertEqual(['attach', 'log', 'url'],
                         self.possible('server', 'console', ''))
        self.assertEqual(['show', 'show-xml'], [
            word for word in self.possible('help', 'server', 'sh')])
        self.assertEqual([], self.possible('nonsense', ''))

    def test_names_of_servers_images_and_flavors(self) -> None:
        for words, names in (
                (('server', 'show', ''), ['db', 'web1', 'web2']),
                (('server', 'stop', 'db', 'w'), ['web1', 'web2']),
                (('server', 'rescue', '--image', ''), ['debian', 'tools']),
                (('server', 'rescue', '--image', '=', 'd'), ['debian']),
                (('server', 'rescue', '--image', '='), ['debian', 'tools']),
                (('image', 'delete', 't'), ['tools']),
                (('server', 'create', 'new', '--flavor', 'n'), ['nano']),
                (('--uri', 'test:///default', 'server', 'show', 'd'),
                 ['db'])):
            with self.subTest(words=words):
                self.assertEqual(names, self.possible(*words))

    def test_options_and_their_choices(self) -> None:
        self.assertEqual(['--soft'], self.possible('server', 'stop', '--sof'))
        self.assertIn('--uri', self.possible('server', 'stop', '--'))
        self.assertIn('json', self.possible('server', 'list', '-f', ''))
        self.assertEqual(['uefi'], self.possible(
            'server', 'create', 'x', '--firmware', 'u'))

    def test_what_is_new_or_a_file_is_not_guessed(self) -> None:
        for words in (('server', 'create', ''), ('image', 'add', ''),
                      ('server', 'snapshot', 'web1', '--name', ''),
                      ('server', 'show', 'web1', ''),
                      ('server', 'create', 'x', '--kernel', '')):
            with self.subTest(words=words):
                self.assertEqual([], self.possible(*words))

    def test_a_damaged_record_costs_itself(self) -> None:
        for number, text in enumerate(('{', '[]', '{"guest": 1}')):
            folder = self.folder / 'instances' / str(number)
            folder.mkdir()
            (folder / 'guest.json').write_text(text)

        self.assertEqual(['db'], self.possible('server', 'show', 'd'))


class ShellTest(CompletionTestCase):

    def setUp(self) -> None:
        super().setUp()
        self.program = self.folder / 'nova-libvirt'
        self.program.write_text(
            f'#!/bin/sh\nexec {sys.executable} -m nova_libvirt_driver.cli '
            f'--config-file {self.config_file} "$@"\n')
        self.program.chmod(0o755)

    def run_shell(self, shell: str, *arguments: str) -> list[str]:
        """Run a shell that has the script of ours; return its lines."""
        script = self.type('complete', '--shell', shell)
        (self.folder / 'script').write_text(script.stdout)
        done = subprocess.run(
            [shell, *arguments], cwd=self.folder, capture_output=True,
            text=True, timeout=_TIMEOUT_S, check=False,
            env={**os.environ, 'PYTHONPATH': str(ROOT),
                 'HOME': str(self.folder),
                 'PATH': f'{self.folder}:{os.environ["PATH"]}'})
        self.assertEqual((0, ''), (done.returncode, done.stderr))
        return done.stdout.splitlines()

    def test_bash(self) -> None:
        self.assertEqual(['web1', 'web2'], self.run_shell(
            'bash', '--norc', '-c', _BASH, 'x', str(self.program), 'server',
            'show', 'w'))

    def test_zsh(self) -> None:
        self.assertEqual(['web1', 'web2'], self.run_shell(
            'zsh', '-fc', _ZSH, 'x', str(self.program), 'server', 'show',
            'w'))
        self.assertEqual(['FILES'], self.run_shell(
            'zsh', '-fc', _ZSH, 'x', str(self.program), 'image', 'add', ''))

    def test_fish(self) -> None:
        self.assertEqual(['web1', 'web2'], self.run_shell(
            'fish', '--no-config', '-c', _FISH, 'nova-libvirt server show w'))
