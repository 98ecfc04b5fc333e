# SPDX-License-Identifier: Apache-2.0

"""Makes a guest: python stand_alone.py URI FOLDER IMAGE LINE."""

import sys
import time

import nova_libvirt_driver
from nova_libvirt_driver import building
from nova_libvirt_driver import exception
from nova_libvirt_driver.images import local

uri, folder, path, line = sys.argv[1:]
images = local.LocalImages(f'{folder}/images')
image = images.add(path, name='mine')
driver = nova_libvirt_driver.LibvirtDriver(config={
    'DEFAULT': {'instances_path': f'{folder}/instances'},
    'libvirt': {'connection_uri': uri, 'virt_type': 'qemu'}})
guest = building.guest('one', image_id=image.id, memory_mib=64)
driver.init_host('here')
try:
    driver.spawn(guest, images=images)
    printed, deadline = '', time.monotonic() + 60
    while line not in printed and time.monotonic() < deadline:
        time.sleep(0.2)
        try:
            printed = driver.get_console_output(guest).decode()
        except exception.ConsoleUnavailable:
            continue  # it has printed nothing yet
    print(f'{guest.name} says: {printed.strip()}')
    driver.destroy(guest)
finally:
    driver.cleanup_host('here')
