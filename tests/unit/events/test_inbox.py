# SPDX-License-Identifier: Apache-2.0

import gc
import os
import queue
import threading
import time
from typing import Any
import unittest
from unittest import mock

from nova_libvirt_driver.calls import runtime
from nova_libvirt_driver.events import inbox
from nova_libvirt_driver.testing import fake_ports
from tests import base

wait_until = fake_ports.wait_until

_STOP = object()


class Reader:
    """A (green) thread that takes items until it is told to stop."""

    def __init__(self, source: inbox.Inbox) -> None:
        self._source = source
        self.items: list[Any] = []
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def _run(self) -> None:
        while True:
            item = self._source.get()
            if item is _STOP:
                return
            self.items.append(item)

    def stop(self) -> None:
        self._source.put(_STOP)
        self.thread.join(10)


def native_threads(*functions: Any) -> list[Any]:
    """Start functions on threads as libvirt has them, never green."""
    module = runtime.original('threading')
    threads = [module.Thread(target=function, daemon=True)
               for function in functions]
    for thread in threads:
        thread.start()
    return threads


class InboxTest(base.TestCase):

    def setUp(self) -> None:
        super().setUp()
        self.inbox = inbox.make()

    def read(self) -> Reader:
        reader = Reader(self.inbox)
        self.addCleanup(reader.stop)
        return reader

    def test_items_come_out_in_order(self) -> None:
        for number in range(100):
            self.inbox.put(number)
        self.assertEqual(100, self.inbox.qsize())

        self.assertEqual(list(range(100)),
                         [self.inbox.get() for _ in range(100)])
        self.assertEqual(0, self.inbox.qsize())

    def test_any_value_is_an_item(self) -> None:
        for item in (None, 0, '', (), self):
            self.inbox.put(item)

            self.assertIs(item, self.inbox.get())

    def test_blocked_reader_is_woken(self) -> None:
        reader = self.read()

        for number in range(20):
            self.inbox.put(number)
            wait_until(lambda: len(reader.items) == number + 1,
                       f'item {number}')

        self.assertEqual(list(range(20)), reader.items)

    def test_blocked_reader_is_woken_from_a_native_thread(self) -> None:
        reader = self.read()
        for number in range(20):
            thread, = native_threads(lambda: self.inbox.put(number))

            wait_until(lambda: len(reader.items) == number + 1,
                       f'item {number}')
            wait_until(lambda: not thread.is_alive(), 'the writer')

        self.assertEqual(list(range(20)), reader.items)

    def test_putting_never_blocks_without_a_reader(self) -> None:
        # More than a pipe of the system holds.
        done: list[float] = []

        def put_all() -> None:
            for number in range(100_000):
                self.inbox.put(number)
            done.append(time.monotonic())

        native_threads(put_all)
        wait_until(lambda: done, 'all put')

        self.assertEqual(100_000, self.inbox.qsize())
        self.assertEqual(list(range(100_000)),
                         [self.inbox.get() for _ in range(100_000)])
        # What woke the reader before must not be taken for an item.
        reader = self.read()
        self.inbox.put('afterwards')
        wait_until(lambda: reader.items == ['afterwards'], 'one item')

    def test_many_native_writers_lose_nothing(self) -> None:
        reader = self.read()

        def write(writer: int) -> None:
            for number in range(1000):
                self.inbox.put((writer, number))

        native_threads(*(lambda writer=writer: write(writer)
                         for writer in range(10)))
        wait_until(lambda: len(reader.items) == 10_000, '10,000 items')

        for writer in range(10):
            self.assertEqual(
                list(range(1000)),
                [number for who, number in reader.items if who == writer])

    def test_others_run_while_items_come_from_a_native_thread(self) -> None:
        reader = self.read()
        ticks: list[int] = []
        ended = threading.Event()

        def tick() -> None:
            while not ended.is_set():
                if reader.items and not written:
                    ticks.append(len(reader.items))
                time.sleep(0.001)

        written: list[int] = []

        def write() -> None:
            # On a busy machine it takes more of them until others have run.
            sleep = runtime.original('time').sleep
            number = 0
            while number < 10_000 or (number < 500_000 and len(ticks) < 10):
                self.inbox.put(number)
                number += 1
                if not number % 100:
                    sleep(0.002)
            written.append(number)

        ticker = threading.Thread(target=tick)
        ticker.start()
        self.addCleanup(ticker.join, 10)
        self.addCleanup(ended.set)
        native_threads(write)
        wait_until(lambda: written == [len(reader.items)], 'all items',
                   timeout_s=60)

        self.assertEqual(list(range(written[0])), reader.items)
        self.assertGreater(len(ticks), 5)

    def test_process_gets_the_inbox_that_fits_it(self) -> None:
        wanted = (inbox.GreenInbox if base.eventlet_mode()
                  else queue.SimpleQueue)

        self.assertIs(wanted, type(self.inbox))


@unittest.skipUnless(base.eventlet_mode(), 'needs green threads')
class GreenInboxTest(base.TestCase):

    def test_a_wake_for_nothing_does_not_end_the_reader(self) -> None:
        box = inbox.GreenInbox()
        wakes: list[int] = []

        def wake(*arguments: object, **keywords: object) -> None:
            wakes.append(1)
            if len(wakes) > 1:
                box.put('an event')

        with mock.patch('eventlet.hubs.trampoline', autospec=True,
                        side_effect=wake):
            self.assertEqual('an event', box.get())


class OpenFilesTest(base.TestCase):

    def test_inboxes_leave_no_open_files(self) -> None:
        # What earlier tests left to the garbage collector.
        gc.collect()
        before = len(os.listdir('/proc/self/fd'))

        made = 50
        for number in range(made):
            one = inbox.make()
            one.put(number)
            one.get()
        del one
        gc.collect()

        # Threads of earlier tests may open some meanwhile.
        self.assertLess(len(os.listdir('/proc/self/fd')), before + made)
