# SPDX-License-Identifier: Apache-2.0

"""Emulated TPMs, and their secrets in Nova's key manager."""

from collections.abc import Iterator
import contextlib
import dataclasses
from typing import Any

from castellan.common import exception as castellan_exception
from nova.compute import task_states
from nova import crypto
from nova import exception as nova_exception
from nova.virt import hardware
try:
    from nova import vtpm
except ImportError:
    # Nova 32 and older ones have one kind of secrets only.
    vtpm = None

import nova.conf
from nova_libvirt_driver import base
from nova_libvirt_driver import exception
from nova_libvirt_driver.spec import device as device_spec
from nova_libvirt_driver.spec import guest as guest_spec

CONF = nova.conf.CONF

_UUID = 'vtpm_secret_uuid'


def spec(instance: Any) -> device_spec.TpmSpec | None:
    """Return the TPM that flavor and image ask for, if they do.

    :raises InvalidRequest: this host gives none
    """
    asked = hardware.get_vtpm_constraint(
        instance.flavor, instance.image_meta)
    if asked is None:
        return None
    if not CONF.libvirt.swtpm_enabled:
        raise exception.InvalidRequest(
            reason='it asks for a TPM, and [libvirt] swtpm_enabled is off')
    return device_spec.TpmSpec(
        version=asked.version, model=asked.model,
        secret_uuid=instance.system_metadata.get(_UUID, ''))


class Secret:
    """The attachment that lets libvirt open the TPM of one instance.

    The secret comes from the key manager, by the rights of the caller or of
    Nova itself, as the flavor says; one for the host is asked for once.

    :param destroy_secrets: the instance goes for ever
    """

    name = 'TPM secret'

    def __init__(
            self, core: base.ComputeDriver, context: Any, instance: Any, *,
            destroy_secrets: bool = False) -> None:
        self._core = core
        self._context = context
        self._instance = instance
        self._destroy_secrets = destroy_secrets
        self._secret: device_spec.TpmSecret | None = None

    def prepare(self, spec: guest_spec.GuestSpec) -> guest_spec.GuestSpec:
        """Return the guest with the uuid of its secret, if it has a TPM.

        :raises NovaException: the key manager does not give it
        """
        tpm = spec.devices.tpm
        if tpm is None:
            return spec
        kept = _is_kept(self._instance)
        if kept and self._core.find_tpm_secret(self._instance):
            return spec
        self._secret = _secret(self._context, self._instance, kept)
        return dataclasses.replace(spec, devices=dataclasses.replace(
            spec.devices, tpm=dataclasses.replace(
                tpm, secret_uuid=self._secret.uuid)))

    @contextlib.contextmanager
    def connect(self) -> Iterator[bool]:
        """Let libvirt have the secret."""
        with (contextlib.nullcontext() if self._secret is None
              else self._core.holding_tpm_secret(
                  self._instance, self._secret)):
            yield False

    def revert(self) -> None:
        """Remove what libvirt did not know before.

        Also one that is not kept: libvirt may have taken it too late.
        """
        if self._secret is not None:
            self._core.delete_tpm_secret(self._instance)

    def disconnect(self) -> None:
        """Remove what libvirt, and an older Nova, know of the secret."""
        if self._instance.system_metadata.get(_UUID) is None:
            return
        self._core.delete_tpm_secret(self._instance)
        if vtpm is None and self._destroy_secrets and not _goes_on(
                self._instance):
            crypto.delete_vtpm_secret(self._context, self._instance)


class Coming(Secret):
    """The attachment of a server that comes while it runs.

    :param data: of the host that it leaves, with the secret that it keeps
    """

    def __init__(
            self, core: base.ComputeDriver, context: Any, instance: Any,
            data: Any) -> None:
        super().__init__(core, context, instance)
        self._data = data

    def prepare(self, spec: guest_spec.GuestSpec) -> guest_spec.GuestSpec:
        """Return the guest as it is."""
        data = self._data
        if 'vtpm_secret_value' in data and data.vtpm_secret_value:
            self._secret = device_spec.TpmSecret(
                uuid=data.vtpm_secret_uuid, kept=True,
                value=data.vtpm_secret_value.encode('ascii'))
        return spec


def tell(core: base.ComputeDriver, instance: Any, data: Any) -> None:
    """Have the host to which a server goes know the secret of its TPM.

    :raises MigrationPreCheckError: it is not one that hosts keep, as only
        that can go along; or libvirt here has lost it
    """
    if hardware.get_vtpm_constraint(
            instance.flavor, instance.image_meta) is None:
        return
    if not _is_kept(instance) or 'vtpm_secret_value' not in data.fields:
        raise nova_exception.MigrationPreCheckError(
            reason='the secret of its TPM cannot go along: that takes '
            'hw:tpm_secret_security=host in the flavor, and Nova 34 or later')
    secret = core.read_tpm_secret(instance)
    if secret is None:
        raise nova_exception.MigrationPreCheckError(
            reason='libvirt has lost the secret of its TPM; reboot the '
            'server hard')
    data.vtpm_secret_uuid = secret.uuid
    data.vtpm_secret_value = secret.value.decode('ascii')


def _is_kept(instance: Any) -> bool:
    """Say whether the secret is one that libvirt keeps."""
    return vtpm is not None and (vtpm.get_instance_tpm_secret_security(
        instance.flavor) == 'host')


def _goes_on(instance: Any) -> bool:
    """Say whether a server only leaves this host.

    Elsewhere it could not read what its TPM remembers without the secret, as
    after a resize that is reverted (LP 2125030).
    """
    return (instance.task_state == task_states.RESIZE_REVERTING
            or instance.host not in (None, CONF.host))


def forget_unused(
        context: Any, instance: Any, *, kept: Any, gone: Any) -> None:
    """Delete the secret of a TPM that a server has by one flavor alone.

    :param kept: the flavor that it keeps after a resize
    :param gone: the other one
    """
    if None in (kept, gone) or hardware.get_vtpm_constraint(
            kept, instance.image_meta):
        return
    if not hardware.get_vtpm_constraint(gone, instance.image_meta):
        return
    if vtpm is None:
        crypto.delete_vtpm_secret(context, instance)
    else:
        vtpm.delete_secret(context, instance, flavor=gone)


def _secret(
        context: Any, instance: Any, kept: bool) -> device_spec.TpmSecret:
    ensure = (crypto.ensure_vtpm_secret if vtpm is None
              else vtpm.get_or_create_secret)
    try:
        uuid, value = ensure(context, instance)
    except castellan_exception.ManagedObjectNotFoundError as error:
        raise nova_exception.NovaException(
            'the key manager has no secret '
            f'{instance.system_metadata[_UUID]} any more, which the TPM is '
            'encrypted with; restore it there') from error
    except castellan_exception.KeyManagerError as error:
        raise nova_exception.NovaException(
            'the key manager does not give the secret of the TPM') from error
    return device_spec.TpmSecret(uuid=uuid, value=value, kept=kept)
