# SPDX-License-Identifier: Apache-2.0

"""Ports of this host that a test can listen at."""

import contextlib
import random
import socket


def first_of(count: int) -> int:
    """Return the first of *count* consecutive free ports.

    They are outside the range that the kernel uses for outgoing
    connections, so they stay free until the test uses them.
    """
    while True:
        # Seeds of tests are the same in each process.
        first = random.SystemRandom().randrange(20000, 30000)
        with contextlib.ExitStack() as stack:
            try:
                for port in range(first, first + count):
                    stack.enter_context(
                        socket.create_server(('127.0.0.1', port)))
            except OSError:
                continue
        return first
