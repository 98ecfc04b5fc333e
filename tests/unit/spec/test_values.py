# SPDX-License-Identifier: Apache-2.0

from collections.abc import Iterator
import dataclasses
import enum
import inspect
import pickle
from types import ModuleType
from typing import Any

from nova_libvirt_driver.spec import connection
from nova_libvirt_driver.spec import event
from nova_libvirt_driver.spec import host
from nova_libvirt_driver.spec import instance
from tests import base

MODULES = (connection, event, host, instance)

# The numbers that a compute service knows.
POWER_STATES = {'NOSTATE': 0, 'RUNNING': 1, 'PAUSED': 3, 'SHUTDOWN': 4,
                'CRASHED': 6, 'SUSPENDED': 7}


def own_classes(module: ModuleType) -> Iterator[type]:
    """Yield the classes that a module defines."""
    for _, kind in inspect.getmembers(module, inspect.isclass):
        if kind.__module__ == module.__name__:
            yield kind


def examples() -> Iterator[object]:
    """Yield a value of each dataclass; texts stand for any type."""
    for module in MODULES:
        for kind in own_classes(module):
            if dataclasses.is_dataclass(kind):
                yield kind(**{field.name: f'some {field.name}'
                              for field in dataclasses.fields(kind)})


def _field_names(value: Any) -> list[str]:
    return [field.name for field in dataclasses.fields(value)]


class ValueTest(base.TestCase):

    def test_there_are_values(self) -> None:
        self.assertGreater(len(list(examples())), 10)

    def test_no_value_can_be_changed(self) -> None:
        for value in examples():
            for name in _field_names(value):
                self.assertRaises(dataclasses.FrozenInstanceError,
                                  setattr, value, name, 'x')

    def test_equal_values_are_equal_and_can_be_kept_in_sets(self) -> None:
        for one, other in zip(examples(), examples()):
            self.assertEqual(one, other)
            self.assertEqual(1, len({one, other}))

    def test_values_survive_pickling(self) -> None:
        for value in examples():
            self.assertEqual(value, pickle.loads(pickle.dumps(value)))

    def test_there_are_values_and_their_words_only(self) -> None:
        for module in MODULES:
            for kind in own_classes(module):
                self.assertTrue(
                    dataclasses.is_dataclass(kind)
                    or issubclass(kind, enum.Enum)
                    or getattr(kind, '_is_protocol', False), kind)


class PowerStateTest(base.TestCase):

    def test_numbers_are_those_of_the_contract(self) -> None:
        self.assertEqual(POWER_STATES, {
            state.name: int(state) for state in instance.PowerState})


class TransitionTest(base.TestCase):

    def test_each_is_a_word(self) -> None:
        self.assertEqual(
            ['started', 'stopped', 'paused', 'resumed', 'suspended',
             'postcopy-started', 'migration-completed', 'crashed'],
            [str(item) for item in event.Transition])


class EventTest(base.TestCase):

    def test_fields_have_to_be_named(self) -> None:
        for kind in (event.GuestEvent, event.LifecycleEvent,
                     event.DeviceEvent):
            self.assertRaises(TypeError, kind, 'uuid', 'name', 1, 0.0)

    def test_event_is_real_unless_said_otherwise(self) -> None:
        item = event.LifecycleEvent(
            uuid='u', name='n', generation=1, timestamp=0.0,
            transition=event.Transition.STARTED)

        self.assertFalse(item.synthesized)
        self.assertEqual('', item.detail)


class InstanceTest(base.TestCase):

    def test_reference_is_enough_to_find_a_guest(self) -> None:
        found: instance.Instance = instance.InstanceRef('u', 'n')

        self.assertEqual(('u', 'n'), (found.uuid, found.name))

    def test_sizes_may_be_unknown(self) -> None:
        row = instance.InstanceSummary(
            'u', 'n', instance.PowerState.RUNNING)

        self.assertEqual((None, None), (row.vcpus, row.memory_mib))
