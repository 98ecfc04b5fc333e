# SPDX-License-Identifier: Apache-2.0

import re
import time

import fixtures
import psutil

from nova_libvirt_driver.host import uptime
from tests import base

_LINE = re.compile(
    r' \d\d:\d\d:\d\d up (?P<up>.+?),  (?P<users>\d+ users?),'
    r'  load average: \d+\.\d\d, \d+\.\d\d, \d+\.\d\d')

_HOUR_S = 3600
_DAY_S = 24 * _HOUR_S


class UptimeTest(base.TestCase):

    def line(self) -> re.Match[str]:
        match = _LINE.fullmatch(uptime.text())
        assert match is not None
        return match

    def test_line_is_the_one_of_the_command(self) -> None:
        number, word = self.line()['users'].split()

        self.assertEqual('user' if number == '1' else 'users', word)

    def test_time_is_told_in_days_hours_and_minutes(self) -> None:
        for seconds, wanted in (
                (2 * _HOUR_S + 5 * 60, ' 2:05'),
                (13 * _HOUR_S + 59 * 60, '13:59'),
                (_DAY_S + 3 * _HOUR_S, '1 day,  3:00'),
                (40 * _DAY_S + 12 * _HOUR_S, '40 days, 12:00')):
            # Half a minute, so that no test meets the next minute.
            booted = time.time() - seconds - 30

            with fixtures.MonkeyPatch('psutil.boot_time', lambda: booted):
                self.assertEqual(wanted, self.line()['up'])

    def test_boot_of_this_machine_is_read(self) -> None:
        days = int(time.time() - psutil.boot_time()) // _DAY_S

        self.assertEqual(days > 0, 'day' in self.line()['up'])
