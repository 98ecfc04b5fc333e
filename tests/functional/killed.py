# SPDX-License-Identifier: Apache-2.0

"""A process that kills itself within a verb, for the tests.

Run as ``python -m tests.functional.killed``, with JSON on its input.
"""

import json
import sys
from typing import Any

from oslo_config import cfg

from nova_libvirt_driver import base
from nova_libvirt_driver import conf
from nova_libvirt_driver import driver as driver_module
from nova_libvirt_driver.images import local
from nova_libvirt_driver import ports
from nova_libvirt_driver.spec import disk as disk_spec
from nova_libvirt_driver.spec import guest as guest_spec
from nova_libvirt_driver.spec import volume as volume_spec
from nova_libvirt_driver.storage import spec_record
from nova_libvirt_driver.testing import fake_attachment
from nova_libvirt_driver.testing import fake_ports
from nova_libvirt_driver.testing import fake_progress
from nova_libvirt_driver.testing import fake_volumes

# QEMU does no direct I/O on a file system in memory.
SETTINGS = volume_spec.VolumeSettings(
    default_aio=True, cache_modes={'file': 'writeback'})
VOLUMES = ('6ca404f3-d844-4169-bb96-bc792f37de98',
           '0cecc618-a007-4bb6-91f7-462293fe2ac2')


def main() -> int:
    """Do what the input says; there is no step of that number: 0."""
    wanted = json.load(sys.stdin)
    conf.register_opts(cfg.CONF)
    cfg.CONF([], default_config_files=[])
    cfg.CONF.set_override('host', wanted['host'])
    cfg.CONF.set_override('instances_path', wanted['instances_path'])
    cfg.CONF.set_override('connection_uri', wanted['uri'], group='libvirt')
    cfg.CONF.set_override('virt_type', 'qemu', group='libvirt')
    cfg.CONF.set_override('tb_cache_size', 32, group='libvirt')
    driver = driver_module.LibvirtDriver(fake_ports.virt_api(
        images=local.LocalImages(wanted['images'])))
    spec = spec_record.loads(wanted['spec'])
    progress = fake_progress.KillingProgress(wanted['step'])
    at = fake_attachment.killing(wanted['step'])
    attachments: list[ports.Attachment] = [
        fake_attachment.FakeAttachment(path, at)
        for path in wanted['attachments']]
    if wanted['volumes']:
        attachments.append(driver.volume_attachment(
            spec, volumes(), fake_volumes.FakeConnector(
                wanted['volumes'], at)))
    if wanted['verb'].endswith('_disk'):
        run_hot(driver, wanted['verb'], spec, fake_volumes.FakeConnector(
            wanted['volumes'], at, settings=SETTINGS), progress)
    elif wanted['verb'] == 'snapshot':
        driver.snapshot(spec, wanted['image_id'], name='kept',
                        progress=progress)
    else:
        run(driver, wanted['verb'], spec, attachments, progress)
    driver.cleanup_host('here')
    return 0


def one(
        driver: base.ComputeDriver, spec: guest_spec.GuestSpec,
        connector: ports.VolumeConnector,
        volume_id: str) -> ports.VolumeAttachment:
    """Return the attachment of a volume that QEMU can open, by its id."""
    attachment: Any = driver.volume_attachment(
        spec, [volume_spec.Volume(
            info={'driver_volume_type': 'nfs', 'serial': VOLUMES[0],
                  'data': {'volume_id': volume_id, 'name': 'file',
                           'export': f'server:/{volume_id}'}},
            place=volume_spec.Placement(
                target_dev='vdb', bus=disk_spec.DiskBus.VIRTIO))], connector)
    attachment.name = volume_id
    found: ports.VolumeAttachment = attachment
    return found


def run_hot(
        driver: driver_module.LibvirtDriver, verb: str,
        spec: guest_spec.GuestSpec, connector: ports.VolumeConnector,
        progress: ports.Progress = base.NO_PROGRESS) -> None:
    """Give a guest a volume, take it away, or swap it for another one."""
    old, new = (one(driver, spec, connector, volume_id)
                for volume_id in VOLUMES)
    key = disk_spec.DiskKey(id=VOLUMES[0], serial=VOLUMES[0])
    disks = [disk_spec.DiskSpec(
        target_dev='vdb', id=volume_id, serial=VOLUMES[0], format='raw',
        bus=disk_spec.DiskBus.VIRTIO, source=disk_spec.DiskSource())
        for volume_id in VOLUMES]
    if verb == 'snapshot_disk':
        driver.snapshot_disk(spec, key, 'two', progress=progress)
    elif verb == 'merge_disk':
        driver.merge_disk(spec, key, base_name='base', top_name='one',
                          progress=progress)
    elif verb == 'attach_disk':
        driver.attach_disk(
            spec, disks[0], attachments=[old], progress=progress)
    elif verb == 'detach_disk':
        driver.detach_disk(
            spec, key, attachments=[old], progress=progress)
    else:
        driver.swap_disk(
            spec, key, disks[1], old=old, new=new, progress=progress)


def volumes(**data: object) -> list[volume_spec.Volume]:
    """Return two volumes of a guest, one of them encrypted.

    :param data: which their connections have besides
    """
    return [
        volume_spec.Volume(
            info={'driver_volume_type': 'iscsi', 'serial': volume_id,
                  'data': {'volume_id': volume_id, 'encrypted': encrypted,
                           **data}},
            place=volume_spec.Placement(
                target_dev=name, bus=disk_spec.DiskBus.VIRTIO))
        for name, volume_id, encrypted in (
            ('vdb', VOLUMES[0], False), ('vdc', VOLUMES[1], True))]


def run(
        driver: base.ComputeDriver, verb: str, spec: guest_spec.GuestSpec,
        attachments: ports.Attachments,
        progress: ports.Progress = base.NO_PROGRESS) -> None:
    """Run a verb that starts or removes a guest."""
    if verb == 'rescue':
        driver.rescue(spec, spec.storage.image_id, progress=progress,
                      attachments=attachments)
    elif verb == 'reboot':
        driver.reboot(spec, guest_spec.RebootType.HARD, progress=progress,
                      attachments=attachments)
    elif verb in ('spawn', 'power_on', 'destroy', 'finish_migration',
                  'migrate_disk_and_power_off', 'finish_revert_migration'):
        getattr(driver, verb)(
            spec, progress=progress, attachments=attachments)
    else:
        getattr(driver, verb)(spec, attachments=attachments)


if __name__ == '__main__':
    sys.exit(main())
