# SPDX-License-Identifier: Apache-2.0

"""Compares both drivers for a share of the cases; a process of its own.

Prints one line of JSON for each case.
"""

from collections.abc import Callable
from collections.abc import Mapping
import contextlib
import dataclasses
import logging
import os
import re
import sys
import traceback
from typing import Any

from nova import exception as nova_exception

from tests.nova.differential import cases
from tests.nova.differential import comparison
from tests.nova.differential import drivers
from tests.nova.differential import guests


ONLY = os.environ.get('NOVA_LIBVIRT_CASES', '')
"""Matches the names of the cases that are tried, to look at some."""


@dataclasses.dataclass(frozen=True)
class Made:
    """What one driver makes of a case."""

    xml: str = ''
    kept: Mapping[str, str] = dataclasses.field(default_factory=dict)
    refusal: tuple[str, str] | None = None


class Worker:
    """Makes and compares guests.

    Drivers read some options when they are made, hence new ones for guests
    with others.
    """

    def __init__(self, uri: str, number: int) -> None:
        self._number = number
        self._libvirt = drivers.Libvirt(uri)
        self._made_for: Any = None
        self._host: Any = None
        self._sides: tuple[Any, Any] | None = None
        self._known: dict[str, tuple[Made, Made] | None] = {}

    def compare(self, case: cases.Case) -> dict[str, Any]:
        """Return what came of a case, as a line of the report."""
        line: dict[str, Any] = {'case': case.name}
        try:
            in_tree, ours = self._both(case)
        except guests.NotAsked as error:
            return {**line, 'not_asked': str(error)}
        for side, made in (('in_tree', in_tree), ('ours', ours)):
            if made.refusal:
                line[side] = made.refusal
        if not in_tree.refusal and not ours.refusal:
            line['differences'] = _lines(
                *comparison.differences(in_tree.xml, ours.xml),
                *comparison.kept(
                    in_tree.kept, ours.kept, but=case.properties))
        before = case.without and self._before(case.without)
        if before:
            line['dropped'] = _lines(*_dropped(before, (in_tree, ours)))
        return line

    def _before(self, case: cases.Case) -> tuple[Made, Made] | None:
        key = repr(dataclasses.replace(case, name='', without=None))
        if key not in self._known:
            self._known[key] = None
            with contextlib.suppress(guests.NotAsked):
                self._known[key] = self._both(case)
        return self._known[key]

    def _both(self, case: cases.Case) -> tuple[Made, Made]:
        with drivers.options(case):
            if self._made_for != case.options or self._sides is None:
                self._renew(case.options)
            assert self._sides is not None and self._host is not None
            in_tree, ours = self._sides
            made = self._made(in_tree, in_tree.xml, case)
            if case.rescue is None and not case.taken_over:
                return made, self._made(ours, ours.xml, case)
            before = made if case.rescue is None else self._made(
                in_tree, in_tree.xml, dataclasses.replace(case, rescue=None))
            if before.refusal:
                raise guests.NotAsked('there is no such guest before')
            with self._libvirt.defined(before.xml):
                xml = self._made(ours, ours.again, case, complete=False)
            return made, xml if xml.refusal else self._made(
                ours, lambda request: xml.xml, case)

    def _renew(self, options: tuple[cases.Option, ...]) -> None:
        sides, self._sides = self._sides, None
        if sides is not None:
            sides[1].close()
        try:
            in_tree = drivers.InTree()
            self._host = in_tree.numa()
        except nova_exception.NovaException as error:
            # Its service does not start.
            raise guests.NotAsked(str(error)) from error
        self._sides = in_tree, drivers.Ours()
        self._made_for = options

    def _made(
            self, driver: Any, make: Callable[[guests.Request], str],
            case: cases.Case, *, complete: bool = True) -> Made:
        request = guests.request(case, self._host, self._number)
        try:
            xml = make(request)
            if not complete:
                return Made(xml)
            xml = self._libvirt.completed(xml)
            return Made(xml, {} if request.rescue_meta
                        else driver.registered(request, xml))
        except Exception as error:
            return Made(refusal=drivers.reason(error))


def _dropped(
        before: tuple[Made, Made], after: tuple[Made, Made]
) -> list[comparison.Difference]:
    """Return what Nova's own driver heeds of what was asked, and ours not."""
    (in_tree_before, ours_before), (in_tree, ours) = before, after
    if in_tree_before.refusal or ours_before.refusal or ours.refusal:
        return []
    own = comparison.changes(ours_before.xml, ours.xml)
    if in_tree.refusal:
        return [] if own else [comparison.Difference(
            'refusal', in_tree.refusal[1], comparison.ACCEPTED)]
    return comparison.differences(
        in_tree.xml, ours.xml,
        comparison.changes(in_tree_before.xml, in_tree.xml) - own)


def _lines(*found: comparison.Difference) -> list[list[str]]:
    return [[one.where, one.in_tree, one.ours] for one in found]


def main() -> None:
    """Compare the cases of one worker.

    Arguments: URI, folder, number of the worker, how many workers there are,
    and of how many of its cases it tries one.
    """
    status = 1
    try:
        _run()
        status = 0
    except Exception:
        traceback.print_exc()
    finally:
        # Threads of Nova's would be waited for, for ever.
        sys.stdout.flush()
        os._exit(status)


def _run() -> None:
    uri, folder = sys.argv[1:3]
    number, of, share = map(int, sys.argv[3:6])
    logging.disable()
    drivers.prepare(uri, folder)
    worker = Worker(uri, number + 1)
    # Guests of the same options one after the other.
    for place, case in enumerate(sorted(
            cases.generate(), key=lambda one: str(one.options))):
        turn, whose = divmod(place, of)
        if (whose == number and turn % share == 0
                and re.search(ONLY, case.name)):
            print(drivers.dump(worker.compare(case)), flush=True)


if __name__ == '__main__':
    main()
