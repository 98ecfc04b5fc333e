# SPDX-License-Identifier: Apache-2.0

"""A guest that goes back and forth, while agents and daemons are killed.

Run by ``tools/test --moves``. ``NOVA_LIBVIRT_SOAK_MOVES`` says how often it
goes, and ``NOVA_LIBVIRT_SOAK_SEED`` when who is killed, which happens in each
fifth move. It has a volume, on which it counts, and a port.
"""

import logging
import os
import random
import subprocess
import sys
import time

from nova_libvirt_driver.spec import disk as disk_spec
from nova_libvirt_driver.spec import guest as guest_spec
from nova_libvirt_driver.spec import nic as nic_spec
from nova_libvirt_driver.testing import fake_ports
from nova_libvirt_driver.testing import guests
from nova_libvirt_driver.testing import specs
from tests.faults import moves
from tests.functional import pair
from tests import listening

MOVES = int(os.environ.get('NOVA_LIBVIRT_SOAK_MOVES', '100'))
SEED = int(os.environ.get('NOVA_LIBVIRT_SOAK_SEED', '1'))
KILL_EVERY = 5
KILLED = ('source_agent', 'destination_agent', 'source_daemon',
          'destination_daemon')
LATEST_S = 6.0
"""After the start of a process that migrates the guest."""
SECOND_DISK = 0x81


class BackAndForthTest(moves.MoveFaultTestCase):

    def with_volume(self) -> guest_spec.GuestSpec:
        """Return a guest that counts on a volume, and has a port."""
        path, socket = self.root / 'volume', self.root / 'nbd'
        path.write_bytes(bytes(moves.MIB))
        server = subprocess.Popen(
            ['qemu-nbd', '--persistent', '--shared=0', '--format=raw',
             f'--socket={socket}', str(path)])
        self.addCleanup(server.wait)
        self.addCleanup(server.terminate)
        fake_ports.wait_until(lambda: listening.at(socket), 'the volume')
        image = self.root / 'image'
        image.write_bytes(guests.writing_sector(SECOND_DISK).ljust(
            moves.MIB, b'\0'))
        source = disk_spec.DiskSource(
            kind=disk_spec.SourceKind.NETWORK, protocol='nbd',
            hosts=(disk_spec.NetworkHost(socket=str(socket)),))
        image_id = self.images.add(str(image), name='image').id
        volume = disk_spec.DiskSpec(
            target_dev='vdb', bus=disk_spec.DiskBus.VIRTIO, format='raw',
            # SeaBIOS looks for no disks but those that it may boot from.
            source=source, boot_order=2)
        spec = specs.guest_spec(
            'web', image_id, storage=disk_spec.StorageSpec(
                image_id=image_id, volumes=(volume,)),
            nics=(nic_spec.NicSpec(
                mac='52:54:00:00:00:01', kind=nic_spec.NicKind.ETHERNET),))
        self.source.driver.spawn(
            spec, attachments=self.attachments(self.source))
        self.count(self.source, spec, above=1)
        return spec

    def test_it_goes_back_and_forth(self) -> None:
        logging.disable(logging.INFO)
        self.addCleanup(logging.disable, logging.NOTSET)
        rng, began = random.Random(SEED), time.monotonic()
        links = [self.links(side) for side in (self.target, self.source)]
        spec = self.with_volume()
        kills = {first + rng.randrange(KILL_EVERY)
                 for first in range(0, MOVES, KILL_EVERY)}
        ends: list[tuple[str, str]] = []
        longest_s = 0.0
        for number in range(MOVES):
            killed = rng.choice(KILLED) if number in kills else ''
            at_s = rng.uniform(0, LATEST_S)
            end, silent_s = self.go_once(spec, killed, at_s)
            longest_s = max(longest_s, silent_s)
            ends.append((killed or 'nobody', end))
            print(f'move {number + 1}/{MOVES}: {killed or "nobody"} killed '
                  f'at {at_s:.1f} s, {end}, silent for {silent_s:.2f} s',
                  file=sys.stderr, flush=True)
            if end is moves.End.MOVED:
                self.source, self.target = self.target, self.source
        self.assert_only_at(self.source, spec)
        counted = self.count(self.source, spec, above=0)
        self.source.driver.destroy(
            spec, attachments=self.attachments(self.source))
        self.assertEqual([], self.source.files() + self.target.files())
        self.assertEqual(sorted(links), sorted(
            self.links(side) for side in (self.source, self.target)))
        print(f'{MOVES} moves, {len(kills)} kills, seed {SEED}: '
              f'{sum(end is moves.End.MOVED for _, end in ends)} moved, '
              f'{counted} writes, none lost; longest silence '
              f'{longest_s:.2f} s; {time.monotonic() - began:.0f} s',
              file=sys.stderr, flush=True)

    def go_once(
            self, spec: guest_spec.GuestSpec, killed: str,
            at_s: float) -> tuple[moves.End, float]:
        """Let it go once; return how that ended, and how long none wrote."""
        consoles = [side.instances_path / spec.uuid / 'console.log'
                    for side in (self.source, self.target)]
        before = self.count(self.source, spec, above=0)
        watcher = moves.Watcher(*consoles)
        try:
            if killed:
                end = self._killed(spec, killed, at_s)
            else:
                self.move(spec, self.source, self.target)
                end = moves.End.MOVED
            self.count(self.target if end is moves.End.MOVED
                       else self.source, spec, above=before)
        finally:
            turns = watcher.end()
        self.assertIn(end, (moves.End.MOVED, moves.End.STAYED))
        self.assertFalse(moves.two_ran(turns), turns)
        self.assert_whole(end, spec, consoles, before)
        return end, watcher.longest_s

    def _killed(
            self, spec: guest_spec.GuestSpec, killed: str,
            at_s: float) -> moves.End:
        there = self.prepare(spec, self.source, self.target)
        agent = self.start_agent(moves.Row(
            moves.Phase.COPY, killed, ()), there)
        time.sleep(at_s)
        getattr(self, f'strike_{killed}')(spec, agent)
        agent.wait(moves.SETTLED_S)
        self.restore()
        return self.settled(spec, there)

    def links(self, side: pair.Side) -> list[str]:
        """Return the network interfaces of a host."""
        return sorted(line.split(':')[1].split('@')[0] for line in (
            side.host.run(['ip', '-o', 'link']).stdout.splitlines()))
