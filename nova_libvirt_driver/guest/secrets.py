# SPDX-License-Identifier: Apache-2.0

"""What libvirt has to know to open the TPM of a guest."""

from collections.abc import Iterator
import contextlib

import libvirt
from oslo_log import log as logging

from nova_libvirt_driver.connection import errors
from nova_libvirt_driver.connection import link as link_module
from nova_libvirt_driver.connection import protocol
from nova_libvirt_driver import exception
from nova_libvirt_driver.spec import device as device_spec
from nova_libvirt_driver.spec import instance as instance_spec
from nova_libvirt_driver.xmlmodel import secret as secret_model

LOG = logging.getLogger(__name__)


class Secrets:
    """Secrets of TPMs, each named after the uuid of its instance.

    Nova's own driver names them in the same way. Libvirt wants one when a
    guest is started, and never again.
    """

    def __init__(self, link: link_module.Link) -> None:
        self._link = link

    @contextlib.contextmanager
    def holding(
            self, instance: instance_spec.Instance,
            secret: device_spec.TpmSecret) -> Iterator[None]:
        """Let libvirt have a secret within the context.

        One that is not kept is in libvirt's memory only, and nobody can
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
        def find(connection: protocol.Connection) -> str | None:
            found = _lookup(connection, instance.uuid)
            return None if found is None else found.UUIDString()

        return self._link.call('find the secret of the TPM', find,
                               instance=instance.uuid)

    def delete(self, instance: instance_spec.Instance) -> None:
        """Remove the secret; idempotent."""
        def delete(connection: protocol.Connection) -> None:
            found = _lookup(connection, instance.uuid)
            if found is not None:
                found.undefine()

        self._link.call('remove the secret of the TPM', delete,
                        instance=instance.uuid)

    def _drop(self, instance: instance_spec.Instance) -> None:
        try:
            self.delete(instance)
        except exception.DriverError as error:
            # What the caller wanted is done, or has failed already. A secret
            # that is not kept goes with the daemon at the latest.
            LOG.warning('Guest %s: the secret of its TPM is still known to '
                        'libvirt: %s', instance.uuid, error)


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
    defined = connection.secretDefineXML(described.to_xml())
    try:
        defined.setValue(secret.value)
    except libvirt.libvirtError:
        defined.undefine()
        raise


def _lookup(
        connection: protocol.Connection,
        instance_uuid: str) -> protocol.Secret | None:
    try:
        return connection.secretLookupByUsage(
            libvirt.VIR_SECRET_USAGE_TYPE_VTPM, instance_uuid)
    except libvirt.libvirtError as error:
        if errors.is_secret_missing(error):
            return None
        raise
