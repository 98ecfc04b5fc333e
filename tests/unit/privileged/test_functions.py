# SPDX-License-Identifier: Apache-2.0

"""Tests for the privileged functions, as they run in their process."""

import os

from oslo_privsep import capabilities

from nova_libvirt_driver.privileged import context
from nova_libvirt_driver.privileged import functions
from tests.unit.privileged import base


class ConsoleLogTest(base.PrivilegedTestCase):

    def test_the_end_of_a_log_is_read(self) -> None:
        path = self.make('console.log', b'0123456789')
        status = path.stat()

        data, identity = functions.read_log_end(base.UUID, -1, 4)

        self.assertEqual(b'6789', data)
        self.assertEqual((status.st_dev, status.st_ino), identity)

    def test_an_older_log_is_read_by_its_number(self) -> None:
        self.make('console.log.2', b'old')

        self.assertEqual(
            b'old', functions.read_log_end(base.UUID, 2, 100)[0])

    def test_no_more_is_read_than_is_allowed(self) -> None:
        self.make('console.log', b'x' * (functions.MAX_LOG_BYTES + 1))

        data, _ = functions.read_log_end(base.UUID, -1, 1 << 40)

        self.assertEqual(functions.MAX_LOG_BYTES, len(data))

    def test_nothing_else_is_read(self) -> None:
        for instance, number in (('_base', -1), ('..', -1), ('', -1),
                                 (base.UUID, -2), (base.UUID, 10)):
            self.assertRaises(PermissionError, functions.read_log_end,
                              instance, number, 100)


class OwnerTest(base.PrivilegedTestCase):
    """What is asked for is so already: the files are this process's."""

    def test_the_service_is_let_at_a_disk(self) -> None:
        path = self.make('disk')
        before = path.stat()

        functions.let_read(base.UUID, 'disk')
        functions.give_back(base.UUID, 'disk')

        self.assertEqual(
            (before.st_uid, before.st_gid, before.st_mode),
            (path.stat().st_uid, path.stat().st_gid, path.stat().st_mode))

    def test_a_disk_that_no_group_may_read_is_left_alone(self) -> None:
        self.make('disk').chmod(0o600)

        self.assertRaises(PermissionError, functions.let_read,
                          base.UUID, 'disk')

    def test_a_group_that_qemu_may_need_is_kept(self) -> None:
        if os.getuid() != 0:
            self.skipTest('only root can give files away')
        path = self.make('disk')
        os.chown(path, -1, 54321)
        self.config.config(group='nova_libvirt_driver', qemu_users=[])

        self.assertRaises(PermissionError, functions.let_read,
                          base.UUID, 'disk')

        self.assertEqual(54321, path.stat().st_gid)

    def test_nothing_but_disks_changes_hands(self) -> None:
        for folder, name in ((base.UUID, 'guest.json'), ('', 'disk'),
                             (base.UUID, '../disk'), ('/etc', 'shadow')):
            self.assertRaises(
                PermissionError, functions.let_read, folder, name)
            self.assertRaises(
                PermissionError, functions.give_back, folder, name)

    def test_only_disks_of_instances_are_given_back(self) -> None:
        self.assertRaises(PermissionError, functions.give_back,
                          '_base', '0' * 40)


class ContextTest(base.PrivilegedTestCase):

    def test_two_capabilities_are_enough(self) -> None:
        self.assertEqual(
            ['CAP_CHOWN', 'CAP_DAC_READ_SEARCH'],
            [capabilities.CAPS_BYVALUE[one]
             for one in context.CAPABILITIES])

    def test_the_helper_of_this_installation_is_started(self) -> None:
        self.config.set_config_files([])
        self.addCleanup(
            self.config.conf.clear_default, 'helper_command',
            group=context.GROUP)

        context.use_sudo()

        words = context.CONTEXT.helper_command('/tmp/socket')
        self.assertEqual(['sudo', '-n'], words[:2])
        self.assertTrue(words[2].endswith('/privsep-helper'))
        self.assertEqual(
            ['--privsep_context',
             'nova_libvirt_driver.privileged.context.CONTEXT',
             '--privsep_sock_path', '/tmp/socket'], words[-4:])
