# SPDX-License-Identifier: Apache-2.0

"""A driver on a private host, and libvirt itself beside it.

Both make guests of the same XML. Needs root.
"""

from collections.abc import Callable
from collections.abc import Iterator
import contextlib
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
from typing import Any
import uuid

import libvirt
from oslo_config import cfg

from nova_libvirt_driver import conf
from nova_libvirt_driver import driver as driver_module
from nova_libvirt_driver.spec import guest as guest_spec
from nova_libvirt_driver.testing import fake_images
from nova_libvirt_driver.testing import fake_ports
from nova_libvirt_driver.testing import guests
from nova_libvirt_driver.testing import libvirtd
from nova_libvirt_driver.testing import specs

TB_CACHE_MIB = 32
_MIB = 1 << 20


class Rig:
    """A host with a driver, and ways to make guests without the driver."""

    def __init__(
            self, host: libvirtd.PrivateHost, instances: pathlib.Path,
            driver: driver_module.LibvirtDriver,
            images: fake_images.MemoryImages) -> None:
        self.host = host
        self.instances = instances
        self.driver = driver
        self.images = images
        self._numbers = iter(range(1_000_000))

    def add_image(
            self, *, size_mib: int = 1, disk_format: str = 'raw') -> str:
        """Keep an image of the boot-sector guest; return its identifier.

        What follows the sector is noise, so a copy of it takes room.
        """
        raw = guests.boot_sector('up').ljust(_MIB, b'\0') + os.urandom(
            (size_mib - 1) * _MIB)
        content = raw if disk_format == 'raw' else _converted(
            raw, disk_format)
        return self.images.add(content, disk_format=disk_format).id

    def guest(self, image_id: str) -> guest_spec.GuestSpec:
        """Return a guest that is not there yet."""
        return specs.guest_spec(f'bench-{next(self._numbers)}', image_id)

    def folder(self, spec: guest_spec.GuestSpec) -> pathlib.Path:
        """Return the folder of a guest."""
        return self.instances / spec.uuid

    def base(self) -> pathlib.Path:
        """Return the file of the only cached image."""
        [found] = (path for path in (self.instances / '_base').iterdir()
                   if path.is_file() and not path.suffix)
        return found

    def connect(self) -> Any:
        """Return a connection of libvirt's own, to be closed."""
        return libvirt.open(self.host.uri)

    def make_disk(
            self, spec: guest_spec.GuestSpec, base: pathlib.Path) -> None:
        """Make the disk of a guest as plainly as can be."""
        self.folder(spec).mkdir()
        subprocess.run(
            ['qemu-img', 'create', '-q', '-f', 'qcow2', '-b', str(base),
             '-F', 'raw', str(self.folder(spec) / 'disk'),
             str(base.stat().st_size)], check=True)

    def forget(self, connection: Any, spec: guest_spec.GuestSpec) -> None:
        """Remove a guest that the driver does not know of."""
        domain = connection.lookupByUUIDString(spec.uuid)
        domain.destroy()
        domain.undefine()
        shutil.rmtree(self.folder(spec))


@contextlib.contextmanager
def started() -> Iterator[Rig]:
    """Start a host and a driver, and leave nothing of them behind."""
    with contextlib.ExitStack() as stack:
        host = stack.enter_context(libvirtd.PrivateHost('bench'))
        instances = pathlib.Path(stack.enter_context(
            tempfile.TemporaryDirectory(prefix='bench-')), 'instances')
        instances.mkdir(mode=0o750)
        images = fake_images.MemoryImages()
        _configure(host, instances)
        driver = driver_module.LibvirtDriver(fake_ports.virt_api(
            fake_ports.RecordingNotifier(),
            fake_ports.RecordingServiceState(), images))
        stack.callback(driver.cleanup_host, 'bench')
        driver.init_host('bench')
        yield Rig(host, instances, driver, images)


def programs_of(function: Callable[[], object]) -> list[list[str]]:
    """Return the command lines of the programs that a call starts.

    Those of this process; not those that libvirt's daemon starts.
    """
    found: list[list[str]] = []
    _listeners.append(found)
    try:
        function()
    finally:
        _listeners.remove(found)
    return found


_listeners: list[list[list[str]]] = []


def _hear(event: str, arguments: tuple[Any, ...]) -> None:
    if event == 'subprocess.Popen':
        for found in _listeners:
            found.append([os.fsdecode(word) for word in arguments[1]])


sys.addaudithook(_hear)


def _configure(
        host: libvirtd.PrivateHost, instances: pathlib.Path) -> None:
    conf.register_opts(cfg.CONF)
    cfg.CONF([], project='benchmarks', default_config_files=[])
    for name, value, group in (
            ('instances_path', str(instances), None),
            ('connection_uri', host.uri, 'libvirt'),
            ('virt_type', 'qemu', 'libvirt'),
            ('tb_cache_size', TB_CACHE_MIB, 'libvirt')):
        cfg.CONF.set_override(name, value, group)


def _converted(raw: bytes, disk_format: str) -> bytes:
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        source, target = folder / uuid.uuid4().hex, folder / 'image'
        source.write_bytes(raw)
        subprocess.run(
            ['qemu-img', 'convert', '-f', 'raw', '-O', disk_format,
             str(source), str(target)], check=True)
        return target.read_bytes()
