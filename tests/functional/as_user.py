# SPDX-License-Identifier: Apache-2.0

"""A driver in a process whose user is not root, for the tests.

Run as ``python -m tests.functional.as_user CONFIG`` by that user. It takes
commands: each is a line of JSON, and so is each answer.
"""

import json
import os
import sys
from typing import Any

from oslo_config import cfg

from nova_libvirt_driver import conf
from nova_libvirt_driver import driver as driver_module
from nova_libvirt_driver import exception
from nova_libvirt_driver.images import local
from nova_libvirt_driver.privileged import client
from nova_libvirt_driver.spec import guest as guest_spec
from nova_libvirt_driver.storage import spec_record
from nova_libvirt_driver.testing import fake_ports


def main(config_file: str) -> int:
    """Do what the input says until it ends."""
    conf.register_opts(cfg.CONF)
    cfg.CONF(['--config-file', config_file], project='test')
    client.use_sudo()
    client.separate()
    images = local.LocalImages(
        os.path.join(cfg.CONF.state_path, 'images'))
    driver = driver_module.LibvirtDriver(fake_ports.virt_api(images=images))
    driver.init_host('here')
    for line in sys.stdin:
        print(json.dumps(_answer(driver, images, json.loads(line)),
                         default=str), flush=True)
    driver.cleanup_host('here')
    return 0


def _answer(
        driver: driver_module.LibvirtDriver, images: local.LocalImages,
        command: dict[str, Any]) -> dict[str, Any]:
    try:
        return {'value': _value(driver, images, **command)}
    except exception.DriverError as error:
        return {'error': type(error).__name__, 'text': str(error),
                'next_step': error.next_step}


def _value(
        driver: driver_module.LibvirtDriver, images: local.LocalImages,
        verb: str, spec: str = '', **arguments: Any) -> object:
    if verb == 'add_image':
        return images.add(**arguments).id
    if verb == 'image_bytes':
        return images.show(**arguments).size_bytes
    if verb == 'reboot':
        arguments['reboot_type'] = guest_spec.RebootType(
            arguments['reboot_type'])
    given = [spec_record.loads(spec)] if spec else []
    found = getattr(driver, verb)(*given, **arguments)
    return found.decode(errors='replace') if isinstance(
        found, bytes) else found


if __name__ == '__main__':
    sys.exit(main(*sys.argv[1:]))
