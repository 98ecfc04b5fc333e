# SPDX-License-Identifier: Apache-2.0

"""Guests with serial consoles over TCP, started at the same time."""

from collections.abc import Callable
from collections.abc import Iterable
from concurrent import futures
import json
import os
import subprocess
import sys

from nova_libvirt_driver.filesystem import locking
from nova_libvirt_driver.spec import console as console_spec
from nova_libvirt_driver.spec import guest as guest_spec
from tests.functional import guest_base

TCP = console_spec.ConsoleSpec(serials=(console_spec.SerialSpec(
    kind=console_spec.SerialKind.TCP, listen='127.0.0.1'),))
HARD = guest_spec.RebootType.HARD
FIRST = 21000  # None of those that the kernel gives to others.
PROCESSES, EACH = 3, 4

CHILD = '''
import json, sys
from concurrent import futures
from oslo_config import cfg
from nova_libvirt_driver import conf, driver, ports
from nova_libvirt_driver.testing import fake_images, fake_ports, specs
from tests.functional import test_serial_ports as shared
uri, path, number = sys.argv[1:]
conf.register_opts(cfg.CONF)
cfg.CONF([], default_config_files=[])
for group, values in (
        (None, {'instances_path': path, 'host': 'here'}),
        ('libvirt', {'connection_uri': uri, 'virt_type': 'qemu',
                     'tb_cache_size': 32}),
        ('serial_console', {'port_range': '21000:21050'})):
    for name, value in values.items():
        cfg.CONF.set_override(name, value, group)
images = fake_images.MemoryImages()
image = specs.boot_sector_image(images, 'up', id='image')
one = driver.LibvirtDriver(fake_ports.virt_api(images=images))
one.init_host('here')
guests = [specs.guest_spec(f'guest{number}-{index}', image.id,
                           consoles=shared.TCP)
          for index in range(shared.EACH)]
with futures.ThreadPoolExecutor(shared.EACH) as pool:
    for step in (one.spawn, one.power_off, one.power_on,
                 lambda spec: one.reboot(spec, shared.HARD)):
        list(pool.map(step, guests))
print(json.dumps([one.get_serial_console(spec).port for spec in guests]))
one.cleanup_host('here')
'''


class SerialPortsTest(guest_base.GuestTestCase):

    def setUp(self) -> None:
        super().setUp()
        self.config.config(
            group='serial_console', port_range=f'{FIRST}:{FIRST + 50}')
        self.driver = self.make_guest_driver()

    def guests(self, count: int) -> list[guest_spec.GuestSpec]:
        return [self.boot_guest(f'guest{number}', consoles=TCP)
                for number in range(count)]

    def at_once(
            self, verb: Callable[[guest_spec.GuestSpec], object],
            guests: Iterable[guest_spec.GuestSpec]) -> None:
        with futures.ThreadPoolExecutor(12) as pool:
            list(pool.map(verb, guests))

    def ports(self, guests: Iterable[guest_spec.GuestSpec]) -> set[int]:
        return {self.driver.get_serial_console(spec).port for spec in guests}

    def test_guests_of_one_process(self) -> None:
        guests = self.guests(12)

        self.at_once(self.driver.spawn, guests)
        self.assertEqual(12, len(self.ports(guests)))
        self.at_once(lambda spec: self.driver.reboot(spec, HARD), guests)
        self.assertEqual(12, len(self.ports(guests)))

    def test_guests_of_several_processes(self) -> None:
        children = [subprocess.Popen(
            [sys.executable, '-c', CHILD, self.host.uri,
             str(self.instances_path), str(number)], stdout=subprocess.PIPE)
            for number in range(PROCESSES)]

        found = [json.loads(child.communicate(timeout=300)[0])
                 for child in children]

        self.assertEqual(PROCESSES * EACH, len(set(sum(found, []))))
        self.assertEqual([], os.listdir(
            self.instances_path / locking.FOLDER))

    def test_a_guest_keeps_its_port(self) -> None:
        first, second = self.guests(2)
        rescue = self.boot_guest('rescue').storage.image_id
        self.driver.spawn(first)

        self.driver.rescue(first, rescue)
        self.driver.spawn(second)
        self.driver.reboot(second, HARD)
        self.driver.unrescue(first)

        self.assertEqual(FIRST, self.driver.get_serial_console(first).port)
        self.assertEqual(
            FIRST + 1, self.driver.get_serial_console(second).port)

    def test_a_suspended_guest_finds_its_port_free(self) -> None:
        first, second = self.guests(2)
        self.driver.spawn(first)
        self.driver.suspend(first)

        self.driver.spawn(second)
        self.driver.resume(first)

        self.assertEqual({FIRST, FIRST + 1}, self.ports((first, second)))
