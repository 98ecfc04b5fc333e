# SPDX-License-Identifier: Apache-2.0

"""The ports of a server that is built."""

from collections.abc import Iterator
import contextlib
import importlib
from typing import Any
import unittest
from unittest import mock

from nova import exception as nova_exception

import nova.conf
from nova_libvirt_driver.nova_plugin import network
from nova_libvirt_driver.spec import guest as guest_spec
from nova_libvirt_driver.testing import specs
from tests.nova import test_translate

CONF = nova.conf.CONF


def timeout() -> BaseException:
    """Return what tells that a word has not come in time."""
    kind = getattr(nova_exception, 'InstanceEventTimeout', None)
    if kind is None:
        # That of Nova 31.
        kind = importlib.import_module('eventlet').Timeout
    made: BaseException = kind()
    return made


class FakeVirtAPI:
    """Waits for events, or runs out of time.

    :param error: what the end of the waiting raises
    """

    def __init__(self, error: BaseException | None = None) -> None:
        self.waited: list[list[tuple[str, str]]] = []
        self._error = error

    @contextlib.contextmanager
    def wait_for_instance_event(
            self, instance: Any, events: Any, timeout: int,
            error_callback: Any) -> Iterator[None]:
        self.waited.append(events)
        yield
        if self._error is not None:
            raise self._error


class NetworkTest(unittest.TestCase):

    def setUp(self) -> None:
        for name in ('plug', 'unplug'):
            patch = mock.patch(f'os_vif.{name}', autospec=True)
            setattr(self, name, patch.start())
            self.addCleanup(patch.stop)
        self.addCleanup(CONF.clear_override, 'vif_plugging_is_fatal')

    def network(
            self, virtapi: FakeVirtAPI, *,
            active: bool = False) -> network.NovaNetwork:
        return network.NovaNetwork(
            virtapi, test_translate.make_instance(),
            [test_translate.make_vif('ovs', active=active)],
            self.complete)

    def complete(self) -> guest_spec.GuestSpec:
        return specs.guest_spec('whole', 'image')

    def calls(self) -> tuple[int, int]:
        """Return how often a port was plugged, and unplugged."""
        return (getattr(self, 'plug').call_count,
                getattr(self, 'unplug').call_count)

    def test_nobody_waits_for_ports_before_they_are_needed(self) -> None:
        info = mock.MagicMock()

        made = network.NovaNetwork(
            FakeVirtAPI(), test_translate.make_instance(), info,
            self.complete)

        self.assertEqual([], info.mock_calls)
        self.assertEqual(
            'whole', made.completed(specs.guest_spec('bare', 'image')).name)

    def test_ports_are_plugged_and_waited_for(self) -> None:
        virtapi = FakeVirtAPI()

        with self.network(virtapi).connected() as wait:
            self.assertEqual((1, 0), self.calls())

        self.assertTrue(wait)
        self.assertEqual(
            [[('network-vif-plugged', test_translate.PORT_ID)]],
            virtapi.waited)

    def test_a_port_that_is_there_is_not_waited_for(self) -> None:
        virtapi = FakeVirtAPI()

        with self.network(virtapi, active=True).connected() as wait:
            self.assertEqual((1, 0), self.calls())

        self.assertFalse(wait)
        self.assertEqual([], virtapi.waited)

    def test_what_was_plugged_is_unplugged(self) -> None:
        made = self.network(FakeVirtAPI())

        made.disconnect()
        self.assertEqual((0, 0), self.calls())
        with made.connected():
            pass
        made.disconnect()
        self.assertEqual((1, 1), self.calls())

    def test_a_word_that_does_not_come_is_an_error(self) -> None:
        with self.assertRaises(
                nova_exception.VirtualInterfaceCreateException):
            with self.network(FakeVirtAPI(timeout())).connected():
                pass

    def test_unless_that_is_not_fatal(self) -> None:
        CONF.set_override('vif_plugging_is_fatal', False)

        with self.network(FakeVirtAPI(timeout())).connected() as wait:
            pass

        self.assertTrue(wait)
