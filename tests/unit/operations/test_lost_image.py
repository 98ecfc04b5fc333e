# SPDX-License-Identifier: Apache-2.0

"""Starting a guest whose image is gone from the cache."""

from collections.abc import Callable
import dataclasses
import os
import pathlib
import subprocess

import fixtures

from nova_libvirt_driver import exception
from nova_libvirt_driver import ports
from nova_libvirt_driver.spec import boot as boot_spec
from nova_libvirt_driver.spec import guest as guest_spec
from nova_libvirt_driver.spec import instance as instance_spec
from nova_libvirt_driver.storage import image_cache
from tests.unit.operations import whole

State = instance_spec.PowerState
SOFT, HARD = guest_spec.RebootType.SOFT, guest_spec.RebootType.HARD

Start = Callable[[], object]


class KernelTest(whole.WholeTestCase):

    def test_a_guest_with_a_kernel_image_starts_again(self) -> None:
        kernel = self.images.add(b'kernel', name='kernel')
        ramdisk = self.images.add(b'ramdisk', name='ramdisk')
        spec = self.guest(boot=boot_spec.BootSpec(
            kernel_image_id=kernel.id, ramdisk_image_id=ramdisk.id))
        self.driver.spawn(spec)
        path = pathlib.Path(self.instances_path, spec.uuid, 'kernel')

        def reboot() -> None:
            self.driver.reboot(spec, HARD)

        def power_on() -> None:
            self.driver.power_off(spec)
            self.driver.power_on(spec)

        def host_boot() -> None:
            self.driver.power_off(spec)
            self.driver.resume_state_on_host_boot(spec)

        before = self.driver.get_domain_xml(spec, inactive=True)
        for start in (reboot, power_on, host_boot):
            # Also where it is gone, as an image that is.
            path.unlink()
            with self.subTest(start=start.__name__):
                start()

                self.assertEqual(b'kernel', path.read_bytes())
                self.assertEqual(before, self.driver.get_domain_xml(
                    spec, inactive=True))


class MachineTest(whole.WholeTestCase):

    def test_a_short_name_gives_no_guest_another_machine(self) -> None:
        spec = self.guest(boot=boot_spec.BootSpec(
            machine='pc-i440fx-2.12'))
        self.driver.spawn(spec)

        self.driver.reboot(dataclasses.replace(
            spec, boot=boot_spec.BootSpec(machine='pc')), HARD)

        self.assertIn('machine="pc-i440fx-2.12"', self.driver.get_domain_xml(
            spec, inactive=True).replace("'", '"'))


class LostImageTest(whole.WholeTestCase):

    def setUp(self) -> None:
        super().setUp()
        self.spec = self.guest()
        self.rescue_image = self.images.add(b'\0' * 512)
        self.base = self.cached(self.image.id)

    def cached(self, image_id: str) -> pathlib.Path:
        return pathlib.Path(self.instances_path, '_base',
                            image_cache.key_of(image_id))

    def verbs(
            self, images: ports.ImageSource | None = None,
    ) -> dict[str, tuple[Start, Start]]:
        """Return what comes before each verb that starts a guest, and it."""
        driver, spec = self.driver, self.spec

        def nothing() -> None:
            pass

        def stop() -> None:
            driver.power_off(spec)

        def suspend() -> None:
            driver.suspend(spec)

        def rescue() -> None:
            driver.rescue(spec, self.rescue_image.id)

        def power_on() -> None:
            driver.power_on(spec, images=images)

        def host_boot() -> None:
            driver.resume_state_on_host_boot(spec, images=images)

        return {
            'power on': (stop, power_on),
            'power on of a rescued one': (
                lambda: (rescue(), stop()),  # type: ignore[func-returns-value]
                power_on),
            'host boot': (stop, host_boot),
            'host boot of a suspended one': (suspend, host_boot),
            'soft reboot': (
                nothing, lambda: driver.reboot(spec, SOFT, images=images)),
            'hard reboot': (
                nothing, lambda: driver.reboot(spec, HARD, images=images)),
            'resume': (suspend, lambda: driver.resume(spec, images=images)),
            'rescue': (nothing, lambda: driver.rescue(
                spec, self.rescue_image.id, images=images)),
            'unrescue': (
                rescue, lambda: driver.unrescue(spec, images=images))}

    def state(self) -> State:
        return self.driver.get_info(self.spec, use_cache=False).state

    def lose(self) -> None:
        self.base.unlink()
        pathlib.Path(f'{self.base}.json').unlink()

    def test_it_is_fetched_again_by_every_verb_that_starts(self) -> None:
        for name, (prepare, start) in self.verbs().items():
            with self.subTest(name):
                self.driver.spawn(self.spec)
                prepare()
                self.lose()

                start()

                self.assertEqual(self.images.content(self.image.id),
                                 self.base.read_bytes())
                self.assertIs(State.RUNNING, self.state())
                self.driver.destroy(self.spec)

    def test_a_guest_stays_as_it_is_when_it_cannot_be_fetched(self) -> None:
        for name, (prepare, start) in self.verbs(ports.NullImages()).items():
            with self.subTest(name):
                self.driver.spawn(self.spec)
                prepare()
                before = self.state()
                self.lose()

                error = self.assertRaises(exception.StorageFailure, start)

                self.assertIn(str(self.base), str(error))
                self.assertIs(before, self.state())
                self.driver.destroy(self.spec)

    def test_bytes_that_are_not_those_declared_are_refused(self) -> None:
        self.driver.spawn(self.spec)
        self.lose()
        self.images.faults.corrupt = True

        error = self.assertRaises(
            exception.StorageFailure, self.driver.reboot, self.spec, HARD)

        self.assertIn('checksum', str(error))
        self.assertIs(State.RUNNING, self.state())
        self.assertFalse(self.base.exists())

    def test_an_image_of_another_format_than_before_is_refused(self) -> None:
        path = os.path.join(
            self.useFixture(fixtures.TempDir()).path, 'image')
        subprocess.check_call(
            ['qemu-img', 'create', '-q', '-f', 'qcow2', path, '1M'])
        self.image = self.images.add(
            pathlib.Path(path).read_bytes(), disk_format='qcow2')
        spec = self.guest()
        self.driver.spawn(spec)
        self.cached(self.image.id).unlink()
        self.config.config(force_raw_images=False)

        error = self.assertRaises(
            exception.StorageFailure, self.make_driver().reboot, spec, HARD)

        self.assertIn('force_raw_images', str(error))

    def test_a_base_that_is_no_cached_image_is_not_made_up(self) -> None:
        self.driver.spawn(self.spec)
        disk = str(self.folder(self.spec) / 'disk')
        for base in (self.base.parent / ('a' * 40), self.base / 'disk',
                     self.folder(self.spec) / self.base.name):
            with self.subTest(base=base):
                subprocess.check_call(
                    ['qemu-img', 'rebase', '-u', '-f', 'qcow2', '-F', 'raw',
                     '-b', str(base), disk])
                self.images.downloads.clear()

                error = self.assertRaises(
                    exception.StorageFailure, self.driver.reboot, self.spec,
                    HARD)

                self.assertIn(str(base), str(error))
                self.assertEqual([], self.images.downloads)

    def test_a_raw_disk_that_looks_like_an_overlay_is_none(self) -> None:
        self.config.config(group='libvirt', images_type='raw')
        driver = self.make_driver()
        driver.spawn(self.spec)
        disk = str(self.folder(self.spec) / 'disk')
        subprocess.check_call(
            ['qemu-img', 'create', '-q', '-u', '-f', 'qcow2', '-F', 'raw',
             '-b', '/etc/none', disk, '1M'])

        driver.reboot(self.spec, HARD)

        self.assertIn("type='raw'", driver.get_domain_xml(
            self.spec).replace('"', "'"))
