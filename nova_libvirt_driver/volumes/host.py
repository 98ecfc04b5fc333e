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
import functools
import os
from typing import Any

from oslo_log import log as logging

from nova_libvirt_driver import exception
from nova_libvirt_driver.guest import secrets as secrets_module
from nova_libvirt_driver import ports
from nova_libvirt_driver.spec import disk as disk_spec
from nova_libvirt_driver.spec import instance as instance_spec
from nova_libvirt_driver.spec import volume as volume_spec
from nova_libvirt_driver.volumes import connection as connection_module
from nova_libvirt_driver.volumes import identity
from nova_libvirt_driver.volumes import protocols
from nova_libvirt_driver.volumes import records as records_module
from nova_libvirt_driver.volumes import secrecy
from nova_libvirt_driver.xmlmodel.devices import disk as disk_model
from nova_libvirt_driver.xmlmodel import domain as domain_model

LOG = logging.getLogger(__name__)

LOCK_TIMEOUT_S = 600.0
"""Longer than a connector takes for one volume, whatever hangs."""


@dataclasses.dataclass(frozen=True, slots=True)
class Use:
    """One disk of one domain."""

    uuid: str
    """Of the domain."""
    path: str
    """Empty where it says nothing: the device of a stopped domain may have
    another name by now, and its name another device."""
    serial: str


class Uses:
    """The disks of all domains, read once and when they are first needed.

    :param definitions: returns the XML of all domains
    """

    def __init__(self, definitions: Callable[[], Iterable[str]]) -> None:
        self._definitions = definitions

    @functools.cached_property
    def _all(self) -> list[Use]:
        return [
            Use(domain.uuid or '', _path_of(domain, disk), disk.serial or '')
            for domain in map(
                domain_model.Domain.parse, self._definitions())
            for disk in domain.devices.disks]

    def of_path(self, path: str, *, but: str) -> set[str]:
        """Return the uuids of domains that have a file or device.

        :param but: uuid that does not count
        """
        real = os.path.realpath(path)
        return {use.uuid for use in self._all if use.path == real} - {but}

    def has_volume(self, uuid: str, serial: str) -> bool:
        """Say whether a domain has a disk of that serial number.

        After a swap it has that of another volume, which may be in use by
        another domain: so a serial number finds a volume in one domain only.
        """
        return any(use.uuid == uuid and use.serial == serial
                   for use in self._all)

    def below(self, folder: str, *, but: str) -> set[str]:
        """Return the uuids of domains that have a file in a folder."""
        real = os.path.realpath(folder)
        return {use.uuid for use in self._all
                if os.path.dirname(use.path) == real} - {but}


def _path_of(domain: domain_model.Domain, disk: disk_model.Disk) -> str:
    path = disk.source_file or (
        disk.source_dev if domain.id is not None else '')
    return os.path.realpath(path) if path else ''


@dataclasses.dataclass(frozen=True, slots=True)
class HostVolumes:
    """The volumes of one host.

    :param definitions: returns the XML of all domains
    """

    records: records_module.Records
    secrets: secrets_module.Secrets
    definitions: Callable[[], Iterable[str]]

    def look(self) -> Uses:
        """Return which domains have which disks.

        For one call of a verb: what is connected later is in the records.
        """
        return Uses(self.definitions)

    def has_part(self, info: dict[str, Any]) -> bool | None:
        """Say whether the host keeps anything of a volume itself.

        :returns: None when that is not known: nor is its protocol, or *info*
            makes no sense
        """
        try:
            return _has_host_part(connection_module.read(info))
        except exception.VolumeFailure:
            return None

    def is_user(
            self, info: dict[str, Any], instance: instance_spec.Instance,
            uses: Uses) -> bool:
        """Say whether the host is connected for an instance already.

        :raises VolumeFailure: *info* makes no sense, or is of another
            protocol than those that are known
        """
        connection = connection_module.read(info)
        if not _has_host_part(connection):
            return False
        record = self.records.read(connection.volume_id)
        # One that another driver has connected is in the domain only.
        return (record is not None and instance.uuid in record.users
                or uses.has_volume(instance.uuid, connection.serial))

    def connect(
            self, volume: volume_spec.Volume,
            instance: instance_spec.Instance,
            connector: ports.VolumeConnector,
            uses: Uses) -> disk_spec.DiskSpec:
        """Connect the host for an instance; return the disk of the guest.

        What is connected already stays so. After an error something of it
        may be connected, which :meth:`disconnect` ends.

        :raises VolumeFailure: it cannot be connected; another guest uses it;
            or the device is not that of the volume
        """
        connection = connection_module.read(volume.info)
        if not _has_host_part(connection):
            return protocols.disk(
                connection, volume.place, connector.settings)
        with self._alone(connection):
            last = self.records.read(connection.volume_id)
            self._refuse_shared(connection, instance, last)
            record = _begun(connection, volume.info, instance, last)
            self.records.write(record)
            if not _is(connection, protocols.HostPart.NOTHING):
                record = self._brought(
                    volume, record, last, instance, connector, uses)
            connection = connection_module.read(volume.info)
            secret = self._unlocked(connection, volume.info, connector)
            connection = connection_module.read(volume.info)
            self._write_changed(record, _as_is(
                record, connection, volume.info))
            return protocols.disk(
                connection, volume.place, connector.settings,
                secret_uuid=secret)

    def disconnect(
            self, info: dict[str, Any], instance: instance_spec.Instance,
            connector: ports.VolumeConnector, uses: Uses, *,
            force: bool = False, keep_secret: bool = False,
            own: bool = False, left: bool = False) -> None:
        """Disconnect the host, unless another guest uses the volume.

        Idempotent. It need not have been connected by this process, nor by
        this driver. What was written down when it was connected counts for
        more than *info*, which may be about another host, unless the kernel
        has the volume only where *info* says. Where neither tells how this
        host is connected, or its protocol is not known, it stays so, and that
        is logged.

        :param own: only if this driver has connected it: *info* is about
            another host
        :param force: also when data that were not written yet are lost
        :param keep_secret: libvirt still has to open it without a user
        :param left: an earlier call has failed, maybe long ago: the volume
            may be in use again, and its place that of another one
        :raises VolumeFailure: the host is connected still
        """
        told = info
        found = records_module.as_connected(told, self._known(told))
        info = found or told
        connection = connection_module.read(info)
        if not _is_to_end(connection, found, instance):
            return
        with self._alone(connection):
            known = self._known(told)
            if own and known is None:
                _log_kept(connection, instance, 'another driver, if any')
                return
            if left and (known is None or known.users):
                return
            if known is not None and not known.path:
                # Of before the last boot of the host: another device's.
                info = records_module.anywhere(info, 'device_path')
            record = dataclasses.replace(
                known or _seen(connection), users=tuple(
                    user for user in known.users if user != instance.uuid)
                if known is not None else ())
            self.records.write(record)
            if self._users(record, instance) or (
                    record.path and uses.of_path(
                        record.path, but='' if left else instance.uuid)):
                if not record.users:
                    self.records.remove(connection.volume_id)
                return
            if not keep_secret:
                self.secrets.delete_of_volume(connection.volume_id)
            if not (_is(connection, protocols.HostPart.NOTHING)
                    or self._is_anothers(record)
                    or left and _has_gone(connection, record)):
                self._end(connection, record, info, instance, uses,
                          connector, force=force)
            self.records.remove(connection.volume_id)

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
            record = self.records.read(connection.volume_id)
            if record is not None:
                self.records.write(dataclasses.replace(
                    record, size_bytes=found_bytes))
            return connector.extend_decrypted(info, found_bytes)

    def _brought(
            self, volume: volume_spec.Volume, begun: records_module.Record,
            last: records_module.Record | None,
            instance: instance_spec.Instance,
            connector: ports.VolumeConnector,
            uses: Uses) -> records_module.Record:
        """Connect the host to a volume; return its record, as written.

        :param last: what was written down before
        """
        wwn = connector.connect(volume.info)
        connection = connection_module.read(volume.info)
        record = _as_is(begun, connection, volume.info)
        try:
            found = self._checked(
                volume, connection, wwn, last, instance, uses)
        except exception.VolumeFailure:
            # So it is known whose device is not touched.
            self.records.write(record)
            raise
        record = dataclasses.replace(
            record, wwn=found.wwn, size_bytes=found.size_bytes)
        self.records.write(record)
        return record

    def _write_changed(
            self, before: records_module.Record,
            record: records_module.Record) -> None:
        # To bring one to the disk takes its time.
        if record != before:
            self.records.write(record)

    def _known(self, told: dict[str, Any]) -> records_module.Record | None:
        """Return the record of a volume, corrected if it is out of date.

        Another driver may have connected the host in another place since it
        was written.
        """
        record = self.records.read(connection_module.id_of(told))
        if record is None or not record.wwn:
            return record
        connection = connection_module.read(told)
        place, luns = records_module.place(connection), _luns(told)
        if record.place == place or not luns:
            return record
        found = identity.luns(record.wwn)
        if not luns <= found or record.info and _luns(record.info) & found:
            return record
        return dataclasses.replace(
            record, place=place, info=secrecy.without(told),
            # After a boot neither tells the name of a device.
            path=record.path and _path(connection))

    def _end(
            self, connection: connection_module.VolumeConnection,
            record: records_module.Record, info: dict[str, Any],
            instance: instance_spec.Instance, uses: Uses,
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
        with self.records.locked(
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
            for other in self.records.all())

    def _users(
            self, record: records_module.Record | None,
            instance: instance_spec.Instance) -> set[str]:
        """Return the other instances for which the host is connected."""
        return {user for user in (() if record is None else record.users)
                if user != instance.uuid
                and self.records.has_instance(user)}

    def _is_mount_used(
            self, connection: connection_module.VolumeConnection, path: str,
            instance: instance_spec.Instance,
            uses: Uses) -> bool:
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
            uses: Uses) -> identity.Identity:
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
        return [record for record in self.records.all()
                if record.volume_id != connection.volume_id]

    def _unlocked(
            self, connection: connection_module.VolumeConnection,
            info: dict[str, Any], connector: ports.VolumeConnector) -> str:
        """Return the uuid of the secret by which QEMU decrypts a volume."""
        # Before any key is asked for: a start without a user's rights, as
        # after a boot of the host, has only this.
        known = self.secrets.find_of_volume(connection.volume_id)
        if known is not None or not connection.encrypted:
            return known or ''
        passphrase = connector.unlock(info)
        if passphrase is None:
            return ''
        return self.secrets.keep_of_volume(
            connection.volume_id, passphrase,
            ephemeral=connector.settings.ephemeral_secrets)


def _begun(
        connection: connection_module.VolumeConnection, info: dict[str, Any],
        instance: instance_spec.Instance,
        last: records_module.Record | None) -> records_module.Record:
    """Return the record of a volume that is about to be connected."""
    known, place = last or records_module.Record(
        volume_id=connection.volume_id), records_module.place(connection)
    return dataclasses.replace(
        known, shared=_shared(connection), place=place,
        # What is told may name a device of another host.
        info=secrecy.without(
            known.place == place and known.info is not None
            and records_module.as_connected(info, known)
            or records_module.anywhere(info)),
        users=tuple(sorted({*known.users, instance.uuid})))


def _as_is(
        record: records_module.Record,
        connection: connection_module.VolumeConnection,
        info: dict[str, Any]) -> records_module.Record:
    """Return the record of a volume that is connected as *info* says."""
    return dataclasses.replace(
        record, path=_path(connection), info=secrecy.without(info))


def _is(
        connection: connection_module.VolumeConnection,
        host_part: protocols.HostPart) -> bool:
    return protocols.of(connection).host_part is host_part


def _has_host_part(
        connection: connection_module.VolumeConnection) -> bool:
    # Raises for an unknown protocol, also of one that is encrypted.
    return not _is(
        connection, protocols.HostPart.NOTHING) or connection.encrypted


def _shared(connection: connection_module.VolumeConnection) -> str:
    """Return the export whose mount the volume shares with others."""
    if not _is(connection, protocols.HostPart.MOUNT):
        return ''
    connection.text('export')
    data = secrecy.without(connection.info)['data']
    return records_module.digest([connection.protocol, data['export']])


def _luns(info: dict[str, Any]) -> set[str]:
    """Return the numbers by which a host finds a volume of SCSI."""
    data = info['data']
    return {str(lun) for lun in (
        data.get('target_lun'), *(data.get('target_luns') or ()))
        if lun is not None}


def _is_to_end(
        connection: connection_module.VolumeConnection,
        found: dict[str, Any] | None,
        instance: instance_spec.Instance) -> bool:
    """Say whether the host may be connected, and how is known.

    :param found: how it is, if that is written down or told
    """
    if connection.protocol not in protocols.PROTOCOLS:
        LOG.warning(
            'The host is not disconnected from volume %s: this driver does '
            'not know the protocol %s; see whether a device of it is left',
            connection.volume_id, connection.protocol,
            instance={'uuid': instance.uuid})
        return False
    if not _has_host_part(connection):
        return False
    if found is None and not _is(connection, protocols.HostPart.NOTHING):
        _log_kept(connection, instance, 'a former version of this driver')
        return False
    return True


def _log_kept(
        connection: connection_module.VolumeConnection,
        instance: instance_spec.Instance,
        whose: str) -> None:
    LOG.warning(
        'The host is not disconnected from volume %s: what is said of it is '
        'about another host, and what connected this one was %s; see whether '
        'a device of it is left', connection.volume_id, whose,
        instance={'uuid': instance.uuid})


def _path(connection: connection_module.VolumeConnection) -> str:
    path = connection.device_path
    return os.path.realpath(path) if path else ''


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
    if protocols.of(connection) is not protocols.SCSI:
        return False
    return not (identity.is_there(record.wwn) if record.wwn else record.path)
