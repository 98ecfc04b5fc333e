# SPDX-License-Identifier: Apache-2.0

"""What a spawn costs more than libvirt itself; needs root.

Run ``python -m benchmarks.spawn`` at the top of the tree.
"""

from collections.abc import Callable
from collections.abc import Sequence
from concurrent import futures
import os
import shutil
import sys
import threading
from typing import Any

from benchmarks import measure
from benchmarks import options
from benchmarks import rig as rig_module

ROUNDS = 25
PARALLEL = 20
PARALLEL_ROUNDS = 15
LARGE_MIB = 64
_MIB = 1 << 20


def main() -> int:
    """Measure, print the result and return the exit code."""
    arguments = options.parse(__doc__ or '', rounds=ROUNDS)
    with rig_module.started() as rig:
        rows = [*_one_after_the_other(rig, arguments.rounds),
                *_large(rig),
                *_in_parallel(rig, min(arguments.rounds, PARALLEL_ROUNDS))]
    return measure.finish(rows, arguments.json)


# One guest.

def _one_after_the_other(
        rig: rig_module.Rig, rounds: int) -> list[measure.Row]:
    image_id = rig.add_image()
    rig.driver.cache_image(image_id)
    connection = rig.connect()
    times = measure.in_turns({
        'driver': lambda: _spawn(rig, image_id),
        'libvirt': lambda: _plain(rig, connection, image_id),
    }, rounds)
    connection.close()
    _empty_cache(rig)
    return [
        measure.time_row('spawn, image cached', times['driver']),
        measure.time_row('qemu-img create, define, start',
                         times['libvirt']),
        measure.ratio_row('  ratio', times['driver'], times['libvirt'],
                          at_most=1.3)]


def _spawn(rig: rig_module.Rig, image_id: str) -> float:
    spec = rig.guest(image_id)
    seconds = measure.timed(lambda: rig.driver.spawn(spec))
    rig.driver.destroy(spec)
    return seconds


def _plain(rig: rig_module.Rig, connection: Any, image_id: str) -> float:
    spec = rig.guest(image_id)
    xml, base = rig.driver.get_guest_xml(spec), rig.base()

    def make() -> None:
        rig.make_disk(spec, base)
        connection.defineXML(xml).create()

    seconds = measure.timed(make)
    rig.forget(connection, spec)
    return seconds


# An image that is worth copying.

def _large(rig: rig_module.Rig) -> list[measure.Row]:
    image_id = rig.add_image(size_mib=LARGE_MIB)
    rig.driver.cache_image(image_id)
    spec = rig.guest(image_id)
    programs = rig_module.programs_of(lambda: rig.driver.spawn(spec))
    taken = sum(path.stat().st_blocks * 512
                for path in rig.folder(spec).iterdir())
    rig.driver.destroy(spec)
    _empty_cache(rig)
    return [
        measure.Row(what='programs started by a spawn, image cached',
                    value=len(programs), at_most=2),
        measure.Row(what=f'room taken by a guest of a {LARGE_MIB} MiB image',
                    value=taken / _MIB, unit='MiB', at_most=1)]


# Many guests.

def _in_parallel(rig: rig_module.Rig, rounds: int) -> list[measure.Row]:
    connections = [rig.connect() for _ in range(PARALLEL)]
    counts: list[tuple[int, int]] = []
    times = measure.in_turns({
        'driver': lambda: _spawn_many(rig, counts),
        'libvirt': lambda: _plain_many(rig, connections),
    }, rounds)
    for connection in connections:
        connection.close()
    downloads, conversions = (max(column) for column in zip(*counts))
    return [
        measure.time_row(f'{PARALLEL} spawns in parallel, image not cached',
                         times['driver']),
        measure.time_row(f'{PARALLEL} defines and starts in parallel',
                         times['libvirt']),
        measure.ratio_row('  ratio', times['driver'], times['libvirt'],
                          at_most=1.2),
        measure.Row(what='  downloads', value=downloads, at_most=1),
        measure.Row(what='  conversions', value=conversions, at_most=1)]


def _spawn_many(
        rig: rig_module.Rig, counts: list[tuple[int, int]]) -> float:
    image_id = rig.add_image(disk_format='qcow2')
    specs = [rig.guest(image_id) for _ in range(PARALLEL)]
    before = len(rig.images.downloads)
    seconds = 0.0

    def spawn_all() -> None:
        nonlocal seconds
        seconds = _at_once([
            lambda spec=spec: rig.driver.spawn(spec)  # type: ignore[misc]
            for spec in specs])

    programs = rig_module.programs_of(spawn_all)
    counts.append((
        len(rig.images.downloads) - before,
        sum('qemu-img' in ' '.join(line) and 'convert' in line
            for line in programs)))
    for spec in specs:
        rig.driver.destroy(spec)
    _empty_cache(rig)
    return seconds


def _plain_many(rig: rig_module.Rig, connections: Sequence[Any]) -> float:
    image_id = rig.add_image()
    rig.driver.cache_image(image_id)
    specs = [rig.guest(image_id) for _ in range(PARALLEL)]
    # Libvirt makes no disks, so they are there before it is measured.
    for spec in specs:
        rig.make_disk(spec, rig.base())
    seconds = _at_once([
        _starter(connection, rig.driver.get_guest_xml(spec))
        for connection, spec in zip(connections, specs, strict=True)])
    for spec in specs:
        rig.forget(connections[0], spec)
    _empty_cache(rig)
    return seconds


def _starter(connection: Any, xml: str) -> Callable[[], object]:
    return lambda: connection.defineXML(xml).create()


def _at_once(functions: Sequence[Callable[[], object]]) -> float:
    """Return how long it takes until all are done."""
    barrier = threading.Barrier(len(functions) + 1)

    def run(function: Callable[[], object]) -> None:
        barrier.wait()
        function()

    with futures.ThreadPoolExecutor(len(functions)) as pool:
        running = [pool.submit(run, function) for function in functions]

        def wait() -> None:
            barrier.wait()
            for future in running:
                future.result()

        return measure.timed(wait)


def _empty_cache(rig: rig_module.Rig) -> None:
    shutil.rmtree(rig.instances / '_base')


if __name__ == '__main__':
    if os.geteuid():
        sys.exit('This needs root: it starts a private libvirt host.')
    sys.exit(main())
