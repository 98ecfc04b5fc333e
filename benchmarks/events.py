# SPDX-License-Identifier: Apache-2.0

"""How many events come from libvirt to a listener, and how soon.

The guests are those of libvirt's test driver in a daemon of their own: nothing
runs, so that they can be paused and resumed as fast as the daemon will. The
listener is that of this driver, that of Nova's own when ``tools/nova-env`` has
installed one, and a callback of the plain binding; in turns.
"""

from collections.abc import Mapping
from collections.abc import Sequence
import contextlib
import dataclasses
import sys
import threading
import time
from typing import Any

import libvirt

from benchmarks import measure
from benchmarks import options
from benchmarks import subjects
from nova_libvirt_driver.testing import guests as guests_module
from nova_libvirt_driver.testing import libvirtd

GUESTS = 4
STORM_EVENTS = 2000
"""Of each guest, as fast as can be."""
PACED_EVENTS = 100
PACE_S = 0.01
"""Between two events of one guest, when it is their latency that counts."""


@dataclasses.dataclass(frozen=True, slots=True)
class Heard:
    """What became of the events of one round."""

    per_second: float
    """From the first call that made one to the last event heard."""
    latencies_s: Sequence[float]
    """From before the call that made an event until it was heard."""
    lost: int


def heard(made_s: Mapping[str, Sequence[float]],
          times_s: Mapping[str, Sequence[float]]) -> Heard:
    """Compare what was made with what was heard, by guest and in order.

    Where the number of a guest's events differs, nobody knows which of them
    are missing: they have no latency.
    """
    expected = sum(map(len, made_s.values()))
    latencies_s = [
        at_s - since_s for guest, since in made_s.items()
        if len(since) == len(times_s.get(guest, ()))
        for since_s, at_s in zip(since, times_s[guest], strict=True)]
    all_s = [at_s for times in times_s.values() for at_s in times]
    first_s = min(min(since) for since in made_s.values())
    return Heard(
        per_second=len(all_s) / (max(all_s) - first_s) if all_s else 0,
        latencies_s=latencies_s, lost=abs(expected - len(all_s)))


class Herd:
    """Guests that are paused and resumed, each by a thread of its own."""

    def __init__(self, uri: str) -> None:
        self._connections = [libvirt.open(uri) for _ in range(GUESTS)]
        self._domains = [connection.createXML(
            guests_module.guest_xml_for_test_driver(f'noisy-{number}'), 0)
            for number, connection in enumerate(self._connections)]

    def make(self, events: int, pace_s: float) -> dict[str, list[float]]:
        """Make so many events of each guest; return when, by guest.

        An even number leaves all guests as they were.
        """
        made_s: dict[str, list[float]] = {}
        threads = [threading.Thread(target=_make, args=(
            domain, made_s.setdefault(domain.UUIDString(), []), events,
            pace_s)) for domain in self._domains]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return made_s

    def close(self) -> None:
        """Forget the guests."""
        for domain in self._domains:
            domain.destroy()
        for connection in self._connections:
            connection.close()


def _make(domain: Any, made_s: list[float], events: int,
          pace_s: float) -> None:
    for number in range(events):
        made_s.append(time.monotonic())
        if number % 2:
            domain.resume()
        else:
            domain.suspend()
        time.sleep(pace_s)


def measure_listeners(rounds: int) -> dict[str, list[tuple[Heard, Heard]]]:
    """Return a storm and a paced sequence of each round, by listener."""
    found: dict[str, list[tuple[Heard, Heard]]] = {}
    with libvirtd.PrivateHost('events') as host, contextlib.ExitStack() as (
            stack):
        uri = host.uri.replace('qemu+unix:///system', 'test+unix:///default')
        herd = Herd(uri)
        stack.callback(herd.close)
        for number in range(rounds + 1):
            names = list(pythons())
            shift = number % len(names)
            for name in names[shift:] + names[:shift]:
                with contextlib.closing(subjects.Subject(
                        name, pythons()[name], uri,
                        module='benchmarks.event_subject')) as subject:
                    pair = (_round(subject, herd, STORM_EVENTS, 0),
                            _round(subject, herd, PACED_EVENTS, PACE_S))
                if number:
                    found.setdefault(name, []).append(pair)
    return found


def pythons() -> dict[str, str]:
    """Return with what each listener is run."""
    found = {'libvirt': sys.executable, 'ours': sys.executable}
    if subjects.nova_python().exists():
        found['in-tree'] = str(subjects.nova_python())
    return found


def _round(subject: subjects.Subject, herd: Herd, events: int,
           pace_s: float) -> Heard:
    subject.ask('forget')
    made_s = herd.make(events, pace_s)
    answer = subject.ask('tell', expected=GUESTS * events)
    return heard(made_s, answer['times_s'])


def rows(
        found: Mapping[str, Sequence[tuple[Heard, Heard]]],
) -> list[measure.Row]:
    """Return the result."""
    result = []
    for name, pairs in found.items():
        storms, paced = zip(*pairs, strict=True)
        rates = [storm.per_second for storm in storms]
        result += [
            measure.Row(what=f'{name}: events per second', unit='1/s',
                        value=measure.median(rates),
                        spread=measure.spread(rates)),
            *(_latency(name, paced, percent) for percent in (50, 99)),
            measure.Row(
                what=f'{name}: events lost', value=sum(
                    one.lost for one in (*storms, *paced)),
                at_most=0 if name == 'ours' else None)]
    return result


def _latency(
        name: str, paced: Sequence[Heard], percent: float) -> measure.Row:
    found_ms = [measure.percentile(one.latencies_s, percent) * 1000
                for one in paced if one.latencies_s]
    return measure.Row(
        what=f'{name}: latency of an event, p{percent:g}', unit='ms',
        value=measure.median(found_ms), spread=measure.spread(found_ms))


def main() -> int:
    """Print the table and return the exit code."""
    arguments = options.parse(__doc__, rounds=measure.MIN_ROUNDS)
    return measure.finish(
        rows(measure_listeners(arguments.rounds)), arguments.json)


if __name__ == '__main__':
    sys.exit(main())
