# SPDX-License-Identifier: Apache-2.0

"""A process that moves a guest, and may be killed; for the tests.

Run as ``python -m tests.functional.moved``, with JSON on its input.
"""

import json
import sys

from oslo_config import cfg

from nova_libvirt_driver import conf
from nova_libvirt_driver import driver as driver_module
from nova_libvirt_driver.filesystem import records
from nova_libvirt_driver.images import local
from nova_libvirt_driver.spec import live_migration as migration_spec
from nova_libvirt_driver.storage import spec_record
from nova_libvirt_driver.testing import fake_attachment
from nova_libvirt_driver.testing import fake_ports
from nova_libvirt_driver.testing import fake_progress


def main() -> int:
    """Do what the input says; there is no step of that name: 0."""
    wanted = json.load(sys.stdin)
    conf.register_opts(cfg.CONF)
    cfg.CONF([], default_config_files=[])
    for name in ('host', 'instances_path'):
        cfg.CONF.set_override(name, wanted[name])
    for name, value in wanted['libvirt'].items():
        cfg.CONF.set_override(name, value, group='libvirt')
    driver = driver_module.LibvirtDriver(fake_ports.virt_api(
        images=local.LocalImages(wanted['images'])))
    spec = spec_record.loads(wanted['spec'])
    progress = fake_progress.KillingProgress(wanted['step'])
    attachments = [fake_attachment.FakeAttachment(
        path, fake_attachment.killing(wanted['step']))
        for path in wanted['attachments']]
    verb = wanted['verb']
    if verb == 'pre_live_migration':
        driver.pre_live_migration(
            spec, disks=[records.structure(disk, migration_spec.MovedDisk)
                         for disk in wanted['disks']],
            attachments=attachments, progress=progress)
    elif verb == 'live_migration':
        driver.live_migration(
            spec, records.structure(
                wanted['destination'], migration_spec.Destination),
            attachments=attachments, progress=progress)
    elif verb == 'post_live_migration_at_destination':
        driver.post_live_migration_at_destination(spec, progress=progress)
    else:
        driver.rollback_live_migration_at_destination(
            spec, attachments=attachments, progress=progress)
    driver.cleanup_host('here')
    return 0


if __name__ == '__main__':
    sys.exit(main())
