# SPDX-License-Identifier: Apache-2.0

"""Makes a guest without any service: python stand_alone.py URI FOLDER."""

import sys
import time

from oslo_config import cfg

import nova_libvirt_driver
from nova_libvirt_driver import conf
from nova_libvirt_driver import exception
from nova_libvirt_driver.spec import cpu
from nova_libvirt_driver.spec import disk
from nova_libvirt_driver.spec import flavor
from nova_libvirt_driver.spec import guest
from nova_libvirt_driver.spec import memory
from nova_libvirt_driver.testing import fake_images
from nova_libvirt_driver.testing import specs

UUID = '0f6a3f0e-8a55-4b62-9d0c-2a4c1be0a7d1'

uri, folder = sys.argv[1:]
conf.register_opts(cfg.CONF)
cfg.CONF.set_override('instances_path', folder)
cfg.CONF.set_override('connection_uri', uri, group='libvirt')
cfg.CONF.set_override('virt_type', 'qemu', group='libvirt')

images = fake_images.MemoryImages()
image = specs.boot_sector_image(images, 'hello')
spec = guest.GuestSpec(
    uuid=UUID, name='one',
    metadata=guest.GuestMetadata(
        display_name='one', created_at='2026-11-25T12:00:00',
        image_id=image.id,
        flavor=flavor.Flavor(name='tiny', vcpus=1, memory_mib=64)),
    cpu=cpu.CpuSpec(vcpus=1), memory=memory.MemorySpec(size_mib=64),
    storage=disk.StorageSpec(image_id=image.id))

driver = nova_libvirt_driver.LibvirtDriver()
driver.register_event_listener(
    lambda event: print(event.name, event.transition.value, flush=True))
driver.init_host('here')
try:
    driver.spawn(spec, images=images)
    printed, deadline = b'', time.monotonic() + 60
    while b'hello' not in printed and time.monotonic() < deadline:
        time.sleep(0.2)
        try:
            printed = driver.get_console_output(spec)
        except exception.ConsoleUnavailable:
            continue  # it has printed nothing yet
    print('it says', printed.split()[-1:], flush=True)
    driver.destroy(spec)
finally:
    driver.cleanup_host('here')
