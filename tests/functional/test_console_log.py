# SPDX-License-Identifier: Apache-2.0

"""The console log of a guest that never stops writing to it."""

import contextlib
import itertools
import pathlib

from nova_libvirt_driver.testing import fake_ports
from nova_libvirt_driver.testing import guests
from nova_libvirt_driver.testing import specs
from tests.functional import guest_base

MIB = 1 << 20
DISK_BYTES = 1 << 20
LINE_BYTES = len('00000000\r\n')
# What a guest writes between two looks; one that is emulated writes less.
SLACK_BYTES = 4 * MIB
TIMEOUT_S = 240.0


class ConsoleLogTestCase(guest_base.GuestTestCase):
    """Has a guest that writes numbers, one in a line."""

    own_options = {'console_log_max_size': 1}

    def setUp(self) -> None:
        super().setUp()
        image = self.images.add(
            guests.counting_sector().ljust(DISK_BYTES, b'\0'))
        self.spec = specs.guest_spec('web', image.id)
        self.log_path = (
            self.instances_path / self.spec.uuid / 'console.log')


class ConsoleLogTest(ConsoleLogTestCase):
    """QEMU writes the log itself: the host has no log daemon."""

    def old(self, number: int) -> pathlib.Path:
        return self.log_path.with_name(f'console.log.{number}')

    def size_bytes(self) -> int:
        """Return the length of the log and all older ones."""
        found = 0
        for path in self.log_path.parent.glob('console.log*'):
            # It may have got its next name meanwhile.
            with contextlib.suppress(FileNotFoundError):
                found += path.stat().st_size
        return found

    def test_a_guest_that_never_stops_writing_fills_no_disk(self) -> None:
        self.driver.spawn(self.spec)
        fake_ports.wait_until(
            lambda: self.old(2).exists() and self.log_path.stat().st_size,
            'three old logs', timeout_s=TIMEOUT_S)

        self.assertLess(self.log_path.stat().st_size, MIB + SLACK_BYTES)
        self.assertLess(self.size_bytes(), 4 * MIB + SLACK_BYTES)

        self.driver.power_off(self.spec)
        written = b''.join(path.read_bytes() for path in (
            self.old(1), self.old(0), self.log_path))
        numbers = [int(line) for line in written.splitlines()
                   if len(line) + 2 == LINE_BYTES]
        # Between two files only; how much depends on how long the machine
        # lets QEMU write between two system calls of ours.
        gaps = sum(b != a + 1 for a, b in itertools.pairwise(numbers))
        self.assertLessEqual(gaps, 2)
        self.assertEqual(sorted(set(numbers)), numbers)
        output = self.driver.get_console_output(self.spec)
        self.assertEqual(written[-len(output):], output)
        self.assertEqual(100 * 1024, len(output))


class DaemonsLogTest(ConsoleLogTestCase):
    """Virtlogd writes the log, and rotates it much later."""

    virtlogd_settings = {'max_size': 64 * MIB}

    def test_a_log_of_virtlogd_is_left_to_it(self) -> None:
        self.driver.spawn(self.spec)

        fake_ports.wait_until(
            lambda: self.log_path.exists()
            and self.log_path.stat().st_size > 3 * MIB,
            'a log that is too long', timeout_s=TIMEOUT_S)

        self.assertEqual([self.log_path],
                         list(self.log_path.parent.glob('console.log*')))
