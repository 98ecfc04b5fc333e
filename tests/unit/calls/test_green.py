# SPDX-License-Identifier: Apache-2.0

"""Libvirt in an eventlet process.

In the other mode these tests run in a process of their own.
"""

import ast
from collections.abc import Callable
import importlib
import inspect
import os
import pathlib
import subprocess
import sys
import threading
import time
from types import ModuleType
from typing import Any
import unittest

import libvirt

from nova_libvirt_driver.calls import runtime
from nova_libvirt_driver.calls import turn
from nova_libvirt_driver.connection import opener
from tests import base


def green() -> ModuleType:
    """Return the module; it is for an eventlet process alone."""
    return importlib.import_module('nova_libvirt_driver.calls.green')


def wrap(value: Any) -> Any:
    """Return a value as a session gives it to its callers."""
    return turn.wrap(value, turn.Turn(
        host='here', timeout_s=60, run=green().execute))


class Slow(libvirt.virConnect):  # type: ignore[misc]
    """A connection whose call takes its time."""

    def __init__(self) -> None:
        self.threads: list[int] = []
        self.take_time: Callable[[], object] = lambda: None

    def __del__(self) -> None:
        # There is nothing of the library to free.
        pass

    def getHostname(self) -> str:
        self.threads.append(runtime.original('threading').get_ident())
        self.take_time()
        return 'slow'


class WrapTest(base.TestCase):
    """Objects of libvirt's own in-process hypervisor."""

    def setUp(self) -> None:
        super().setUp()
        # It also keeps the library from printing its errors.
        opener.ensure_loop()
        self.connection = wrap(green().run(
            lambda: libvirt.open('test:///default'), 10))
        self.addCleanup(self.connection.close)

    def assert_wrapped(self, *values: Any) -> None:
        for value in values:
            self.assertIs(turn.Proxy, type(value))

    def test_connection_is_wrapped(self) -> None:
        self.assert_wrapped(self.connection)
        self.assertEqual('TEST', self.connection.getType())

    def test_objects_from_a_lookup_are_wrapped(self) -> None:
        domain = self.connection.lookupByName('test')

        self.assert_wrapped(
            domain, self.connection.networkLookupByName('default'),
            self.connection.storagePoolLookupByName('default-pool'))
        self.assertEqual('test', domain.name())

    def test_objects_in_lists_are_wrapped(self) -> None:
        domains = self.connection.listAllDomains(0)

        self.assertIs(list, type(domains))
        self.assertEqual(['test'], [one.name() for one in domains])
        self.assert_wrapped(
            *domains, *self.connection.listAllNetworks(0),
            *self.connection.listAllStoragePools(0))

    def test_objects_of_wrapped_objects_are_wrapped(self) -> None:
        pool, = self.connection.listAllStoragePools(0)

        volume = pool.createXML(
            '<volume><name>one</name><capacity>1</capacity></volume>', 0)
        self.assert_wrapped(volume, *pool.listAllVolumes(0))
        self.assertEqual(['one'], pool.listVolumes())

    def test_connection_of_a_wrapped_domain_is_wrapped(self) -> None:
        domain, = self.connection.listAllDomains(0)

        self.assert_wrapped(domain.connect())

    def test_records_beside_a_wrapped_domain_stay_plain(self) -> None:
        (domain, record), = self.connection.getAllDomainStats(
            libvirt.VIR_DOMAIN_STATS_STATE, 0)

        self.assert_wrapped(domain)
        self.assertIs(dict, type(record))
        self.assertEqual(libvirt.VIR_DOMAIN_RUNNING,
                         record['state.state'])

    def test_plain_values_are_not_wrapped(self) -> None:
        for value, kind in (
                (self.connection.getHostname(), str),
                (self.connection.getLibVersion(), int),
                (self.connection.listDomainsID(), list),
                (self.connection.getInfo(), list)):
            self.assertIs(kind, type(value))
        for item in self.connection.listDomainsID():
            self.assertIs(int, type(item))

    def test_errors_come_as_they_are(self) -> None:
        error = self.assertRaises(
            libvirt.libvirtError, self.connection.lookupByName, 'nope')

        self.assertEqual(libvirt.VIR_ERR_NO_DOMAIN,
                         error.get_error_code())

    def test_wrapping_twice_is_wrapping_once(self) -> None:
        self.assertIs(self.connection, wrap(self.connection))


class ValueTest(base.TestCase):

    def test_containers_keep_their_kind(self) -> None:
        slow = Slow()
        for value in ([slow], (slow,), [(slow, {'a': 1})],
                      ([slow], None)):
            wrapped = wrap(value)

            self.assertIs(type(value), type(wrapped))
            self.assertEqual(value, wrapped)
            self.assertIn('Proxy', _types(wrapped))

    def test_plain_values_are_themselves(self) -> None:
        for value in (None, 0, 'a', b'b', {'a': 1}, {1}, object()):
            self.assertIs(value, wrap(value))

    def test_every_public_class_of_the_library_is_known(self) -> None:
        source = pathlib.Path(inspect.getfile(libvirt)).read_text()
        names = {node.name for node in ast.parse(source).body
                 if isinstance(node, ast.ClassDef)
                 and node.name.startswith('vir')}

        self.assertGreaterEqual(names, {
            'virConnect', 'virDomain', 'virDomainSnapshot',
            'virNetwork', 'virNodeDevice', 'virSecret',
            'virStoragePool', 'virStorageVol', 'virStream'})
        self.assertEqual(
            names, {kind.__name__ for kind in turn.VIR_CLASSES})


class HubTest(base.TestCase):

    def setUp(self) -> None:
        super().setUp()
        self.ticks = 0
        # Native, as a call waits for it.
        self.ticked = runtime.original('threading').Event()
        self.ended = threading.Event()
        ticker = threading.Thread(target=self._tick)
        ticker.start()
        self.addCleanup(ticker.join, 10)
        self.addCleanup(self.ended.set)

    def _tick(self) -> None:
        while not self.ended.is_set():
            self.ticks += 1
            if self.ticks > 10:
                self.ticked.set()
            time.sleep(0.005)

    def _wait_for_others(self) -> bool:
        """Say whether they run; without it they never do."""
        self.ticks = 0
        self.ticked.clear()
        return bool(self.ticked.wait(20))

    def test_others_run_during_a_call(self) -> None:
        self.assertTrue(green().run(self._wait_for_others, 60))

    def test_others_run_during_a_call_of_an_object(self) -> None:
        slow, found = Slow(), []
        slow.take_time = lambda: found.append(self._wait_for_others())
        wrapped = wrap([slow])[0]

        self.assertEqual('slow', wrapped.getHostname())

        self.assertEqual([True], found)
        self.assertNotEqual(
            [runtime.original('threading').get_ident()], slow.threads)

    def test_deadline_passes_during_a_call(self) -> None:
        hang = runtime.original('threading').Event()
        self.addCleanup(hang.set)
        started = time.monotonic()

        self.assertRaises(
            green().Expired, green().run, lambda: hang.wait(60), 0.1)

        self.assertLess(time.monotonic() - started, 30)

    def test_expiry_is_taken_for_no_failure(self) -> None:
        self.assertFalse(issubclass(green().Expired, Exception))


class OtherProcessTest(base.TestCase):

    def test_all_is_well_in_an_eventlet_process(self) -> None:
        result = subprocess.run(
            [sys.executable, '-W', 'ignore', '-m', 'testtools.run',
             __name__],
            env=os.environ | {'NOVA_LIBVIRT_TEST_EVENTLET': '1'},
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            timeout=300)

        self.assertEqual(0, result.returncode, result.stdout)
        self.assertRegex(result.stdout, r'Ran \d\d tests')


EVENTLET_TESTS = (WrapTest, ValueTest, HubTest)
NATIVE_TESTS = (OtherProcessTest,)


def load_tests(
        loader: unittest.TestLoader, found: unittest.TestSuite,
        pattern: str | None) -> unittest.TestSuite:
    """Choose the tests that fit this process."""
    return unittest.TestSuite(
        loader.loadTestsFromTestCase(kind) for kind in
        (EVENTLET_TESTS if base.eventlet_mode() else NATIVE_TESTS))


def _types(value: Any) -> set[str]:
    """Return the names of the types of a value and of what is in it."""
    found = {type(value).__name__}
    if isinstance(value, (list, tuple)):
        found = found.union(*(_types(item) for item in value))
    return found
