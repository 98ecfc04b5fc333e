# SPDX-License-Identifier: Apache-2.0

"""What the tests in the lab share."""

import pathlib
import shutil
import subprocess
import tempfile
from typing import Any

from nova_libvirt_driver import driver as driver_module
from nova_libvirt_driver import exception
from nova_libvirt_driver.spec import guest as guest_spec
from nova_libvirt_driver.spec import instance as instance_spec
from nova_libvirt_driver.testing import fake_images
from nova_libvirt_driver.testing import fake_ports
from nova_libvirt_driver.testing import footprint
from nova_libvirt_driver.testing import specs
from tests.functional import base

URI = 'qemu:///system'
CONSOLE_TIMEOUT_S = 180.0
"""The lab's own processors are emulated."""
PATIENT: dict[str, Any] = {
    'keepalive_interval': 5, 'keepalive_count': 12, 'connect_timeout': 60}


def run(*command: str, timeout_s: float = 120.0) -> str:
    """Return what a command printed.

    :raises AssertionError: it failed; with its output
    """
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=timeout_s)
    if done.returncode != 0:
        raise AssertionError(
            f'{" ".join(command)}: {done.stdout}{done.stderr}')
    return done.stdout


class LabTestCase(base.DriverTestCase):
    """Has a driver that makes KVM guests by the lab's own libvirt."""

    def setUp(self) -> None:
        super().setUp()
        # QEMU has a user of its own, and has to come in.
        self.instances_path = pathlib.Path(
            tempfile.mkdtemp(prefix='instances-', dir='/var/lib'))
        self.addCleanup(shutil.rmtree, self.instances_path)
        self.instances_path.chmod(0o755)
        self.images = fake_images.MemoryImages()
        self.image_source = self.images
        self.addCleanup(self.remove_domains)
        self.config.config(instances_path=str(self.instances_path))
        self.config.config(group='libvirt', virt_type='kvm',
                           cpu_mode='host-passthrough')
        self.driver = self.make_lab_driver()

    def make_lab_driver(self) -> driver_module.LibvirtDriver:
        """Return a driver that is connected; it is ended with the test."""
        driver = self.make_driver(URI, **PATIENT)
        driver.init_host('lab')
        return driver

    def remove_domains(self) -> None:
        """Remove all guests, however a test has left them."""
        for name in self.virsh('list', '--name').split():
            self.virsh('destroy', name)
        for name in self.virsh('list', '--all', '--name').split():
            self.virsh('undefine', name, '--managed-save', '--nvram')

    def virsh(self, *arguments: str) -> str:
        """Return what virsh printed."""
        return run('virsh', '--quiet', '--connect', URI, *arguments)

    def boot_guest(
            self, name: str, **overrides: Any) -> guest_spec.GuestSpec:
        """Return a guest whose image prints ``NAME is up`` and halts."""
        image = specs.boot_sector_image(self.images, f'{name} is up')
        return specs.guest_spec(name, image.id, **overrides)

    def spawn(self, spec: guest_spec.GuestSpec) -> guest_spec.GuestSpec:
        """Spawn a guest and wait until it is up."""
        self.driver.spawn(spec)
        self.wait_up(spec)
        return spec

    def wait_up(self, spec: guest_spec.GuestSpec) -> None:
        """Wait until a guest has printed that it is up."""
        fake_ports.wait_until(
            lambda: f'{spec.name} is up' in self.console(spec),
            f'{spec.name} is up', timeout_s=CONSOLE_TIMEOUT_S)

    def console(self, instance: instance_spec.Instance) -> str:
        """Return the end of what a guest printed, empty for nothing."""
        try:
            return self.driver.get_console_output(instance).decode(
                errors='replace')
        except exception.ConsoleUnavailable:
            return ''

    def state(
            self, instance: instance_spec.Instance
    ) -> instance_spec.PowerState:
        """Return the power state that libvirt tells."""
        return self.driver.get_info(instance, use_cache=False).state

    def look_at_host(self) -> footprint.Footprint:
        """Look at what there is on the host; cached images do not count."""
        folders = [str(self.instances_path / name)
                   for name in ('_base', '.operations', 'snapshots')]
        return footprint.Footprint.take(
            URI, self.instances_path, ignore=(*folders, f'{folders[0]}/*'))

    def assert_host_is(self, before: footprint.Footprint) -> None:
        """Fail unless the host is as it was, at once or a moment later."""
        fake_ports.wait_until(
            lambda: not before.difference(self.look_at_host()),
            'the host as it was', timeout_s=30.0)
