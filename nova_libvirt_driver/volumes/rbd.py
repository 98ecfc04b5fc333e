# SPDX-License-Identifier: Apache-2.0

"""Volumes in Ceph, which QEMU reads by itself."""

from nova_libvirt_driver.spec import disk as disk_spec
from nova_libvirt_driver.spec import volume as volume_spec
from nova_libvirt_driver.volumes import backing
from nova_libvirt_driver.volumes import connection as connection_module
from nova_libvirt_driver.volumes import network


def image(
        connection: connection_module.VolumeConnection,
        settings: volume_spec.VolumeSettings) -> backing.Backing:
    """Return an image in a pool, with the monitors that lead to it.

    :raises VolumeFailure: a user comes without a secret, or the reverse
    """
    user, secret = _credentials(connection, settings)
    return backing.Backing(source=disk_spec.DiskSource(
        kind=disk_spec.SourceKind.NETWORK, protocol='rbd',
        path=connection.text('name'), hosts=network.hosts(connection),
        auth_username=user, auth_secret_uuid=secret,
        auth_secret_type=(str(connection.data.get('secret_type') or 'ceph')
                          if user else '')))


def _credentials(
        connection: connection_module.VolumeConnection,
        settings: volume_spec.VolumeSettings) -> tuple[str, str]:
    """Return user and secret, which always come from one place.

    A user of the volume service does not open the secret of the compute
    service.
    """
    data = connection.data
    if data.get('auth_enabled') and data.get('secret_uuid'):
        pair = str(data.get('auth_username') or ''), str(data['secret_uuid'])
    elif data.get('auth_enabled') or settings.rbd_secret_uuid:
        pair = settings.rbd_user, settings.rbd_secret_uuid
    else:
        return '', ''
    if not all(pair):
        raise connection.failure(
            'its Ceph wants a user and a secret, and it comes without: set '
            'rbd_user and rbd_secret_uuid where the volume service runs, or '
            'here')
    return pair
