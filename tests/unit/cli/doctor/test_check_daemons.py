# SPDX-License-Identifier: Apache-2.0

import os
import pathlib
import socket

import fixtures

from nova_libvirt_driver.cli.doctor import check_daemons
from nova_libvirt_driver.cli.doctor import checks
from tests import base

Status = checks.Status


class DaemonsTest(base.TestCase):

    def setUp(self) -> None:
        super().setUp()
        self.folder = self.useFixture(fixtures.TempDir()).path

    def uri(self, name: str) -> str:
        return f'qemu:///system?socket={self.folder}/{name}'

    def listen(self, name: str) -> socket.socket:
        listening = socket.socket(socket.AF_UNIX)
        # A green socket that nothing refers to closes itself.
        self.addCleanup(lambda: listening.close())
        listening.bind(os.path.join(self.folder, name))
        listening.listen()
        return listening

    def test_a_daemon_that_listens_is_named(self) -> None:
        for socket_name, name in (('virtqemud-sock', 'virtqemud'),
                                  ('libvirt-sock', 'libvirtd')):
            self.listen(socket_name)

            found = check_daemons.daemon(self.uri(socket_name))

            self.assertEqual(Status.OK, found.status)
            self.assertIn(f'{name} listens', found.detail)

    def test_one_that_is_dead_is_told_with_what_to_type(self) -> None:
        for socket_name, name in (('virtqemud-sock', 'virtqemud'),
                                  ('libvirt-sock', 'libvirtd')):
            self.listen(socket_name).close()

            found = check_daemons.daemon(self.uri(socket_name))

            self.assertEqual(Status.FAILURE, found.status)
            self.assertIn('Connection refused', found.detail)
            self.assertIn(f'systemctl start {name}', found.fix)

    def test_without_a_socket_both_daemons_are_named(self) -> None:
        found = check_daemons.daemon(self.uri('virtqemud-sock'))

        self.assertEqual(Status.FAILURE, found.status)
        self.assertIn('virtqemud', found.fix)
        self.assertIn('libvirtd', found.fix)

    def test_virtlogd_is_looked_for_beside_the_daemon(self) -> None:
        uri = self.uri('virtqemud-sock')
        self.assertEqual(
            Status.FAILURE, check_daemons.log_daemon(uri, '').status)
        listening = self.listen('virtlogd-sock')
        self.assertEqual(Status.OK, check_daemons.log_daemon(uri, '').status)
        listening.close()

        found = check_daemons.log_daemon(uri, '')

        self.assertEqual(Status.FAILURE, found.status)
        self.assertIn('virtlogd-sock: Connection refused', found.detail)
        self.assertIn('systemctl start virtlogd.socket', found.fix)

    def test_what_limits_console_logs_is_named(self) -> None:
        files = {name: pathlib.Path(self.folder, f'{name}.conf')
                 for name in ('file', 'endless')}
        files['file'].write_text('stdio_handler = "file"\n')
        files['endless'].write_text('max_size = 0\n')
        system, session = 'qemu:///system', 'qemu:///session'
        embedded = f'qemu:///embed?root={self.folder}'
        expected: tuple[tuple[str, int, str, str, int, Status, str], ...] = (
            (system, 2, '', '', 64055, Status.OK, 'virtlogd rotates'),
            (system, 2, '', 'endless', 0, Status.WARNING, 'no limit'),
            (system, 2, 'file', '', 0, Status.OK, 'at 2 MiB'),
            (system, 0, 'file', '', 0, Status.WARNING, 'is 0'),
            (system, 2, 'file', '', 64055, Status.WARNING, 'may not write'),
            (session, 3, 'file', '', 64055, Status.OK, 'at 3 MiB'),
            (embedded, 2, '', '', 64055, Status.OK, 'at 2 MiB'),
            (embedded, 0, '', '', 0, Status.WARNING, 'is 0'),
            ('test:///default', 2, '', '', 0, Status.SKIPPED, 'not of QEMU'),
            ('qemu+tls://there/system', 2, '', '', 0, Status.SKIPPED,
             'not of QEMU'))

        for uri, max_mib, qemu, virtlogd, user_id, status, words in expected:
            with self.subTest(uri=uri, words=words):
                found = check_daemons.console_logs(
                    uri, max_mib, user_id=user_id,
                    qemu_conf=str(files.get(qemu, '')),
                    virtlogd_conf=str(files.get(virtlogd, '')))
                self.assertEqual(status, found.status)
                self.assertIn(words, found.detail)

    def test_virtlogd_is_not_missed_where_libvirt_does_without(self) -> None:
        conf = pathlib.Path(self.folder, 'qemu.conf')
        conf.write_text('#stdio_handler = "logd"\nstdio_handler = "file"\n')

        self.assertEqual(Status.SKIPPED, check_daemons.log_daemon(
            self.uri('libvirt-sock'), str(conf)).status)

    def test_daemons_of_a_user_are_started_by_libvirt(self) -> None:
        self.useFixture(fixtures.MonkeyPatch('os.geteuid', lambda: 1000))
        for name in ('XDG_RUNTIME_DIR', 'XDG_CONFIG_HOME'):
            self.useFixture(fixtures.EnvironmentVariable(name, self.folder))
        self.folder = os.path.join(self.folder, 'libvirt')
        os.mkdir(self.folder)
        uri = 'qemu:///session'
        self.listen('libvirt-sock').close()

        for check in (check_daemons.daemon, check_daemons.log_daemon):
            self.assertEqual(Status.SKIPPED, check(uri).status)

        self.listen('virtqemud-sock')
        self.assertEqual(Status.OK, check_daemons.daemon(uri).status)
        # Its settings are its user's as well.
        pathlib.Path(self.folder, 'qemu.conf').write_text(
            'stdio_handler = "file"\n')
        self.assertIn('stdio_handler', check_daemons.log_daemon(uri).detail)
        self.assertIn('at 3 MiB', check_daemons.console_logs(uri, 3).detail)

    def test_what_has_no_daemon_here_is_left_alone(self) -> None:
        for uri in ('test:///default', 'qemu:///embed?root=/x',
                    'qemu+ssh://there/system', 'qemu+tls://there/system'):
            for check in (check_daemons.daemon, check_daemons.log_daemon):
                self.assertEqual(Status.SKIPPED, check(uri).status, uri)
