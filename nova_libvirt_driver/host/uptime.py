# SPDX-License-Identifier: Apache-2.0

"""How long the host has been up, in the words of uptime(1)."""

import datetime
import os
import time

import psutil


def text() -> str:
    """Return one line as ``uptime`` prints it.

    Read from the system, so that no process is started.
    """
    now = datetime.datetime.now()
    up = datetime.timedelta(seconds=int(time.time() - psutil.boot_time()))
    hours, minutes = divmod(up.seconds // 60, 60)
    users = len(psutil.users())
    load = ', '.join(f'{value:.2f}' for value in os.getloadavg())
    days = f'{up.days} day{"s" * (up.days != 1)}, ' if up.days else ''
    clock = f'{hours:2}:{minutes:02}' if hours else f'{minutes} min'
    return (f' {now:%H:%M:%S} up {days}{clock},  '
            f'{users} user{"s" * (users != 1)},  load average: {load}')
