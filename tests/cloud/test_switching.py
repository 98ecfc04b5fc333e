# SPDX-License-Identifier: Apache-2.0

"""The page "Switching one host of a cloud", command by command."""

import configparser
import os
import pathlib
import subprocess
import tempfile

from checks import compute

from tests.cloud import base
from tests.cloud import host
from tests.cloud import page

PAGE = pathlib.Path(__file__).parents[2] / 'doc/source/admin/switching.rst'
FILE = compute.STATE / 'etc' / 'nova' / 'compute-h1.conf'
HOME = compute.STATE / 'nova-compute'
# Made by tools/test.
WHEELS = compute.STATE / 'wheels'
LIMIT_S = 240
SYSTEMCTL = f'''#!/bin/sh
[ "$*" = 'restart nova-compute' ] || exit 2
exec {compute.DEVCLOUD}/restart-compute --as-is
'''


class SwitchingTest(base.CloudTest):

    def setUp(self) -> None:
        super().setUp()
        self.addCleanup(compute.restart, compute.OURS)
        compute.restart(compute.NOVAS)
        self.folder = pathlib.Path(self.enterContext(
            tempfile.TemporaryDirectory()))
        (self.folder / 'systemctl').write_text(SYSTEMCTL)
        (self.folder / 'systemctl').chmod(0o755)
        self.server = self.check.boot(image_id=self.check.image())
        self.venv = self.make_venv()

    def make_venv(self) -> pathlib.Path:
        """Make an environment, as that of nova-compute."""
        path = pathlib.Path(tempfile.mkdtemp(dir=self.folder)) / 'venv'
        host.run('python3', '-m', 'venv', str(path))
        return path

    def words(self, text: str) -> str:
        """Return a command of the page with the names of this cloud."""
        for name, value in {
                'HOST': 'h1', 'SERVER': self.server.id,
                'VENV': str(self.venv), 'FLAVOR': 'm1.nano',
                'IMAGE': 'guest', 'NETWORK': 'private',
                '/etc/nova/nova.conf': str(FILE)}.items():
            text = text.replace(name, value)
        return text

    def run_step(self, step: page.Step) -> None:
        """Do what the page says."""
        if step.is_file:
            self.write(step.text)
            return
        command = self.words(step.text)
        self.check.say(command)
        user = [] if step.is_root else [
            'setpriv', '--reuid=nova', '--regid=nova', '--init-groups']
        # There is nothing that the package could need and pip could reach.
        done = subprocess.run(
            [*user, 'sh', '-c', command], timeout=LIMIT_S, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd='/',
            env=os.environ | {
                'HOME': '/root' if step.is_root else str(HOME),
                'PATH': f'{self.folder}:{os.environ["PATH"]}',
                'PIP_NO_INDEX': '1', 'PIP_NO_DEPS': '1',
                'PIP_FIND_LINKS': str(WHEELS)})
        self.assertEqual(
            step.exits, done.returncode, f'{command}\n{done.stdout}')

    def write(self, text: str) -> None:
        """Write what the page says into nova-compute's file."""
        wanted = configparser.RawConfigParser(default_section='none')
        wanted.read_string(text)
        found = configparser.RawConfigParser(default_section='none')
        found.read(FILE)
        for section in wanted.sections():
            for name, value in wanted.items(section):
                found.set(section, name, value)
        with FILE.open('w') as stream:
            found.write(stream)

    def driver(self) -> str:
        """Return the driver of the file that nova-compute has read."""
        parser = configparser.RawConfigParser(default_section='none')
        parser.read(FILE)
        return parser.get('DEFAULT', 'compute_driver')

    def process(self) -> int:
        """Return the process of the server's QEMU."""
        return host.process(self.check.cloud.compute.get_server(
            self.server.id).instance_name)

    def test_each_command_of_the_page(self) -> None:
        drivers = []
        for step in page.steps(PAGE):
            if step.not_run:
                continue
            if 'venv --' in step.text:
                self.venv = self.venv.with_name('another')
            before = self.process()
            self.run_step(step)
            if step.text.startswith('systemctl'):
                drivers.append(self.driver())
                self.assertEqual(before, self.process())
            base.settled(self.check, self.server, 'ACTIVE')

        self.assertEqual([compute.OURS, compute.NOVAS], drivers)
        self.assertFalse((self.venv / 'bin' / 'nova-libvirt').exists())
