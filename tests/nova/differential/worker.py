# SPDX-License-Identifier: Apache-2.0

"""Compares both drivers for a share of the cases; a process of its own.

Prints one line of JSON for each case.
"""

import logging
import os
import sys
import traceback
from typing import Any

from tests.nova.differential import cases
from tests.nova.differential import comparison
from tests.nova.differential import drivers
from tests.nova.differential import guests


class Worker:
    """Makes and compares guests.

    Drivers read some options when they are made, hence new ones for guests
    with others.
    """

    def __init__(self, uri: str, number: int) -> None:
        self._number = number
        self._libvirt = drivers.Libvirt(uri)
        self._made_for: Any = None
        self._in_tree: drivers.InTree
        self._ours: drivers.Ours | None = None

    def compare(self, case: cases.Case) -> dict[str, Any]:
        """Return what came of a case, as a line of the report."""
        line: dict[str, Any] = {'case': case.name}
        try:
            with drivers.options(case):
                return {**line, **self._compared(case)}
        except guests.NotAsked as error:
            return {**line, 'not_asked': str(error)}

    def _compared(self, case: cases.Case) -> dict[str, Any]:
        if self._made_for != case.options or self._ours is None:
            if self._ours is not None:
                self._ours.close()
            self._in_tree, self._ours = drivers.InTree(), drivers.Ours()
            self._made_for = case.options
        host = self._in_tree.numa()
        found: dict[str, Any] = {}
        domains, kept = [], []
        for side, driver in (('in_tree', self._in_tree),
                             ('ours', self._ours)):
            request = guests.request(case, host, self._number)
            try:
                domains.append(self._libvirt.completed(driver.xml(request)))
                kept.append(driver.registered(request, domains[-1]))
            except Exception as error:
                found[side] = drivers.reason(error)
        if len(domains) == 2:
            found['differences'] = [
                [one.where, one.in_tree, one.ours] for one in (
                    *comparison.differences(*domains),
                    *comparison.kept(*kept, but=case.properties))]
        return found


def main() -> None:
    """Compare each case whose number leaves the given remainder."""
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
    number, of = map(int, sys.argv[3:5])
    logging.disable()
    drivers.prepare(uri, folder)
    worker = Worker(uri, number + 1)
    # Guests of the same options one after the other.
    for place, case in enumerate(sorted(
            cases.generate(), key=lambda one: str(one.options))):
        if place % of == number:
            print(drivers.dump(worker.compare(case)), flush=True)


if __name__ == '__main__':
    main()
