# SPDX-License-Identifier: Apache-2.0

"""Snapshots of volumes that the volume service has the compute host make.

Those of shares, where only the host that has a file open can do it. The
volume service waits until it is told how it went.
"""

from collections.abc import Iterator
from collections.abc import Mapping
import contextlib
import time
from typing import Any

from nova import exception as nova_exception
from nova import objects
from nova.virt import block_device
from nova.volume import cinder
from oslo_log import log as logging

from nova_libvirt_driver import driver as core_driver
from nova_libvirt_driver import exception
from nova_libvirt_driver.nova_plugin import translate
from nova_libvirt_driver.spec import disk as disk_spec

LOG = logging.getLogger(__name__)

_POLL_S = 0.5
_CREATING = 'creating'


def create(
        driver: Any, core: core_driver.LibvirtDriver, context: Any,
        instance: Any, volume_id: str, info: Mapping[str, Any]) -> None:
    """Let a server write to the file that the volume service has made.

    Returns when that knows it.

    :param driver: as Nova knows it
    """
    with _told(context, instance, info, info.get('snapshot_id'), 'error'):
        core.snapshot_disk(
            instance, _key(volume_id), info['new_file'],
            require_quiesce=translate.features(instance).require_quiesce)
    _tell(context, info['snapshot_id'], _CREATING)
    api = cinder.API()
    while api.get_snapshot(
            context, info['snapshot_id']).get('status') == _CREATING:
        time.sleep(_POLL_S)
    _refresh(driver, context, instance, volume_id)


def delete(
        driver: Any, core: core_driver.LibvirtDriver, context: Any,
        instance: Any, volume_id: str, snapshot_id: str,
        info: Mapping[str, Any]) -> None:
    """Merge a file of a volume with the one below or above it."""
    target, merged = info.get('merge_target_file'), info.get('file_to_merge')
    with _told(context, instance, info, snapshot_id, 'error_deleting'):
        core.merge_disk(
            instance, _key(volume_id), base_name=target or merged or '',
            top_name=merged or '' if target else '')
    _tell(context, snapshot_id, 'deleting')
    _refresh(driver, context, instance, volume_id)


def _refresh(
        driver: Any, context: Any, instance: Any, volume_id: str) -> None:
    """Let Nova know to which file the server writes by now."""
    device = block_device.convert_volume(
        objects.BlockDeviceMapping.get_by_volume_and_instance(
            context, volume_id, instance.uuid))
    if device:
        device.refresh_connection_info(
            context, instance, cinder.API(), driver)


@contextlib.contextmanager
def _told(
        context: Any, instance: Any, info: Mapping[str, Any],
        snapshot_id: str | None, failed: str) -> Iterator[None]:
    if snapshot_id is None:
        raise nova_exception.InternalError('a snapshot without an id')
    try:
        # Nova checks what is asked of a creation, and not of a deletion.
        if info.get('type') != 'qcow2':
            raise nova_exception.InternalError(
                f'snapshots of the type {info.get("type")} are not made')
        yield
    except exception.InstanceNotFound as error:
        raise nova_exception.InstanceNotRunning(
            instance_id=instance.uuid) from error
    except Exception:
        _tell(context, snapshot_id, failed)
        raise


def _tell(context: Any, snapshot_id: str, status: str) -> None:
    try:
        cinder.API().update_snapshot_status(context, snapshot_id, status)
    except Exception as error:
        # It stops waiting by itself.
        LOG.error('The volume service could not be told that snapshot %s is '
                  '%s: %s', snapshot_id, status, error)


def _key(volume_id: str) -> disk_spec.DiskKey:
    return disk_spec.DiskKey(id=volume_id, serial=volume_id)
