# SPDX-License-Identifier: Apache-2.0

"""The facet of the trusted platform module."""

from nova_libvirt_driver.configurators import checks
from nova_libvirt_driver.configurators import inputs as inputs_module
from nova_libvirt_driver import exception
from nova_libvirt_driver.xmlmodel import domain as domain_module


def apply(domain: domain_module.Domain, inputs: inputs_module.Inputs) -> None:
    """Add an emulated module.

    :raises InvalidRequest: model and version do not go together
    :raises UnsupportedOperation: the host lacks model or version
    """
    tpm = inputs.spec.devices.tpm
    if tpm is None:
        return
    known = inputs.host.capabilities
    if tpm.version == '1.2' and tpm.model == 'tpm-crb':
        raise exception.InvalidRequest(
            reason='a TPM of version 1.2 needs the model tpm-tis')
    checks.supported('TPM model', tpm.model, known.tpm_models)
    checks.supported('TPM version', tpm.version, known.tpm_versions)
    element = domain.devices.tpms.add()
    element.model = tpm.model
    element.backend_type = 'emulator'
    element.backend_version = tpm.version
    if tpm.secret_uuid:
        checks.uuid_of_secret('the TPM', tpm.secret_uuid)
        element.encryption_secret_uuid = tpm.secret_uuid
