# SPDX-License-Identifier: Apache-2.0

"""What libvirt has to know to open the TPM of a guest, or a volume."""

from collections.abc import Iterator
import contextlib
import uuid as uuid_module

import libvirt
from oslo_log import log as logging

from nova_libvirt_driver.calls import errors
from nova_libvirt_driver.calls import protocol
from nova_libvirt_driver.connection import link as link_module
from nova_libvirt_driver import exception
from nova_libvirt_driver.spec import device as device_spec
from nova_libvirt_driver.spec import instance as instance_spec
from nova_libvirt_driver.xmlmodel import secret as secret_model

LOG = logging.getLogger(__name__)

_VOLUME = libvirt.VIR_SECRET_USAGE_TYPE_VOLUME


class Secrets:
    """Secrets of TPMs, each named after the uuid of its instance.

    Libvirt wants one when a guest is started, and never again. The secret of
    a volume is named after the volume, and wanted whenever a guest gets it.
    Nova's own driver names both in the same way.
    """

    def __init__(self, link: link_module.Link) -> None:
        self._link = link

    @contextlib.contextmanager
    def holding(
            self, instance: instance_spec.Instance,
            secret: device_spec.TpmSecret) -> Iterator[None]:
        """Let libvirt have a secret within the context.

        One that is not kept is in libvirt's memory only, and no one can
        read it from there. One that is kept stays unless the context ends
        with an exception.

        :raises DriverError: libvirt does not take it; it has none then
        """
        self._link.call(
            'define the secret of the TPM',
            lambda connection: _define(connection, instance.uuid, secret),
            instance=instance.uuid)
        done = False
        try:
            yield
            done = True
        finally:
            if not (done and secret.kept):
                self._drop(instance)

    def find(self, instance: instance_spec.Instance) -> str | None:
        """Return the uuid of the secret, None when libvirt has none."""
        return self._link.call(
            'find the secret of the TPM',
            lambda connection: _uuid(_lookup(connection, instance.uuid)),
            instance=instance.uuid)

    def read(
            self, instance: instance_spec.Instance
    ) -> device_spec.TpmSecret | None:
        """Return the secret that libvirt keeps, None when it has none.

        :raises LibvirtFailure: it is not one that is kept
        """
        def read(
                connection: protocol.Connection
        ) -> device_spec.TpmSecret | None:
            secret = _lookup(connection, instance.uuid)
            return None if secret is None else device_spec.TpmSecret(
                uuid=secret.UUIDString(), value=secret.value(), kept=True)

        return self._link.call('read the secret of the TPM', read,
                               instance=instance.uuid)

    def delete(self, instance: instance_spec.Instance) -> None:
        """Remove the secret; idempotent."""
        self._link.call(
            'remove the secret of the TPM',
            lambda connection: _undefine(_lookup(connection, instance.uuid)),
            instance=instance.uuid)

    def find_of_volume(self, volume_id: str) -> str | None:
        """Return the uuid of a volume's secret, None without one."""
        return self._link.call(
            'find the secret of a volume',
            lambda connection: _uuid(_lookup(connection, volume_id, _VOLUME)))

    def keep_of_volume(
            self, volume_id: str, passphrase: bytes, *,
            ephemeral: bool) -> str:
        """Let libvirt have what a volume is encrypted with; return its uuid.

        Libvirt never shows it.

        :param ephemeral: it is gone when libvirt's daemon restarts; else it
            stays until it is deleted, for starts without a user's rights
        :raises DriverError: libvirt does not take it; it has none then
        """
        described = secret_model.Secret()
        described.ephemeral, described.private = ephemeral, True
        described.uuid = str(uuid_module.uuid4())
        described.usage_type = 'volume'
        described.usage_volume = volume_id

        def keep(connection: protocol.Connection) -> str:
            # One volume has one secret; another caller may have been faster.
            _undefine(_lookup(connection, volume_id, _VOLUME))
            return _set(connection, described, passphrase)

        return self._link.call('define the secret of a volume', keep)

    def delete_of_volume(self, volume_id: str) -> None:
        """Remove the secret of a volume; idempotent."""
        self._link.call(
            'remove the secret of a volume',
            lambda connection: _undefine(
                _lookup(connection, volume_id, _VOLUME)))

    def _drop(self, instance: instance_spec.Instance) -> None:
        try:
            self.delete(instance)
        except exception.DriverError as error:
            # What the caller wanted is done, or has failed already. A secret
            # that is not kept goes with the daemon at the latest.
            LOG.warning('Could not remove the secret of the TPM from '
                        'libvirt: %s', error,
                        instance={'uuid': instance.uuid})


def _define(
        connection: protocol.Connection, instance_uuid: str,
        secret: device_spec.TpmSecret) -> None:
    found = _lookup(connection, instance_uuid)
    if found is not None and found.UUIDString() != secret.uuid:
        found.undefine()
    described = secret_model.Secret()
    described.ephemeral = described.private = not secret.kept
    described.uuid = secret.uuid
    described.usage_type = 'vtpm'
    described.usage_name = instance_uuid
    _set(connection, described, secret.value)


def _set(
        connection: protocol.Connection, described: secret_model.Secret,
        value: bytes) -> str:
    defined = connection.secretDefineXML(described.to_xml())
    try:
        defined.setValue(value)
    except libvirt.libvirtError:
        defined.undefine()
        raise
    return defined.UUIDString()


def _uuid(secret: protocol.Secret | None) -> str | None:
    return None if secret is None else secret.UUIDString()


def _undefine(secret: protocol.Secret | None) -> None:
    if secret is not None:
        secret.undefine()


def _lookup(
        connection: protocol.Connection, name: str,
        usage: int = libvirt.VIR_SECRET_USAGE_TYPE_VTPM
) -> protocol.Secret | None:
    try:
        return connection.secretLookupByUsage(usage, name)
    except libvirt.libvirtError as error:
        if errors.is_secret_missing(error):
            return None
        raise
