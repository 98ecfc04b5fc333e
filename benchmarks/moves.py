# SPDX-License-Identifier: Apache-2.0

"""What it costs to migrate a guest that runs; needs root.

Run ``python -m benchmarks.moves`` at the top of the tree. Two guests go back
and forth between two private hosts, in turns: one by the driver, one by the
plain call of libvirt with the same flags. Each counts on its disk, and stands
still while the other one moves.
"""

from collections.abc import Iterator
import contextlib
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
from typing import Any

import libvirt
from oslo_config import cfg

from benchmarks import measure
from benchmarks import options
from nova_libvirt_driver import conf
from nova_libvirt_driver.guest import migration
from nova_libvirt_driver.images import local
from nova_libvirt_driver.spec import guest as guest_spec
from nova_libvirt_driver.spec import live_migration as migration_spec
from nova_libvirt_driver.testing import fake_ports
from nova_libvirt_driver.testing import guests
from nova_libvirt_driver.testing import specs
from tests.functional import guest_base
from tests.functional import pair

ROUNDS = 15
MIB = 1 << 20
DISK_MIB = 64
NOT_SLOWER = 1.1

_IMAGE = re.compile('[0-9a-f]{40}')
_MIGRATABLE = (libvirt.VIR_DOMAIN_XML_MIGRATABLE
               | libvirt.VIR_DOMAIN_XML_SECURE)


def main() -> int:
    """Measure, print the result and return the exit code."""
    arguments = options.parse(__doc__ or '', rounds=ROUNDS)
    with contextlib.ExitStack() as stack:
        rig = Rig(stack)
        rows = [row for is_shared in (True, False)
                for row in _rows(rig, arguments.rounds, is_shared=is_shared)]
    return measure.finish(rows, arguments.json)


def _rows(
        rig: 'Rig', rounds: int, *, is_shared: bool) -> Iterator[measure.Row]:
    what = 'with shared storage' if is_shared else f'of {DISK_MIB} MiB'
    with contextlib.ExitStack() as stack:
        driver = Driver(rig.field(stack, is_shared=is_shared))
        plain = Plain(rig.field(stack, is_shared=is_shared))
        times = measure.in_turns(
            {'driver': driver.move, 'plain': plain.move}, rounds)
    yield measure.time_row(f'migration {what}, driver', times['driver'])
    yield measure.time_row(f'migration {what}, plain call', times['plain'])
    yield measure.ratio_row(
        '  ratio', times['driver'], times['plain'], at_most=NOT_SLOWER)
    yield measure.ratio_row(
        '  ratio to its own call of libvirt', _counted(driver.driver_s),
        _counted(driver.libvirt_s), at_most=NOT_SLOWER)
    still = [_counted(way.downtimes_s) for way in (driver, plain)]
    yield measure.time_row('  downtime, driver', still[0])
    yield measure.time_row('  downtime, plain call', still[1])
    yield measure.ratio_row('  ratio', *still, at_most=NOT_SLOWER)
    yield measure.time_row(
        '  with all that precedes and follows', _counted(driver.whole_s))


def _counted(seconds: list[float]) -> measure.Times:
    # The first round warms up.
    return measure.Times(tuple(seconds[1:]))


class Rig:
    """Two hosts that reach each other, and what images there are."""

    def __init__(self, stack: contextlib.ExitStack) -> None:
        self.root = pathlib.Path(stack.enter_context(
            tempfile.TemporaryDirectory()))
        self.root.chmod(0o755)
        self.hosts = pair.hosts(stack)
        self.images = local.LocalImages(str(self.root / 'images'))
        path = self.root / 'image'
        path.write_bytes(guests.writing_sector().ljust(DISK_MIB * MIB, b'\7'))
        self.image_id = self.images.add(str(path), name='writing').id
        conf.register_opts(cfg.CONF)
        cfg.CONF([], project='benchmarks', default_config_files=[])

    def field(
            self, stack: contextlib.ExitStack, *,
            is_shared: bool) -> 'Field':
        """Return the hosts with drivers and folders for one guest."""
        folder = pathlib.Path(stack.enter_context(
            tempfile.TemporaryDirectory(dir=self.root)))
        folder.chmod(0o755)
        sides = [self._side(stack, number, folder, is_shared=is_shared)
                 for number in range(2)]
        return Field(stack, sides, self.image_id, is_shared=is_shared)

    def _side(
            self, stack: contextlib.ExitStack, number: int,
            folder: pathlib.Path, *, is_shared: bool) -> pair.Side:
        host = self.hosts[number]
        instances = folder / ('instances' if is_shared else host.name)
        instances.mkdir(exist_ok=True)
        side = pair.Side(host, pair.ADDRESSES[number], instances)
        cfg.CONF.set_override('host', host.name)
        cfg.CONF.set_override('instances_path', str(instances))
        for name, value in {
                'connection_uri': host.uri, 'virt_type': 'qemu',
                'tb_cache_size': guest_base.TB_CACHE_MIB}.items():
            cfg.CONF.set_override(name, value, group='libvirt')
        side.driver = pair.Driver(fake_ports.virt_api(images=self.images))
        side.driver.where = host.uri
        side.driver.init_host(host.name)
        stack.callback(side.driver.cleanup_host, host.name)
        return side


class Field:
    """A guest, and the two hosts between which it goes.

    :ivar sides: where it is, and where it goes next
    """

    def __init__(
            self, stack: contextlib.ExitStack, sides: list[pair.Side],
            image_id: str, *, is_shared: bool) -> None:
        self.sides = sides
        self._stack = stack
        self.is_shared = is_shared
        self.image_id = image_id

    def spawn(self, name: str) -> guest_spec.GuestSpec:
        """Start a guest on the first host, and let it stand still."""
        spec, here = specs.guest_spec(name, self.image_id), self.sides[0]
        here.driver.spawn(spec)
        self._stack.callback(self._destroy, spec)
        here.driver.power_off(spec)
        # What an image has is not sent.
        subprocess.run(
            ['qemu-io', '-c', f'write -P 7 1M {DISK_MIB - 1}M',
             str(here.instances_path / spec.uuid / 'disk')],
            check=True, stdout=subprocess.DEVNULL)
        here.driver.power_on(spec)
        self.domain(here, spec).suspend()
        return spec

    def _destroy(self, spec: guest_spec.GuestSpec) -> None:
        self.sides[0].driver.destroy(spec)

    def domain(self, side: pair.Side, spec: guest_spec.GuestSpec) -> Any:
        """Return the guest's domain on a host."""
        connection = libvirt.open(side.host.uri)
        return connection.lookupByUUIDString(spec.uuid)

    def destination(self) -> migration_spec.Destination:
        """Return where it goes next."""
        there = self.sides[1]
        return migration_spec.Destination(
            uri=there.host.uri, migrate_uri=f'tcp://{there.address}',
            instances_path=str(there.instances_path),
            is_shared=self.is_shared, image_id=self.image_id)

    def disks(
            self, spec: guest_spec.GuestSpec
    ) -> list[migration_spec.MovedDisk] | None:
        """Return the disks that the next host has to make."""
        return None if self.is_shared else [
            migration_spec.MovedDisk(
                name=pathlib.Path(use.path).name, format=use.format,
                size_bytes=use.size_bytes,
                base=pathlib.Path(use.backing_file or '').name)
            for use in self.sides[0].driver.get_instance_disk_info(spec)]


class Way:
    """One way to move the guest of a field.

    :ivar downtimes_s: how long it stood still, by move
    :ivar whole_s: how long a move took with what precedes and follows it
    """

    def __init__(self, field: Field) -> None:
        self.field = field
        self.spec = field.spawn(type(self).__name__.lower())
        self.downtimes_s: list[float] = []
        self.whole_s: list[float] = []

    def move(self) -> float:
        """Move the guest; return how long libvirt was about it."""
        here, there = self.field.sides
        self.field.domain(here, self.spec).resume()
        taken: list[float] = []
        self.whole_s.append(measure.timed(lambda: taken.append(self.go())))
        self.field.sides.reverse()
        domain = self.field.domain(there, self.spec)
        domain.suspend()
        stats = domain.jobStats(libvirt.VIR_DOMAIN_JOB_STATS_COMPLETED)
        self.downtimes_s.append(stats['downtime'] / 1000)
        return taken[0]

    def go(self) -> float:
        """Do it; return how long the call took that libvirt has, too."""
        raise NotImplementedError


class Driver(Way):
    """The driver, called as by a compute service.

    :ivar driver_s: how long its verb took, by move
    :ivar libvirt_s: of that, the call that libvirt has, too
    """

    def __init__(self, field: Field) -> None:
        super().__init__(field)
        self.driver_s: list[float] = []
        self.libvirt_s: list[float] = []

    def go(self) -> float:
        field, spec = self.field, self.spec
        here, there = (side.driver for side in field.sides)
        moved = there.pre_live_migration(spec, disks=field.disks(spec))
        with _timing_libvirt(self.libvirt_s):
            seconds = measure.timed(lambda: here.live_migration(
                moved, field.destination()))
        self.driver_s.append(seconds)
        here.post_live_migration(moved)
        here.post_live_migration_at_source(moved)
        there.post_live_migration_at_destination(moved)
        return seconds


@contextlib.contextmanager
def _timing_libvirt(taken: list[float]) -> Iterator[None]:
    """Take note of how long libvirt is about a migration."""
    called = libvirt.virDomain.migrateToURI3

    def timed(*arguments: object) -> object:
        results: list[object] = []
        taken.append(measure.timed(
            lambda: results.append(called(*arguments))))
        return results[0]

    libvirt.virDomain.migrateToURI3 = timed
    try:
        yield
    finally:
        libvirt.virDomain.migrateToURI3 = called


class Plain(Way):
    """Libvirt alone."""

    def __init__(self, field: Field) -> None:
        super().__init__(field)
        if not field.is_shared:
            # Its image is on either host when the driver migrates.
            here, there = (side.instances_path for side in field.sides)
            shutil.copytree(here / '_base', there / '_base')

    def go(self) -> float:
        field, spec = self.field, self.spec
        here, there = (
            str(side.instances_path) for side in field.sides)
        domain = field.domain(field.sides[0], spec)
        disk = pathlib.Path(there, spec.uuid, 'disk')
        if not field.is_shared:
            self._make_disk(domain, disk, there)
        request = migration.Request(
            destination=field.destination(), ways=migration_spec.Ways(),
            xml=domain.XMLDesc(_MIGRATABLE).replace(here, there),
            persistent_xml=domain.XMLDesc(
                _MIGRATABLE | libvirt.VIR_DOMAIN_XML_INACTIVE).replace(
                    here, there),
            disks=() if field.is_shared else ('vda',))
        uri, flags, parameters = (
            request.destination.uri, request.flags(), request.parameters())
        seconds = measure.timed(
            lambda: domain.migrateToURI3(uri, parameters, flags))
        if not field.is_shared:
            pathlib.Path(here, spec.uuid, 'disk').unlink()
        return seconds

    def _make_disk(
            self, domain: Any, disk: pathlib.Path, there: str) -> None:
        disk.parent.mkdir(exist_ok=True)
        base = next(path for path in pathlib.Path(there, '_base').iterdir()
                    if _IMAGE.fullmatch(path.name))
        subprocess.run(
            ['qemu-img', 'create', '-q', '-f', 'qcow2', '-F', 'raw',
             '-b', str(base), str(disk), str(domain.blockInfo('vda')[0])],
            check=True)


if __name__ == '__main__':
    sys.exit(main())
