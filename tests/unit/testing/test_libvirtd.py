# SPDX-License-Identifier: Apache-2.0

import os
import pathlib

import fixtures

from nova_libvirt_driver.testing import capability_cache
from nova_libvirt_driver.testing import libvirtd
from tests import base


class PrerequisiteTest(base.TestCase):
    """What is said where no private host can be started."""

    def setUp(self) -> None:
        super().setUp()
        self.folder = pathlib.Path(self.useFixture(fixtures.TempDir()).path)

    def test_other_users_are_told_to_become_root(self) -> None:
        lack = libvirtd.missing_prerequisite(1000, os.defpath)

        self.assertIn('as root', str(lack))

    def test_missing_program_is_named_with_its_package(self) -> None:
        lack = libvirtd.missing_prerequisite(0, str(self.folder))

        self.assertRegex(str(lack), r'needs \w+: install the package libvirt-')


class PrivateHostTest(base.TestCase):
    """A host that was not started."""

    def test_name_must_be_a_host_name(self) -> None:
        for name in ('', 'a/b', 'Alpha', '-a', 'a' * 32):
            self.assertRaises(ValueError, libvirtd.PrivateHost, name)

    def test_host_that_is_not_started_says_so(self) -> None:
        host = libvirtd.PrivateHost('alpha')

        self.assertIsNone(host.daemon_pid)
        self.assertIsNone(host.guest_pid('one'))
        self.assertIsNone(host.holder_pid)
        for call in (lambda: host.uri, lambda: host.run(['true']),
                     lambda: host.virsh('list'), host.kill_daemon):
            self.assertRaises(libvirtd.HostError, call)
        host.stop()


class CapabilityCacheTest(base.TestCase):
    """The shared folder of what is known about QEMU."""

    def setUp(self) -> None:
        super().setUp()
        folder = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        self.shared = folder / 'deep' / 'shared'
        self.first, self.second = folder / 'first', folder / 'second'

    def test_next_host_gets_what_was_learned(self) -> None:
        capability_cache.load(self.first, self.shared)
        learned = self.first / 'qemu' / 'capabilities' / 'binary.xml'
        learned.write_text('<qemuCaps/>')

        capability_cache.save(self.first, self.shared)
        capability_cache.load(self.second, self.shared)

        copied = self.second / 'qemu' / 'capabilities' / 'binary.xml'
        self.assertEqual('<qemuCaps/>', copied.read_text())
        self.assertEqual(0o700, self.shared.stat().st_mode & 0o777)

    def test_new_knowledge_replaces_old(self) -> None:
        self.shared.mkdir(parents=True)
        (self.shared / 'binary.xml').write_text('old')
        capability_cache.load(self.first, self.shared)
        (self.first / 'qemu/capabilities/binary.xml').write_text('new')

        capability_cache.save(self.first, self.shared)

        self.assertEqual(
            {'binary.xml': 'new'},
            {path.name: path.read_text() for path in self.shared.iterdir()})

    def test_folder_does_not_follow_a_home_moved_by_a_test(self) -> None:
        before = capability_cache.default_folder()

        self.useFixture(fixtures.EnvironmentVariable('HOME', '/elsewhere'))

        self.assertEqual(before, capability_cache.default_folder())
