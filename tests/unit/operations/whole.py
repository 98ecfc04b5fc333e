# SPDX-License-Identifier: Apache-2.0

"""A whole driver with images, real files and a fake hypervisor."""

from collections.abc import Callable
import os
import pathlib
from typing import Any

from nova_libvirt_driver import driver as driver_module
from nova_libvirt_driver import ports
from nova_libvirt_driver.spec import guest as guest_spec
from nova_libvirt_driver.spec import instance as instance_spec
from nova_libvirt_driver.testing import fake_images
from nova_libvirt_driver.testing import fake_ports
from nova_libvirt_driver.testing import specs
from tests import owners
from tests.unit.guest import base


class WholeTestCase(base.FakeHostTestCase):
    """Has a driver, and an image that any guest can be made of."""

    def setUp(self) -> None:
        super().setUp()
        self.images = fake_images.MemoryImages()
        self.image = self.images.add(b'\0' * (1 << 20), name='blank')
        self.journal = owners.journal(self.instances_path)
        self.driver = self.make_driver()

    def make_driver(self, **options: Any) -> driver_module.LibvirtDriver:
        self.config.config(host='here', instances_path=self.instances_path)
        self.config.config(group='libvirt', connection_uri='fake:///',
                           virt_type='qemu')
        driver = driver_module.LibvirtDriver(
            fake_ports.virt_api(
                images=self.images, attachments=self.attachments_of,
                volumes=self.volume_connector(),
                attachment=self.attachment_of, home=self.home))
        self.addCleanup(driver.cleanup_host, 'here')
        driver.init_host('here')
        return driver

    def attachments_of(
            self, instance: instance_spec.Instance) -> ports.Attachments:
        """Return what the service knows of an interrupted instance."""
        return ()

    def volume_connector(
            self) -> Callable[[], ports.VolumeConnector] | None:
        """Return what gives the driver a connector of its own."""
        return None

    def attachment_of(
            self, instance: instance_spec.Instance,
            name: str,
            memo: ports.Memo | None) -> ports.Attachment | None:
        """Return what the service knows of an interrupted device."""
        return None

    def home(self, instance: instance_spec.Instance) -> ports.Home | None:
        """Return where the service has an instance."""
        return None

    def guest(self, name: str = 'one', **fields: Any) -> guest_spec.GuestSpec:
        """Return a guest of the image."""
        return specs.guest_spec(name, self.image.id, **fields)

    def folder(self, spec: guest_spec.GuestSpec) -> pathlib.Path:
        return pathlib.Path(self.instances_path, spec.uuid)

    def names(self) -> list[str]:
        """Return the names of all domains."""
        return sorted(guest.name for guest in self.hypervisor.guests)

    def remains(self) -> list[str]:
        """Return files below the instances' folder but for the cache."""
        return sorted(
            os.path.relpath(os.path.join(path, name), self.instances_path)
            for path, _, names in os.walk(self.instances_path)
            for name in names
            if os.sep + '_base' not in path)
