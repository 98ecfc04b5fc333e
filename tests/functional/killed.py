# SPDX-License-Identifier: Apache-2.0

"""A process that kills itself within a verb, for the tests.

Run as ``python -m tests.functional.killed``, with JSON on its input.
"""

import json
import sys

from oslo_config import cfg

from nova_libvirt_driver import conf
from nova_libvirt_driver import driver as driver_module
from nova_libvirt_driver.images import local
from nova_libvirt_driver.storage import spec_record
from nova_libvirt_driver.testing import fake_ports
from nova_libvirt_driver.testing import fake_progress


def main() -> int:
    """Do what the input says; there is no step of that number: 0."""
    wanted = json.load(sys.stdin)
    conf.register_opts(cfg.CONF)
    cfg.CONF([], default_config_files=[])
    cfg.CONF.set_override('instances_path', wanted['instances_path'])
    cfg.CONF.set_override('connection_uri', wanted['uri'], group='libvirt')
    cfg.CONF.set_override('virt_type', 'qemu', group='libvirt')
    cfg.CONF.set_override('tb_cache_size', 32, group='libvirt')
    driver = driver_module.LibvirtDriver(fake_ports.virt_api(
        images=local.LocalImages(wanted['images'])))
    spec = spec_record.loads(wanted['spec'])
    progress = fake_progress.KillingProgress(wanted['step'])
    if wanted['verb'] == 'spawn':
        driver.spawn(spec, progress=progress)
    elif wanted['verb'] == 'rescue':
        driver.rescue(spec, spec.storage.image_id, progress=progress)
    else:
        driver.snapshot(spec, wanted['image_id'], name='kept',
                        progress=progress)
    driver.cleanup_host('here')
    return 0


if __name__ == '__main__':
    sys.exit(main())
