# SPDX-License-Identifier: Apache-2.0

"""Emulated TPMs, and their secrets in Nova's key manager."""

from collections.abc import Iterator
import contextlib
from typing import Any

from castellan.common import exception as castellan_exception
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


@contextlib.contextmanager
def opened(
        core: base.ComputeDriver, context: Any, instance: Any
) -> Iterator[None]:
    """Let the TPM of an instance be opened within, if it has one.

    Its secret comes from the key manager, by the rights of the caller or of
    Nova itself, as the flavor says; one for the host is asked for once.

    :raises NovaException: the key manager does not give it
    """
    if not CONF.libvirt.swtpm_enabled or spec(instance) is None:
        yield
        return
    kept = vtpm is not None and (
        vtpm.get_instance_tpm_secret_security(instance.flavor) == 'host')
    if kept and core.find_tpm_secret(instance):
        yield
        return
    with core.holding_tpm_secret(instance, _secret(context, instance, kept)):
        yield


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
            'the key manager does not give the secret of the TPM: '
            f'{error}') from error
    return device_spec.TpmSecret(uuid=uuid, value=value, kept=kept)


def forget(
        core: base.ComputeDriver, context: Any, instance: Any,
        destroy_secrets: bool) -> None:
    """Remove what libvirt, and an older Nova, know of the secret.

    :param destroy_secrets: the instance goes for ever
    """
    if instance.system_metadata.get(_UUID) is None:
        return
    core.delete_tpm_secret(instance)
    if vtpm is None and destroy_secrets:
        crypto.delete_vtpm_secret(context, instance)
