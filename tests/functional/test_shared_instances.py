# SPDX-License-Identifier: Apache-2.0

"""Two hosts share the folder of the instances."""

from collections.abc import Callable
import contextlib
import os
import pathlib
from typing import ClassVar

from nova_libvirt_driver import exception
from nova_libvirt_driver.spec import guest as guest_spec
from nova_libvirt_driver.spec import instance as instance_spec
from nova_libvirt_driver.testing import fake_ports
from nova_libvirt_driver.testing import footprint
from nova_libvirt_driver.testing import libvirtd
from tests.functional import guest_base
from tests.functional import kills


class SharedInstancesTest(kills.KillTestCase):
    """What is killed on one host is ended there and nowhere else.

    One is killed within a verb; the other starts, works and stops, and
    nothing of the first is touched; the first starts and ends clean.
    """

    other: ClassVar[libvirtd.PrivateHost]

    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        with contextlib.ExitStack() as stack:
            stack.callback(cls._exit.close)
            cls.other = stack.enter_context(libvirtd.PrivateHost('other'))
            cls._exit = stack.pop_all()

    def setUp(self) -> None:
        super().setUp()
        self.driver.cleanup_host('here')
        self.operations = pathlib.Path(self.instances_path, '.operations')
        self.operations.mkdir()

    def work_on_other(self, name: str = 'other') -> None:
        """Start the other host, let it work, and stop it."""
        swept = self.operations / f'{"a" * 8}@{name}.lock'
        swept.touch()
        empty = footprint.Footprint.take(self.other)
        driver = self.make_guest_driver(host=name, uri=self.other.uri)
        fake_ports.wait_until(
            lambda: not swept.exists(), 'the end of the first look')
        spec = self.guest('own')
        driver.spawn(spec, images=self.store)
        driver.destroy(spec)
        driver.cleanup_host(name)
        self.assertEqual(
            [], empty.difference(footprint.Footprint.take(self.other)))

    def wait_calm(self, spec: guest_spec.GuestSpec) -> None:
        """Wait until a guest that was just started has printed something."""
        if 'web' in self.host.virsh('list', '--name').split():
            log = self.instances_path / spec.uuid / 'console.log'
            fake_ports.wait_until(
                lambda: log.stat().st_size, 'the console',
                timeout_s=guest_base.CONSOLE_TIMEOUT_S)

    def recover(self) -> None:
        """Start the first host again, and wait until it is done."""
        driver = self.make_guest_driver(host='first')
        self.wait_clean()
        driver.cleanup_host('first')

    def each_step(
            self, verb: str, spec: guest_spec.GuestSpec,
            check: Callable[[], object]) -> int:
        step = 0
        self.config.config(host='first')
        for step in self.each_kill(verb, spec):
            self.wait_calm(spec)
            before = self.look_at_host()
            self.work_on_other()
            self.assertEqual([], before.difference(self.look_at_host()))
            self.recover()
            check()
        return step

    def running(self) -> guest_spec.GuestSpec:
        """Return a guest that runs on the first host."""
        spec = self.guest()
        self.config.config(host='first')
        self.assertFalse(self.run_verb('spawn', spec))
        self.driver = self.make_guest_driver(host='first')
        self.wait_console(spec, 'web is up')
        # It would clean up by itself after what is killed later on.
        self.driver.cleanup_host('first')
        return spec

    def as_it_is(self, spec: guest_spec.GuestSpec) -> Callable[[], object]:
        """Return a check that a guest that may be restarted is as now."""
        def look() -> tuple[object, ...]:
            swept = self.operations / f'{"a" * 8}@first.lock'
            swept.touch()
            driver = self.make_guest_driver(host='first')
            fake_ports.wait_until(
                lambda: not swept.exists(), 'the end of the first look')
            try:
                return (driver.get_domain_xml(spec, inactive=True),
                        driver.get_info(spec, use_cache=False).state,
                        sorted(os.listdir(self.instances_path / spec.uuid)),
                        self.host.virsh('list', '--all', '--name').split(),
                        sorted(os.listdir(self.operations)))
            finally:
                driver.cleanup_host('first')

        before = look()
        self.assertIs(instance_spec.PowerState.RUNNING, before[1])
        return lambda: self.assertEqual(before, look())

    def test_spawn(self) -> None:
        before = self.look_at_host()

        steps = self.each_step(
            'spawn', self.guest(), lambda: self.assert_host_is(before))

        self.assertGreater(steps, 8)

    def test_snapshot(self) -> None:
        spec = self.running()
        before = self.look_at_host()

        steps = self.each_step(
            'snapshot', spec, lambda: self.assert_host_is(before))

        self.assertGreater(steps, 4)

    def test_rescue(self) -> None:
        spec = self.running()

        steps = self.each_step('rescue', spec, self.as_it_is(spec))

        self.assertGreater(steps, 6)

    def test_reboot(self) -> None:
        spec = self.running()

        steps = self.each_step('reboot', spec, self.as_it_is(spec))

        self.assertGreater(steps, 4)

    def test_destroy(self) -> None:
        empty = self.look_at_host()
        spec = self.running()

        def check() -> None:
            self.assert_host_is(empty)
            self.assertFalse(self.run_verb('spawn', spec))

        steps = self.each_step('destroy', spec, check)

        self.assertEqual(4, steps)
        self.assert_host_is(empty)

    def spawn_on_other(self, spec: guest_spec.GuestSpec) -> bool:
        """Spawn the same instance on the other host, as a scheduler may.

        :returns: whether it was made; what Nova does otherwise is done
        """
        driver = self.make_guest_driver(host='other', uri=self.other.uri)
        try:
            driver.spawn(spec, images=self.store)
        except exception.InstanceExists as error:
            self.assertIn('interrupted on host first', error.next_step)
            driver.destroy(spec)
            return False
        finally:
            driver.cleanup_host('other')
        return True

    def test_the_same_instance_on_the_other_host(self) -> None:
        spec = self.guest()
        folder = self.instances_path / spec.uuid
        empty = self.look_at_host()
        made = []
        self.config.config(host='first')
        for _ in self.each_kill('spawn', spec):
            self.wait_calm(spec)
            before = self.look_at_host()

            made.append(self.spawn_on_other(spec))

            if made[-1]:
                files = sorted(os.listdir(folder))
                self.recover()
                self.assertEqual(files, sorted(os.listdir(folder)))
                self.assertIn('web', self.other.virsh('list', '--name'))
                self.make_guest_driver(
                    host='other', uri=self.other.uri).destroy(spec)
                self.config.config(host='first')
            else:
                self.assertEqual([], before.difference(self.look_at_host()))
                self.recover()
            self.assert_host_is(empty)

        # Until the folder is there, it is anybody's.
        self.assertEqual([True] * 2 + [False] * (len(made) - 2), made)
        self.assertGreater(len(made), 8)

    def test_two_libvirts_of_one_host(self) -> None:
        self.config.config(host='first')
        spec = self.guest()
        empty = self.look_at_host()
        self.assertTrue(self.run_verb('spawn', spec, 'finish'))
        self.wait_calm(spec)
        # Its host has a right to remove this one, which is not held.
        (self.operations / f'{spec.uuid}@first.lock').unlink()
        before = self.look_at_host()

        self.work_on_other('first')

        self.assertEqual([], before.difference(self.look_at_host()))
        self.assertIn('web', self.host.virsh('list', '--name'))
        self.recover()
        self.assert_host_is(empty)
