# SPDX-License-Identifier: Apache-2.0

"""What every test of this suite starts from, and what it must leave behind.

A test leaves no thread running, no warning raised by the package unseen and
no configuration option changed.
"""

from collections.abc import Collection
import os
import threading
import time

import fixtures
from oslo_config import fixture as config_fixture
from oslotest import base

from nova_libvirt_driver.calls import runtime

#: Threads that serve the whole process, hence outlive the test that first
#: needed them: libvirt's event loop and the pool for its blocking calls.
PROCESS_THREADS = ('libvirt-loop', 'libvirt-call')

#: How long a thread that was told to stop may take to do so.
THREAD_GRACE_S = 20.0


def eventlet_mode() -> bool:
    """Tell whether the suite runs in an eventlet-patched process."""
    return os.environ.get('NOVA_LIBVIRT_TEST_EVENTLET') == '1'


class TestCase(base.BaseTestCase):
    """Base class of all tests."""

    def setUp(self) -> None:
        # Cleanups run in reverse: registered before anything else, this
        # one sees what is left when all others are done.
        self.addCleanup(
            self._fail_on_leaked_threads, frozenset(threading.enumerate())
        )
        super().setUp()
        self.useFixture(
            fixtures.WarningsFilter(
                [
                    {
                        'action': 'error',
                        'module': r'nova_libvirt_driver(\.|$)',
                    }
                ]
            )
        )
        self.config = self.useFixture(config_fixture.Config())

    def _fail_on_leaked_threads(
        self, before: Collection[threading.Thread]
    ) -> None:
        deadline = time.monotonic() + THREAD_GRACE_S
        leaked = []
        for thread in threading.enumerate():
            if thread in before or not _belongs_to_a_test(thread):
                continue
            if not runtime.join(
                    thread, max(0.0, deadline - time.monotonic())):
                leaked.append(thread.name)
        self.assertEqual([], leaked, 'threads left running by the test')


def _belongs_to_a_test(thread: threading.Thread) -> bool:
    # A thread that Python did not start (libvirt's own, calling back) has
    # a stand-in object that stays alive for ever; nobody can end it.
    if isinstance(thread, threading._DummyThread):
        return False
    return not thread.name.startswith(PROCESS_THREADS)
