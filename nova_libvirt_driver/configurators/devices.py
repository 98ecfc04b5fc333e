# SPDX-License-Identifier: Apache-2.0

"""Facets of devices of which a guest has one, or none."""

from nova_libvirt_driver.configurators import checks
from nova_libvirt_driver.configurators import inputs as inputs_module
from nova_libvirt_driver.configurators import machine
from nova_libvirt_driver import exception
from nova_libvirt_driver.spec import policy as policy_spec
from nova_libvirt_driver.xmlmodel import domain as domain_module

_RNG_BACKEND = 'random'
_SOUND_CARDS = ('ac97', 'es1370', 'ich6', 'ich9', 'pcspk', 'sb16', 'usb',
                'virtio')
# The lower ones are the hypervisor's and the host's; 2**32 - 1 is "any".
_FIRST_SOCKET, _LAST_SOCKET = 3, 2 ** 32 - 2
_VIRTIO_IOMMU_SINCE = 8_003_000
_VIRTIO_SOUND_SINCE = 10_004_000, 8_002_000


def add_balloon(
        domain: domain_module.Domain, inputs: inputs_module.Inputs) -> None:
    """Add the balloon, or keep libvirt from adding one."""
    element = domain.devices.memballoons.add()
    if not (inputs.spec.memory.balloon and inputs.policy.stats_period_s):
        element.model = 'none'
        return
    element.model = 'virtio'
    # Both give memory back where it is short, in the guest or the host.
    element.autodeflate = True
    element.free_page_reporting = True
    element.stats_period_s = inputs.policy.stats_period_s


def add_rng(
        domain: domain_module.Domain, inputs: inputs_module.Inputs) -> None:
    """Add the source of random numbers.

    :raises InvalidRequest: its limit is no limit
    """
    rng = inputs.spec.devices.rng
    if rng is None:
        return
    if rng.period_ms is not None and rng.rate_bytes is None:
        raise exception.InvalidRequest(
            reason='a period without bytes limits no random numbers')
    checks.supported('source of random numbers', _RNG_BACKEND,
                     inputs.host.capabilities.rng_backends)
    checks.path('the source of random numbers', inputs.policy.rng_path)
    element = domain.devices.rngs.add()
    element.model = 'virtio'
    element.backend_model = _RNG_BACKEND
    element.backend = inputs.policy.rng_path
    if rng.period_ms is not None or (
            policy_spec.LikeNova.RNG_LIMIT not in inputs.policy.like_nova):
        element.rate_bytes = rng.rate_bytes
        element.rate_period_ms = rng.period_ms


def add_watchdog(
        domain: domain_module.Domain, inputs: inputs_module.Inputs) -> None:
    """Add a watchdog, the one model that all guests have drivers for."""
    action = inputs.spec.devices.watchdog
    if action is None:
        return
    element = domain.devices.watchdogs.add()
    element.model = 'i6300esb'
    element.action = action.value


def add_sound(
        domain: domain_module.Domain, inputs: inputs_module.Inputs) -> None:
    """Add the sound card.

    :raises InvalidRequest: there is no such model
    :raises UnsupportedOperation: libvirt or QEMU is too old for it
    """
    model = inputs.spec.devices.sound
    if not model:
        return
    if model not in _SOUND_CARDS:
        raise exception.InvalidRequest(
            reason=f'there is no sound card {model}: take one of '
            f'{", ".join(_SOUND_CARDS)}')
    libvirt_version, qemu_version = _VIRTIO_SOUND_SINCE
    if model == 'virtio' and (
            inputs.host.libvirt_version < libvirt_version
            or inputs.host.hypervisor_version < qemu_version):
        raise exception.UnsupportedOperation(
            tried='give a guest a sound card of the model virtio',
            reason='it needs libvirt 10.4 and QEMU 8.2')
    domain.devices.sounds.add().model = model


def add_tpm(
        domain: domain_module.Domain, inputs: inputs_module.Inputs) -> None:
    """Add an emulated TPM.

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


def add_vsock(
        domain: domain_module.Domain, inputs: inputs_module.Inputs) -> None:
    """Add the socket between guest and host.

    :raises InvalidRequest: its number is reserved
    """
    cid = inputs.spec.devices.vsock_cid
    if cid is None:
        return
    if not _FIRST_SOCKET <= cid <= _LAST_SOCKET:
        raise exception.InvalidRequest(
            reason=f'{cid} cannot be the number of a guest\'s socket')
    element = domain.devices.vsocks.add()
    element.model = 'virtio'
    element.cid_auto = False
    element.cid_address = cid


def add_iommu(
        domain: domain_module.Domain, inputs: inputs_module.Inputs) -> None:
    """Add the IOMMU.

    :raises InvalidRequest: there is no such model
    :raises UnsupportedOperation: the machine or libvirt cannot have it
    """
    asked = inputs.spec.devices.iommu
    if asked is None:
        return
    model = asked.model
    if model == 'auto':
        model = _suitable_iommu(inputs)
    _check_iommu(model, inputs)
    element = domain.devices.iommus.add()
    element.model = model
    if model != 'intel':
        return
    element.intremap = True
    # Without KVM QEMU (7.2) refuses the extended mode.
    element.eim = asked.eim and inputs.kvm
    element.caching_mode = asked.caching_mode
    element.iotlb = asked.iotlb
    element.aw_bits = asked.address_bits
    # Remapped interrupts need an interrupt controller outside the kernel.
    domain.features.ioapic_driver = 'qemu'


def _suitable_iommu(inputs: inputs_module.Inputs) -> str:
    """Return the model that most guests can use; the order is Nova's."""
    if inputs.host.libvirt_version >= _VIRTIO_IOMMU_SINCE:
        return 'virtio'
    return 'intel' if inputs.x86 else 'smmuv3'


def _check_iommu(model: str, inputs: inputs_module.Inputs) -> None:
    fits = {'intel': machine.is_q35(inputs),
            'virtio': machine.has_pcie(inputs),
            'smmuv3': machine.has_pcie(inputs) and not inputs.x86}
    if model not in fits:
        raise exception.InvalidRequest(
            reason=f'there is no IOMMU {model}: take one of '
            f'{", ".join(sorted(fits))}')
    if not fits[model]:
        raise exception.UnsupportedOperation(
            tried=f'give a guest an IOMMU of the model {model}',
            reason=f'the machine {machine.canonical(inputs)} cannot have it')
    if model == 'virtio' and inputs.host.libvirt_version < _VIRTIO_IOMMU_SINCE:
        raise exception.UnsupportedOperation(
            tried='give a guest an IOMMU of the model virtio',
            reason='it needs libvirt 8.3')
