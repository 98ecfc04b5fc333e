# SPDX-License-Identifier: Apache-2.0

"""What the tests of a cloud start from, and what they must leave behind."""

import time
from typing import Any
import unittest

from checks import session

from tests.cloud import host

# 2.90 is old enough for every Nova that the driver works under.
VERSIONS = {'compute_default_microversion': '2.90'}
SETTLE_S = 120


def check(name: str) -> session.Check:
    """Return a connection with what servers need."""
    return session.Check(name, **VERSIONS)


def rested(check: session.Check, server: Any) -> Any:
    """Wait until nothing is being done to a server; return it."""
    deadline = time.monotonic() + SETTLE_S
    while (found := check.cloud.compute.get_server(server.id)).task_state:
        if time.monotonic() > deadline:
            raise session.Failed(
                f'{found.task_state} for more than {SETTLE_S} s')
        time.sleep(0.5)
    return found


def settled(check: session.Check, server: Any, status: str) -> Any:
    """Wait until a server has a status and nothing is being done to it.

    :raises Failed: it has another one, for too long or because of an error
    """
    deadline = time.monotonic() + SETTLE_S
    while (found := rested(check, server)).status != status:
        if found.status == 'ERROR' or time.monotonic() > deadline:
            raise session.Failed(
                f'{found.status}, not {status}: {found.fault}')
        time.sleep(0.5)
    return found


def nothing_left(before: host.Traces) -> None:
    """Wait until the host is as it was.

    Neutron removes the neighbours of the last port in its own time.
    """
    deadline = time.monotonic() + SETTLE_S
    while (now := host.traces()) != before:
        if time.monotonic() > deadline:
            raise AssertionError(f'left behind: {now}; before: {before}')
        time.sleep(1)


class CloudTest(unittest.TestCase):
    """A test that leaves the host as it was."""

    def setUp(self) -> None:
        self.addCleanup(nothing_left, host.traces())
        self.check = check('test')
        self.addCleanup(self.check.close)
