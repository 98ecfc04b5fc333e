# SPDX-License-Identifier: Apache-2.0

"""What it costs to attach and detach volumes and ports; needs root.

Run ``python -m benchmarks.devices`` at the top of the tree.
"""

from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Sequence
from concurrent import futures
import contextlib
import dataclasses
import os
import pathlib
import sys
import tempfile
import time
from typing import Any
import uuid

import libvirt
from lxml import etree
from oslo_config import cfg

from benchmarks import counting
from benchmarks import device_subject
from benchmarks import measure
from benchmarks import nova_guests
from benchmarks import options
from benchmarks import subjects
from nova_libvirt_driver import conf
from nova_libvirt_driver import driver as driver_module
from nova_libvirt_driver.testing import linux_disk
from nova_libvirt_driver.testing import linux_guest

ROUNDS = 25
PARALLEL_ROUNDS = 15
PARALLEL_GUESTS = 10
FEW, CROWD, CROWD_VOLUMES = 10, 1000, 3
VOLUME_BYTES = 1 << 20
SETTLE_S = 0.5
"""Time for the guest to find a device before it is taken again."""
BOOT_S = 120.0

_VERBS = ('attach_volume', 'detach_volume', 'attach_port', 'detach_port')
_BOTH = libvirt.VIR_DOMAIN_AFFECT_LIVE | libvirt.VIR_DOMAIN_AFFECT_CONFIG


def main() -> int:
    """Measure, print the result and return the exit code."""
    arguments = options.parse(__doc__ or '', rounds=ROUNDS)
    rows = [*_one_after_the_other(arguments.rounds),
            *_in_parallel(min(arguments.rounds, PARALLEL_ROUNDS)),
            *_audit()]
    return measure.finish(rows, arguments.json)


# One guest.

@dataclasses.dataclass(frozen=True, slots=True)
class Plain:
    """Libvirt alone, with the XML of a device that a driver has attached."""

    domain: Any
    xml: dict[str, str]

    def ask(self, verb: str, **more: Any) -> dict[str, Any]:
        """Attach or detach the device of a verb; return how long it took."""
        what, _, kind = verb.partition('_')
        function = (self.domain.attachDeviceFlags if what == 'attach'
                    else self.domain.detachDeviceFlags)
        return {'wall_s': measure.timed(
            lambda: function(self.xml[kind], _BOTH))}


def _one_after_the_other(rounds: int) -> list[measure.Row]:
    with (subjects.rig('bench', image=_linux(), running=1,
                       memory_mib=linux_guest.MEMORY_MIB) as rig,
          contextlib.ExitStack() as stack):
        rig.host.run(['ip', 'link', 'add', device_subject.BRIDGE, 'type',
                      'bridge'])
        rig.herd.grow(1)
        domain = rig.connection.lookupByName(nova_guests.name_of(1))
        _await_boot(rig.folder)
        volume = _volume(rig.folder)
        names = ('alone', *(name for name in subjects.drivers()
                            if name != 'alone'))
        ways: dict[str, Any] = {name: stack.enter_context(rig.subject(
            name, module='benchmarks.device_subject', within=_beside(rig)))
            for name in names}
        ways['libvirt'] = Plain(
            domain, _described(ways['alone'], domain, volume))
        taken = _take_turns(ways, rounds, volume)
        counts = list(_counts(ways, volume))
    return [*(row for verb in _VERBS for row in _rows(verb, taken)), *counts]


def _beside(rig: subjects.Rig) -> list[str]:
    """Return the command that runs another where the host's network is."""
    # What is mounted as /sys shows the network that there was then.
    return ['nsenter', f'--net=/proc/{rig.host.holder_pid}/ns/net',
            'unshare', '--mount', 'sh', '-c',
            'mount -t sysfs sysfs /sys && exec "$@"', 'sh']


Taken = dict[tuple[str, str], list[dict[str, float]]]


def _take_turns(
        ways: dict[str, Any], rounds: int, volume: str) -> Taken:
    """Return what each verb took in each way, by round.

    The first round warms up and does not count.
    """
    taken: Taken = {(verb, name): [] for verb in _VERBS for name in ways}
    names = list(ways)
    for number in range(rounds + 1):
        shift = number % len(names)
        for name in names[shift:] + names[:shift]:
            for verb in _VERBS:
                answer = ways[name].ask(verb, arguments=[
                    volume] if verb.endswith('volume') else [])
                if number:
                    taken[verb, name].append(answer)
                time.sleep(SETTLE_S)
    return taken


def _counts(ways: dict[str, Any], volume: str) -> Iterator[measure.Row]:
    """Count what a verb does besides its one or two calls of libvirt."""
    for name in sorted(ways.keys() - {'libvirt'}):
        for verb in _VERBS:
            found = ways[name].ask(verb, count=True, arguments=[
                volume] if verb.endswith('volume') else [])
            time.sleep(SETTLE_S)
            for what, value in (
                    ('calls of libvirt', sum(found['calls'].values())),
                    ('threads', found['threads']),
                    ('waits for the disk', found['syncs'])):
                yield measure.Row(
                    what=f'{verb.replace("_", " a ")}, {name}: {what}',
                    value=value)


def _rows(verb: str, taken: Taken) -> Iterator[measure.Row]:
    what = verb.replace('_', ' a ')
    times = {name: measure.Times(tuple(one['wall_s'] for one in answers))
             for (known, name), answers in taken.items() if known == verb}
    for name, label in (('alone', 'driver'), ('libvirt', 'plain call'),
                        ('ours', 'driver under Nova'),
                        ('in-tree', "Nova's own")):
        if name in times:
            yield measure.time_row(f'{what}, {label}', times[name])
    yield measure.ratio_row('  driver to plain call', times['alone'],
                            times['libvirt'], at_most=1.2)
    if 'in-tree' in times:
        yield measure.ratio_row("  under Nova, to Nova's own",
                                times['ours'], times['in-tree'], at_most=1)
    if verb.startswith('detach'):
        after = measure.Times(tuple(
            one['after_event_s'] for one in taken[verb, 'alone']))
        yield dataclasses.replace(
            measure.time_row('  over after the event', after), at_most=50)


def _described(
        subject: subjects.Subject, domain: Any,
        volume: str) -> dict[str, str]:
    """Return the XML of both devices, as the driver has them defined."""
    subject.ask('attach_volume', arguments=[volume])
    subject.ask('attach_port')
    devices: Any = etree.fromstring(
        domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE)).find('devices')
    found = {}
    for kind, path, key in (
            ('volume', 'disk[serial="{}"]', pathlib.Path(volume).name),
            ('port', 'interface/mac[@address="{}"]/..', device_subject.MAC)):
        element: Any = devices.find(path.format(key))
        for address in element.findall('address'):
            element.remove(address)
        found[kind] = etree.tostring(element, encoding='unicode')
    time.sleep(SETTLE_S)
    subject.ask('detach_port')
    subject.ask('detach_volume', arguments=[volume])
    return found


def _linux() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        disk = pathlib.Path(folder, 'disk')
        linux_disk.write_disk(disk, linux_guest.build())
        return disk.read_bytes()


def _await_boot(folder: pathlib.Path) -> None:
    log = folder / 'instances' / nova_guests.uuid_of(1) / 'console.log'
    deadline = time.monotonic() + BOOT_S
    while 'guest: ready' not in log.read_text(errors='replace'):
        if time.monotonic() > deadline:
            raise TimeoutError(f'the guest has not booted in {BOOT_S} s')
        time.sleep(SETTLE_S)


def _volume(folder: pathlib.Path) -> str:
    path = folder / 'volumes' / str(uuid.uuid4())
    path.write_bytes(bytes(VOLUME_BYTES))
    return str(path)


# Many guests at once.

def _in_parallel(rounds: int) -> list[measure.Row]:
    with subjects.rig('bench', running=PARALLEL_GUESTS) as rig:
        rig.herd.grow(PARALLEL_GUESTS)
        volumes = [_volume(rig.folder) for _ in range(
            PARALLEL_GUESTS * device_subject.EACH)]
        with (rig.subject('alone', module='benchmarks.device_subject')
              as subject, _many_connections(rig) as domains):
            for verb in _VERBS[:2]:
                # The first of each guest brings it a controller, which stays.
                subject.ask(verb, volumes=volumes)
            plain = [_scsi_disk(number, path)
                     for number, path in enumerate(volumes)]
            times: dict[str, list[dict[str, float]]] = {
                'driver': [], 'libvirt': []}
            for number in range(rounds):
                ways: list[tuple[str, Callable[[], dict[str, float]]]] = [
                    ('driver', lambda: {
                        verb: subject.ask(verb, volumes=volumes)['wall_s']
                        for verb in _VERBS[:2]}),
                    ('libvirt', lambda: _plain_at_once(domains, plain))]
                for name, way in ways[::-1 if number % 2 else 1]:
                    times[name].append(way())
    return [row for verb in _VERBS[:2]
            for row in _parallel_rows(verb, times)]


def _parallel_rows(
        verb: str,
        times: dict[str, list[dict[str, float]]]) -> Iterator[measure.Row]:
    driver, plain = (measure.Times(tuple(one[verb] for one in times[name]))
                     for name in ('driver', 'libvirt'))
    what = (f'{verb.partition("_")[0]} {PARALLEL_GUESTS * device_subject.EACH}'
            f' volumes of {PARALLEL_GUESTS} guests at once')
    yield measure.time_row(f'{what}, driver', driver)
    yield measure.time_row(f'{what}, plain calls', plain)
    yield measure.ratio_row('  ratio', driver, plain)


@contextlib.contextmanager
def _many_connections(rig: subjects.Rig) -> Iterator[list[Any]]:
    """Lend a domain for each volume, each on a connection of its own."""
    connections = [libvirt.open(rig.host.uri) for _ in range(
        PARALLEL_GUESTS * device_subject.EACH)]
    try:
        yield [connection.lookupByName(
            nova_guests.name_of(number // device_subject.EACH + 1))
            for number, connection in enumerate(connections)]
    finally:
        for connection in connections:
            connection.close()


def _plain_at_once(
        domains: Sequence[Any], xml: Sequence[str]) -> dict[str, float]:
    taken = {}
    for verb, name in zip(_VERBS[:2], (
            'attachDeviceFlags', 'detachDeviceFlags'), strict=True):
        with futures.ThreadPoolExecutor(len(domains)) as pool:
            taken[verb] = measure.timed(lambda: list(pool.map(
                lambda domain, text: getattr(domain, name)(text, _BOTH),
                domains, xml)))
    return taken


def _scsi_disk(number: int, path: str) -> str:
    place = number % device_subject.EACH
    volume_id = pathlib.Path(path).name
    return (
        '<disk type="file" device="disk">'
        '<driver name="qemu" type="raw" cache="writeback"/>'
        f'<source file="{path}"/>'
        f'<target dev="sd{"abcde"[place]}" bus="scsi"/>'
        f'<serial>{volume_id}</serial><alias name="ua-{volume_id}"/></disk>')


# The audit.

def _audit() -> list[measure.Row]:
    """Count what an audit asks of libvirt, with few guests and with many."""
    counting.listen()
    uri = 'test:///default'
    connection = libvirt.open(uri)
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        conf.register_opts(cfg.CONF)
        cfg.CONF([], project='benchmarks', default_config_files=[])
        cfg.CONF.set_override('instances_path', name)
        cfg.CONF.set_override('connection_uri', uri, 'libvirt')
        driver = driver_module.LibvirtDriver()
        driver.init_host('bench')
        try:
            few, many = (_calls(driver, connection, folder, numbers)
                         for numbers in (range(FEW), range(FEW, CROWD)))
        finally:
            driver.cleanup_host('bench')
            connection.close()
    return [measure.Row(
        what=f'calls of an audit, {CROWD} guests of {CROWD_VOLUMES} volumes',
        value=many, at_most=few)]


def _calls(
        driver: driver_module.LibvirtDriver, connection: Any,
        folder: pathlib.Path, numbers: Sequence[int]) -> int:
    """Define more guests; return how many calls an audit is then."""
    for number in numbers:
        domain = nova_guests.domain(
            number, folder / nova_guests.uuid_of(number),
            *(folder / str(uuid.uuid4()) for _ in range(CROWD_VOLUMES)))
        domain.set('type', 'test')
        connection.defineXML(etree.tostring(domain, encoding='unicode'))
    node = driver.get_available_nodes()[0]
    # The first one meets the new guests.
    driver.get_available_resource(node)
    with counting.counted() as tally:
        driver.get_available_resource(node)
    return tally.calls


if __name__ == '__main__':
    if os.geteuid():
        sys.exit('This needs root: it starts a private libvirt host.')
    sys.exit(main())
