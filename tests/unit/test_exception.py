# SPDX-License-Identifier: Apache-2.0

from collections.abc import Iterator
import pickle
import re

from nova_libvirt_driver import exception
from tests import base

_FIELD = re.compile(r'%\((?P<name>\w+)\)[^a-z]*(?P<kind>[a-z])')


def tree(
        kind: type[exception.DriverError] = exception.DriverError
) -> Iterator[type[exception.DriverError]]:
    """Yield a class and all that derive from it."""
    yield kind
    for derived in kind.__subclasses__():
        if derived.__module__ == exception.__name__:
            yield from tree(derived)


def declared(kind: type[exception.DriverError]) -> dict[str, object]:
    """Return a value for each field of the template without a default."""
    return {match['name']: 7 if match['kind'] in 'dgf' else 'a 100 % text'
            for match in _FIELD.finditer(kind.template)
            if match['name'] not in kind.defaults}


class TemplateTest(base.TestCase):

    def test_every_message_can_be_formatted(self) -> None:
        for kind in tree():
            error = kind(**declared(kind))

            self.assertTrue(str(error), kind.__name__)
            self.assertNotIn('%(', str(error))

    def test_every_next_step_needs_only_the_same_fields(self) -> None:
        for kind in tree():
            error = kind(**declared(kind))

            self.assertNotIn('%(', error.next_step)
            self.assertEqual(kind is not exception.DriverError,
                             bool(error.next_step), kind.__name__)

    def test_all_values_are_in_the_message(self) -> None:
        for kind in tree():
            fields = declared(kind)

            message = str(kind(**fields))

            for value in fields.values():
                self.assertIn(str(value), message, kind.__name__)

    def test_a_number_is_no_path(self) -> None:
        for path in (5, None, ''):
            error = exception.StorageFailure(reason='no room', path=path)

            self.assertTrue(error.next_step.endswith('to write'))
        copy = pickle.loads(pickle.dumps(
            exception.StorageFailure(reason='no room', path='/i')))
        self.assertTrue(copy.next_step.endswith('to write: /i'))

    def test_missing_field_is_an_error_of_the_raiser(self) -> None:
        for kind in tree():
            if declared(kind):
                self.assertRaises(KeyError, kind)

    def test_fields_can_be_read_defaults_included(self) -> None:
        error = exception.HypervisorUnavailable(host='rack1')

        self.assertEqual('rack1', error.fields['host'])
        self.assertIn(str(error.fields['reason']), str(error))
        self.assertEqual(error.fields['hint'], error.next_step)

    def test_given_value_wins_over_the_default(self) -> None:
        error = exception.HypervisorUnavailable(
            host='rack1', reason='it is on fire', hint='run')

        self.assertIn('it is on fire', str(error))
        self.assertEqual('run', error.next_step)

    def test_errors_survive_pickling(self) -> None:
        for kind in tree():
            error = kind(**declared(kind))

            copy = pickle.loads(pickle.dumps(error))

            self.assertIs(kind, type(copy))
            self.assertEqual((str(error), error.fields),
                             (str(copy), copy.fields))

    def test_two_errors_share_no_fields(self) -> None:
        one = exception.HypervisorUnavailable(host='rack1')
        one.fields['reason'] = 'changed'

        self.assertNotEqual(
            'changed',
            exception.HypervisorUnavailable(host='rack1').fields['reason'])


class TreeTest(base.TestCase):

    def test_drawing_shows_exactly_the_classes_there_are(self) -> None:
        self.assertEqual(
            sorted(kind.__name__ for kind in tree()), sorted(drawn()))

    def test_drawing_shows_who_derives_from_whom(self) -> None:
        for name, parent in drawn().items():
            kind = getattr(exception, name)
            expected = 'Exception' if parent is None else parent

            self.assertEqual((expected,), tuple(
                one.__name__ for one in kind.__bases__), name)

    def test_there_are_few_of_them(self) -> None:
        self.assertLessEqual(len(list(tree())), 39)

    def test_whoever_handles_no_connection_handles_a_timeout_too(
            self) -> None:
        self.assertTrue(issubclass(
            exception.CallTimeout, exception.HypervisorUnavailable))


def drawn() -> dict[str, str | None]:
    """Return each class of the drawing with the one above it."""
    found: dict[str, str | None] = {}
    above: list[tuple[int, str]] = []
    for line in (exception.__doc__ or '').splitlines():
        match = re.fullmatch(r'(?P<edge>[ |]*(?:\+- )?)(?P<name>[A-Z]\w+)'
                             r'(?:  .*)?', line)
        if match is None or not line.startswith('    '):
            continue
        depth = len(match['edge'])
        while above and above[-1][0] >= depth:
            above.pop()
        found[match['name']] = above[-1][1] if above else None
        above.append((depth, match['name']))
    return found
