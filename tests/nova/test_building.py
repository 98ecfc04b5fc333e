# SPDX-License-Identifier: Apache-2.0

"""Building a server, and what is left when that fails."""

from collections.abc import Iterator
import contextlib
import importlib
from typing import Any
import unittest
from unittest import mock

from nova import exception as nova_exception

import nova.conf
from nova_libvirt_driver import base
from nova_libvirt_driver import exception
from nova_libvirt_driver.nova_plugin import building
from nova_libvirt_driver.testing import fake_images
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


class FakeDriver(base.ComputeDriver):
    """Goes through the steps of a spawn.

    :param fails_at: step at which it fails
    """

    def __init__(self, fails_at: str = '') -> None:
        super().__init__()
        self.fails_at = fails_at
        self.destroyed = 0

    def spawn(self, spec: Any, *, images: Any = None, power_on: bool = True,
              progress: Any = base.NO_PROGRESS) -> None:
        for name in ('check', 'image', 'start', 'finish'):
            progress.step(name)
            if name == self.fails_at:
                raise exception.InstanceExists(instance='i', host='h')

    def destroy(self, instance: Any, *, destroy_disks: bool = True) -> None:
        self.destroyed += 1


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


class BuildTest(unittest.TestCase):

    def setUp(self) -> None:
        for name in ('plug', 'unplug'):
            patch = mock.patch(f'os_vif.{name}', autospec=True)
            setattr(self, name, patch.start())
            self.addCleanup(patch.stop)
        self.addCleanup(CONF.clear_override, 'vif_plugging_is_fatal')

    def build(self, driver: FakeDriver, virtapi: FakeVirtAPI, *,
              active: bool = False) -> None:
        building.Build(
            driver, virtapi, test_translate.make_instance(),
            [test_translate.make_vif('ovs', active=active)]).run(
                specs.guest_spec('a'), fake_images.MemoryImages(),
                power_on=True)

    def calls(self) -> tuple[int, int]:
        """Return how often a port was plugged, and unplugged."""
        return (getattr(self, 'plug').call_count,
                getattr(self, 'unplug').call_count)

    def test_ports_are_plugged_and_waited_for(self) -> None:
        driver, virtapi = FakeDriver(), FakeVirtAPI()

        self.build(driver, virtapi)

        self.assertEqual(
            [[('network-vif-plugged', test_translate.PORT_ID)]],
            virtapi.waited)
        self.assertEqual((1, 0), self.calls())
        self.assertEqual(0, driver.destroyed)

    def test_a_port_that_is_there_is_not_waited_for(self) -> None:
        virtapi = FakeVirtAPI()

        self.build(FakeDriver(), virtapi, active=True)

        self.assertEqual([], virtapi.waited)
        self.assertEqual((1, 0), self.calls())

    def test_a_guest_that_was_there_before_is_left_alone(self) -> None:
        driver = FakeDriver('check')

        self.assertRaises(exception.InstanceExists, self.build, driver,
                          FakeVirtAPI())

        self.assertEqual((0, 0), self.calls())
        self.assertEqual(0, driver.destroyed)

    def test_a_guest_that_does_not_start_is_unplugged(self) -> None:
        driver = FakeDriver('start')

        self.assertRaises(exception.InstanceExists, self.build, driver,
                          FakeVirtAPI())

        self.assertEqual((1, 1), self.calls())
        self.assertEqual(0, driver.destroyed)

    def test_a_word_that_does_not_come_ends_the_guest(self) -> None:
        driver = FakeDriver()

        self.assertRaises(
            nova_exception.VirtualInterfaceCreateException, self.build,
            driver, FakeVirtAPI(timeout()))

        self.assertEqual((1, 1), self.calls())
        self.assertEqual(1, driver.destroyed)

    def test_unless_that_is_not_fatal(self) -> None:
        CONF.set_override('vif_plugging_is_fatal', False)
        driver = FakeDriver()

        self.build(driver, FakeVirtAPI(timeout()))

        self.assertEqual((1, 0), self.calls())
        self.assertEqual(0, driver.destroyed)
