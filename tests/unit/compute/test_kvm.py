# SPDX-License-Identifier: Apache-2.0

import os
import pathlib
import stat
import time

import fixtures

from nova_libvirt_driver.compute import kvm
from tests import base

Verdict = kvm.Verdict


class VerdictTestCase(base.TestCase):
    """With programs that stand in for QEMU: what they do, not what it is."""

    def setUp(self) -> None:
        super().setUp()
        self.folder = self.useFixture(fixtures.TempDir()).path
        self.device = os.path.join(self.folder, 'kvm')
        pathlib.Path(self.device).touch()
        # The shell is found, and no QEMU but the test's.
        self.useFixture(fixtures.EnvironmentVariable(
            'PATH', f'{self.folder}:/bin:/usr/bin'))

    def emulator(self, script: str) -> pathlib.Path:
        path = pathlib.Path(self.folder, 'qemu-system-x86_64')
        path.write_text(f'#!/bin/sh\necho >>{self.folder}/runs\n{script}\n')
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
        return path

    def runs(self) -> int:
        return len(
            pathlib.Path(self.folder, 'runs').read_text().splitlines())

    def verdict(self) -> Verdict:
        return kvm.verdict(self.folder, self.device)

    def test_a_guest_that_ends_as_it_is_told_to_shows_that_kvm_works(
            self) -> None:
        self.emulator('exit 85')

        self.assertEqual(Verdict.WORKS, self.verdict())

    def test_a_guest_that_stands_still_shows_that_it_does_not(self) -> None:
        self.emulator('exec sleep 60')

        before = time.monotonic()

        self.assertEqual(Verdict.BROKEN, self.verdict())
        self.assertLess(time.monotonic() - before, 30)
        self.assertEqual(Verdict.BROKEN, self.verdict())
        self.assertEqual(1, self.runs())

    def test_a_qemu_that_fails_at_once_shows_nothing(self) -> None:
        for number, script in enumerate(('exit 1', 'exit 0'), 1):
            self.emulator(script)

            self.assertEqual(Verdict.UNTRIED, self.verdict(), script)
            # Not kept: it may be for want of memory.
            self.assertEqual(number, self.runs())

    def test_the_outcome_is_kept_until_there_is_another_qemu(self) -> None:
        self.emulator('exit 85')

        self.assertEqual([Verdict.WORKS] * 2,
                         [self.verdict(), self.verdict()])
        self.assertEqual(1, self.runs())

        os.utime(self.emulator('exit 1'), (0, 0))

        self.assertEqual(Verdict.UNTRIED, self.verdict())

    def test_a_damaged_record_is_no_outcome(self) -> None:
        self.emulator('exit 85')
        for damage in ('', '[', '{}', '[1, 2, 3]', '[["x"], "works"]'):
            pathlib.Path(self.folder, 'kvm.json').write_text(damage)

            self.assertEqual(Verdict.WORKS, self.verdict(), damage)

    def test_a_folder_that_is_not_there_only_costs_another_trial(
            self) -> None:
        self.emulator('exit 85')

        self.assertEqual(Verdict.WORKS, kvm.verdict(
            os.path.join(self.folder, 'gone'), self.device))

    def test_without_a_device_nothing_is_tried(self) -> None:
        self.emulator('exit 85')
        os.unlink(self.device)

        self.assertEqual(Verdict.MISSING, self.verdict())
        self.assertFalse(os.path.exists(os.path.join(self.folder, 'runs')))
