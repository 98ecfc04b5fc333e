# SPDX-License-Identifier: Apache-2.0

import subprocess
import sys

from nova_libvirt_driver.connection import native
from tests import base

IMPORT = 'from nova_libvirt_driver.connection import native'
ANSWER = 'print(native.in_eventlet_process())'

# What a process did before it asks, and what it is then.
PROCESSES = (
    ('', 'False'),
    # Some library imports eventlet; the threads are still native.
    ('import eventlet', 'False'),
    ('import eventlet; eventlet.monkey_patch(thread=False)', 'False'),
    ('import eventlet; eventlet.monkey_patch()', 'True'),
    ('import eventlet; eventlet.monkey_patch(thread=True)', 'True'),
)


def run(*lines: str) -> str:
    """Run lines in a process of their own; return what they print."""
    return subprocess.run(
        [sys.executable, '-W', 'ignore', '-c', '\n'.join(lines)],
        check=True, stdout=subprocess.PIPE, text=True,
        timeout=30).stdout.strip()


class ProcessTest(base.TestCase):

    def test_patched_threads_make_an_eventlet_process(self) -> None:
        for before, wanted in PROCESSES:
            self.assertEqual(wanted, run(before, IMPORT, ANSWER), before)

    def test_patching_may_come_after_the_import(self) -> None:
        self.assertEqual('True', run(
            IMPORT, 'import eventlet', 'eventlet.monkey_patch()', ANSWER))

    def test_asking_imports_no_eventlet(self) -> None:
        self.assertEqual('False', run(
            'import sys', IMPORT, 'native.in_eventlet_process()',
            'native.original("threading")',
            'print("eventlet" in sys.modules)'))

    def test_this_process_knows_its_mode(self) -> None:
        self.assertEqual(base.eventlet_mode(),
                         native.in_eventlet_process())


class OriginalTest(base.TestCase):

    def test_module_is_the_usual_one_without_eventlet(self) -> None:
        self.assertEqual('True True', run(
            IMPORT, 'import queue, threading',
            'print(native.original("threading") is threading, '
            'native.original("queue") is queue)'))

    def test_thread_of_an_eventlet_process_can_be_native(self) -> None:
        inside: list[int] = []
        module = native.original('threading')
        thread = module.Thread(
            target=lambda: inside.append(module.get_native_id()))

        thread.start()
        thread.join(10)

        self.assertEqual(1, len(inside))
        self.assertNotEqual(module.get_native_id(), inside[0])
