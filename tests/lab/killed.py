# SPDX-License-Identifier: Apache-2.0

"""A process that kills itself while a guest gets or loses a volume.

Run as ``python -m tests.lab.killed``, with JSON on its input.
"""

import json
import sys
import types
from typing import Any

from nova import context as nova_context
from nova import objects
import nova.privsep
import os_brick
from os_brick import privileged
from oslo_concurrency import lockutils
from oslo_config import cfg

from nova_libvirt_driver import conf
from nova_libvirt_driver import driver as driver_module
from nova_libvirt_driver.nova_plugin import volumes
from nova_libvirt_driver.spec import guest as guest_spec
from nova_libvirt_driver.storage import spec_record
from nova_libvirt_driver.testing import fake_ports
from nova_libvirt_driver.testing import fake_progress


def prepare(locks: str) -> None:
    """Let os-brick and Nova do with this process what needs rights.

    :param locks: folder of os-brick's locks
    """
    objects.register_all()
    for context in (nova.privsep.sys_admin_pctxt, privileged.default):
        context.set_client_mode(False)
    lockutils.set_defaults(locks)
    os_brick.setup(cfg.CONF)


def attachment(
        driver: driver_module.LibvirtDriver, spec: guest_spec.GuestSpec,
        connection_info: dict[str, Any]) -> volumes.Volume:
    """Return the attachment of a volume as Nova's verbs have it."""
    return volumes.Volume(
        driver, nova_context.get_admin_context(), types.SimpleNamespace(
            uuid=spec.uuid, name=spec.name,
            image_meta=objects.ImageMeta.from_dict({'properties': {}})),
        connection_info, '/dev/vdb', disk_bus='virtio')


def run(
        driver: driver_module.LibvirtDriver, verb: str,
        spec: guest_spec.GuestSpec, connection_info: dict[str, Any],
        step: int = 0) -> None:
    """Give a guest a volume, or take it away.

    :param step: when the process kills itself, from 1; 0 is never
    """
    progress = fake_progress.KillingProgress(step)
    volume = attachment(driver, spec, connection_info)
    if verb == 'attach':
        driver.attach_disk(spec, volumes.disk(volume.wanted[0]),
                           attachments=[volume], progress=progress)
    else:
        driver.detach_disk(spec, volumes.key(connection_info),
                           attachments=[volume], progress=progress)


def main() -> int:
    """Do what the input says; there is no step of that number: 0."""
    wanted = json.load(sys.stdin)
    conf.register_opts(cfg.CONF)
    cfg.CONF([], default_config_files=[])
    for name, value in wanted['options'].items():
        cfg.CONF.set_override(name, value)
    for name, value in wanted['libvirt'].items():
        cfg.CONF.set_override(name, value, group='libvirt')
    prepare(wanted['locks'])
    driver = driver_module.LibvirtDriver(fake_ports.virt_api())
    run(driver, wanted['verb'], spec_record.loads(wanted['spec']),
        wanted['connection_info'], wanted['step'])
    driver.cleanup_host('lab')
    return 0


if __name__ == '__main__':
    sys.exit(main())
