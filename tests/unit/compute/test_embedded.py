# SPDX-License-Identifier: Apache-2.0

import os
import pathlib
import subprocess
import sys

import fixtures
from oslo_config import cfg

from nova_libvirt_driver.compute import embedded
from nova_libvirt_driver import conf as package_conf
from nova_libvirt_driver import exception
from tests import base


class RootTestCase(base.TestCase):

    def test_only_an_embedded_qemu_has_one(self) -> None:
        self.assertEqual(
            ['/srv/a b', None, None, None],
            [embedded.root(uri) for uri in (
                'qemu:///embed?root=/srv/a%20b', 'qemu:///system',
                'test:///default', 'qemu+ssh://host/embed?root=/srv')])

    def test_one_that_is_missing_or_relative_is_refused(self) -> None:
        for uri in ('qemu:///embed', 'qemu:///embed?root=srv',
                    'qemu:///embed?root='):
            error = self.assertRaises(
                exception.InvalidConfiguration, embedded.root, uri)
            self.assertIn('needs ?root=DIR', str(error))


class PreparingTestCase(base.TestCase):

    def setUp(self) -> None:
        super().setUp()
        self.folder = os.path.join(
            self.useFixture(fixtures.TempDir()).path, 'qemu')
        # There is no QEMU to try KVM with.
        self.useFixture(fixtures.EnvironmentVariable('PATH', '/nowhere'))
        self.useFixture(
            fixtures.EnvironmentVariable('LIBVIRT_LOG_OUTPUTS'))
        self.settings = pathlib.Path(self.folder, 'etc', 'qemu.conf')

    def prepare(self, uri: str = '') -> None:
        conf = cfg.ConfigOpts()
        package_conf.register_opts(conf)
        conf([])
        conf.set_override(
            'connection_uri', uri or f'qemu:///embed?root={self.folder}',
            group='libvirt')
        embedded.prepare(conf)


class PrepareTestCase(PreparingTestCase):

    def test_settings_for_a_qemu_without_helpers_are_written(self) -> None:
        self.prepare()

        lines = self.settings.read_text().splitlines()
        self.assertIn('stdio_handler = "file"', lines)
        self.assertIn('max_core = 0', lines)
        self.assertEqual(os.geteuid() == 0, 'user = "root"' in lines)
        self.assertEqual(
            f'3:file:{self.folder}/log/libvirt.log',
            os.environ['LIBVIRT_LOG_OUTPUTS'])
        self.assertTrue(os.path.isdir(f'{self.folder}/log'))

    def test_what_an_operator_chose_stays(self) -> None:
        self.settings.parent.mkdir(parents=True)
        self.settings.write_text('user = "guests"\n')
        os.environ['LIBVIRT_LOG_OUTPUTS'] = '1:stderr'

        self.prepare()

        self.assertEqual('user = "guests"\n', self.settings.read_text())
        self.assertEqual('1:stderr', os.environ['LIBVIRT_LOG_OUTPUTS'])

    def test_nothing_is_done_for_another_hypervisor(self) -> None:
        self.prepare('qemu:///system')

        self.assertFalse(os.path.exists(self.folder))
        self.assertNotIn('LIBVIRT_LOG_OUTPUTS', os.environ)

    def test_a_root_that_cannot_be_a_folder_is_named(self) -> None:
        pathlib.Path(self.folder).touch()

        error = self.assertRaises(
            exception.InvalidConfiguration, self.prepare)

        self.assertIn(f'the folder {self.folder} of the embedded', str(error))


class KilledProbeTestCase(PreparingTestCase):
    """A process was killed while libvirt learned what QEMU can do."""

    def process(
            self, *arguments: str,
            program: str = '') -> 'subprocess.Popen[bytes]':
        process = subprocess.Popen(
            [sys.executable, '-c',
             f'{program}\nprint(flush=True)\nimport time\ntime.sleep(60)',
             *arguments], stdout=subprocess.PIPE)
        assert process.stdout is not None
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        process.stdout.readline()
        return process

    def left(self, process: 'subprocess.Popen[bytes]') -> pathlib.Path:
        folder = self.socket.parent
        folder.mkdir(parents=True)
        folder.joinpath('qmp.pid').write_text(f'{process.pid}\n')
        return folder

    def setUp(self) -> None:
        super().setUp()
        self.socket = pathlib.Path(
            self.folder, 'lib', 'qemu', 'qmp-a1b2c3', 'qmp.monitor')

    def test_its_qemu_is_ended(self) -> None:
        probe = self.process('-qmp', f'unix:{self.socket},server=on')
        folder = self.left(probe)

        self.prepare()

        self.assertEqual(-9, probe.wait(10))
        self.assertFalse(folder.exists())

    def test_another_process_of_that_number_lives_on(self) -> None:
        other = self.process('-qmp', 'unix:/elsewhere/qmp.monitor')
        folder = self.left(other)

        self.prepare()

        self.assertIsNone(other.poll())
        self.assertFalse(folder.exists())

    def test_that_of_a_process_that_runs_is_left_alone(self) -> None:
        probe = self.process('-qmp', f'unix:{self.socket},server=on')
        folder = self.left(probe)
        pid_file = pathlib.Path(self.folder, 'run', 'qemu', 'driver.pid')
        pid_file.parent.mkdir(parents=True)
        self.process(program=f'''
import fcntl
file = open({str(pid_file)!r}, 'w', encoding='ascii')
fcntl.lockf(file, fcntl.LOCK_EX)
''')

        self.prepare()

        self.assertIsNone(probe.poll())
        self.assertTrue(folder.exists())

    def test_a_folder_that_says_nothing_is_removed(self) -> None:
        self.socket.parent.mkdir(parents=True)
        self.socket.parent.joinpath('qmp.pid').write_text('soon')

        self.prepare()

        self.assertFalse(self.socket.parent.exists())
