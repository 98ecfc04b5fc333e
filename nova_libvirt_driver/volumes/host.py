# SPDX-License-Identifier: Apache-2.0

"""Connects this host to volumes for its guests, and ends that again.

What is connected, and for whom, is written down before it happens. Under one
lock for each volume, or each mounted file system, the guests that use it are
counted and it is connected or disconnected: by the records, which know of
guests that are on their way, and by the domains, which know of guests that
another driver has made. Of volumes that QEMU gets at by itself nothing is
written down, unless they are encrypted: their guests share a secret.
"""

from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Iterator
import contextlib
import dataclasses
import os
from typing import Any

from nova_libvirt_driver.guest import secrets as secrets_module
from nova_libvirt_driver import ports
from nova_libvirt_driver.spec import disk as disk_spec
from nova_libvirt_driver.spec import instance as instance_spec
from nova_libvirt_driver.spec import volume as volume_spec
from nova_libvirt_driver.volumes import block
from nova_libvirt_driver.volumes import connection as connection_module
from nova_libvirt_driver.volumes import disk
from nova_libvirt_driver.volumes import identity
from nova_libvirt_driver.volumes import protocols
from nova_libvirt_driver.volumes import records as records_module
from nova_libvirt_driver.volumes import secrecy
from nova_libvirt_driver.volumes import uses as uses_module

LOCK_TIMEOUT_S = 600.0
"""Longer than a connector takes for one volume, whatever hangs."""


class HostVolumes:
    """The volumes of one host.

    :param definitions: returns the XML of all domains
    """

    def __init__(
            self, records: records_module.Records,
            secrets: secrets_module.Secrets,
            definitions: Callable[[], Iterable[str]]) -> None:
        self._records = records
        self._secrets = secrets
        self._definitions = definitions

    def look(self) -> uses_module.Uses:
        """Return which domains have which disks.

        For one call of a verb: what is connected later is in the records.
        """
        return uses_module.Uses(self._definitions)

    def is_user(
            self, info: dict[str, Any], instance: instance_spec.Instance,
            uses: uses_module.Uses) -> bool:
        """Say whether the host is connected for an instance already."""
        connection = connection_module.read(info)
        if not _has_host_part(connection):
            return False
        record = self._records.read(connection.volume_id)
        # One that another driver has connected is in the domain only.
        return (record is not None and instance.uuid in record.users
                or uses.has_volume(instance.uuid, connection.serial))

    def connect(
            self, volume: volume_spec.Volume,
            instance: instance_spec.Instance,
            connector: ports.VolumeConnector,
            uses: uses_module.Uses) -> disk_spec.DiskSpec:
        """Connect the host for an instance; return the disk of the guest.

        What is connected already stays so. After an error something of it
        may be connected, which :meth:`disconnect` ends.

        :raises VolumeFailure: it cannot be connected; another guest uses it;
            or the device is not that of the volume
        """
        connection = connection_module.read(volume.info)
        if not _has_host_part(connection):
            return disk.spec(connection, volume.place, connector.settings)
        with self._alone(connection):
            last = self._records.read(connection.volume_id)
            self._refuse_shared(connection, instance, last)
            record = _begun(connection, instance, last)
            self._records.write(record)
            wwn = ''
            if _is(connection, protocols.HostPart.NOTHING):
                found = identity.Identity()
            else:
                wwn = connector.connect(volume.info)
                connection = connection_module.read(volume.info)
                # If it is refused, it is known whose device is not touched.
                record = dataclasses.replace(record, path=_path(connection))
                self._records.write(record)
                found = self._checked(
                    volume, connection, wwn, last, instance, uses)
            secret = self._unlocked(connection, volume.info, connector)
            connection = connection_module.read(volume.info)
            self._records.write(dataclasses.replace(
                record, path=_path(connection),
                wwn=found.wwn, size_bytes=found.size_bytes))
            return disk.spec(connection, volume.place, connector.settings,
                             secret_uuid=secret)

    def disconnect(
            self, info: dict[str, Any], instance: instance_spec.Instance,
            connector: ports.VolumeConnector, uses: uses_module.Uses, *,
            force: bool = False, keep_secret: bool = False,
            left: bool = False) -> None:
        """Disconnect the host, unless another guest uses the volume.

        Idempotent. It need not have been connected by this process, nor by
        this driver.

        :param force: also when data that were not written yet are lost
        :param keep_secret: libvirt still has to open it without a user
        :param left: an earlier call has failed, maybe long ago: the volume
            may be in use again, and its place that of another one
        :raises VolumeFailure: the host is connected still
        """
        connection = connection_module.read(info)
        protocols.of(connection)
        if not _has_host_part(connection):
            return
        with self._alone(connection):
            known = self._records.read(connection.volume_id)
            if left and (known is None or known.users):
                return
            if known is not None and not known.path:
                # Of before the last boot of the host: another device's.
                info = _without_path(info)
            record = dataclasses.replace(
                known or _seen(connection), users=tuple(
                    user for user in known.users if user != instance.uuid)
                if known is not None else ())
            self._records.write(record)
            if self._users(record, instance) or (
                    record.path and uses.of_path(
                        record.path, but='' if left else instance.uuid)):
                if not record.users:
                    self._records.remove(connection.volume_id)
                return
            if not keep_secret:
                self._secrets.delete_of_volume(connection.volume_id)
            if not (_is(connection, protocols.HostPart.NOTHING)
                    or self._is_anothers(record)
                    or left and _has_gone(connection, record)):
                self._end(connection, record, info, instance, uses,
                          connector, force=force)
            self._records.remove(connection.volume_id)

    def extend(
            self, info: dict[str, Any], connector: ports.VolumeConnector,
            size_bytes: int) -> int:
        """Let the host see that a volume has grown.

        :param size_bytes: what the volume service says
        :returns: how many bytes the guest is to see
        :raises VolumeFailure: the host does not see all of them
        """
        connection = connection_module.read(info)
        if not _is(connection, protocols.HostPart.DEVICE):
            # QEMU makes a file larger by itself, and asks a server.
            return connector.extend_decrypted(info, size_bytes)
        with self._alone(connection):
            found_bytes = connector.extend(info)
            if found_bytes < size_bytes:
                raise connection.failure(
                    f'{connection.device_path} has {found_bytes} bytes '
                    f'after it was extended, and not {size_bytes}',
                    hint='see whether each path to it is up, and extend it '
                    'again')
            record = self._records.read(connection.volume_id)
            if record is not None:
                self._records.write(dataclasses.replace(
                    record, size_bytes=found_bytes))
            return connector.extend_decrypted(info, found_bytes)

    def _end(
            self, connection: connection_module.VolumeConnection,
            record: records_module.Record, info: dict[str, Any],
            instance: instance_spec.Instance, uses: uses_module.Uses,
            connector: ports.VolumeConnector, *, force: bool) -> None:
        if self._is_mount_used(connection, record.path, instance, uses):
            return
        connector.disconnect(info, force=force)
        if _is(connection, protocols.HostPart.DEVICE) and (
                identity.is_there(record.wwn) if record.wwn
                else os.path.exists(record.path)):
            raise connection.failure(
                f'the device {record.wwn or record.path} is still there '
                'after it was '
                'disconnected', hint='see which process has it open; it is '
                'tried again until the device has gone')

    @contextlib.contextmanager
    def _alone(
            self, connection: connection_module.VolumeConnection
    ) -> Iterator[None]:
        with self._records.locked(
                _shared(connection) or connection.volume_id, LOCK_TIMEOUT_S):
            yield

    def _refuse_shared(
            self, connection: connection_module.VolumeConnection,
            instance: instance_spec.Instance,
            last: records_module.Record | None) -> None:
        users = self._users(last, instance)
        if users and not connection.shareable:
            raise connection.failure(
                f'instance {", ".join(sorted(users))} on this host uses it, '
                'and it is not for several')

    def _is_anothers(self, record: records_module.Record) -> bool:
        """Say whether another volume has the device by now."""
        return bool(record.path) and any(
            other.path == record.path and other.users
            and other.volume_id != record.volume_id
            for other in self._records.all())

    def _users(
            self, record: records_module.Record | None,
            instance: instance_spec.Instance) -> set[str]:
        """Return the other instances for which the host is connected."""
        return {user for user in (() if record is None else record.users)
                if user != instance.uuid
                and self._records.has_instance(user)}

    def _is_mount_used(
            self, connection: connection_module.VolumeConnection, path: str,
            instance: instance_spec.Instance,
            uses: uses_module.Uses) -> bool:
        """Say whether another volume on the same mount is in use."""
        shared = _shared(connection)
        if not shared:
            return False
        return any(
            other.shared == shared and other.users
            for other in self._but(connection)) or bool(
                path and uses.below(os.path.dirname(path), but=instance.uuid))

    def _checked(
            self, volume: volume_spec.Volume,
            connection: connection_module.VolumeConnection, wwn: str,
            last: records_module.Record | None,
            instance: instance_spec.Instance,
            uses: uses_module.Uses) -> identity.Identity:
        found = identity.ask(connection)
        if _is(connection, protocols.HostPart.MOUNT):
            return found
        identity.check(
            connection, found, answered_wwn=wwn, last=last,
            others=self._but(connection), at_least_bytes=volume.size_bytes)
        taken = uses.of_path(connection.device_path, but=instance.uuid)
        if taken and not connection.shareable:
            raise connection.failure(
                f'the device {connection.device_path} is in use by instance '
                f'{", ".join(sorted(taken))}')
        return found

    def _but(
            self, connection: connection_module.VolumeConnection
    ) -> list[records_module.Record]:
        return [record for record in self._records.all()
                if record.volume_id != connection.volume_id]

    def _unlocked(
            self, connection: connection_module.VolumeConnection,
            info: dict[str, Any], connector: ports.VolumeConnector) -> str:
        """Return the uuid of the secret by which QEMU decrypts a volume."""
        # Before any key is asked for: a start without a user's rights, as
        # after a boot of the host, has only this.
        known = self._secrets.find_of_volume(connection.volume_id)
        if known is not None or not connection.encrypted:
            return known or ''
        passphrase = connector.unlock(info)
        if passphrase is None:
            return ''
        return self._secrets.keep_of_volume(
            connection.volume_id, passphrase,
            ephemeral=connector.settings.ephemeral_secrets)


def _begun(
        connection: connection_module.VolumeConnection,
        instance: instance_spec.Instance,
        last: records_module.Record | None) -> records_module.Record:
    """Return the record of a volume that is about to be connected."""
    known = last or records_module.Record(volume_id=connection.volume_id)
    return dataclasses.replace(
        known, shared=_shared(connection),
        place=records_module.place(connection),
        users=tuple(sorted({*known.users, instance.uuid})))


def _is(
        connection: connection_module.VolumeConnection,
        host_part: protocols.HostPart) -> bool:
    return protocols.of(connection).host_part is host_part


def _has_host_part(
        connection: connection_module.VolumeConnection) -> bool:
    return connection.encrypted or not _is(
        connection, protocols.HostPart.NOTHING)


def _shared(connection: connection_module.VolumeConnection) -> str:
    """Return the export whose mount the volume shares with others."""
    if not _is(connection, protocols.HostPart.MOUNT):
        return ''
    connection.text('export')
    data = secrecy.without(connection.info)['data']
    return records_module.digest([connection.protocol, data['export']])


def _path(connection: connection_module.VolumeConnection) -> str:
    path = connection.device_path
    return os.path.realpath(path) if path else ''


def _without_path(info: dict[str, Any]) -> dict[str, Any]:
    data = {**info['data']}
    data.pop('device_path', None)
    return {**info, 'data': data}


def _seen(
        connection: connection_module.VolumeConnection
) -> records_module.Record:
    """Return the record of a volume that another driver has connected."""
    path = _path(connection)
    return records_module.Record(
        volume_id=connection.volume_id, shared=_shared(connection), path=path,
        place=records_module.place(connection), wwn=identity.at(path).wwn
        if _is(connection, protocols.HostPart.DEVICE) else '')


def _has_gone(
        connection: connection_module.VolumeConnection,
        record: records_module.Record) -> bool:
    """Say whether no device of a volume can be left on this host.

    A connector finds SCSI devices by a number alone, which may be another
    volume's by now. Of other protocols it knows the volume itself.
    """
    if protocols.of(connection).backing is not block.scsi:
        return False
    return not (identity.is_there(record.wwn) if record.wwn else record.path)
