# SPDX-License-Identifier: Apache-2.0

"""Traits of the host for placement.

Those that the configuration of the host, libvirt and QEMU decide; the ones
of the driver itself Nova makes of the capability flags. A trait that is
False is taken from the host, one that is not here is set by others.
"""

from collections.abc import Iterable
from collections.abc import Set
from typing import Any

from nova import objects
from nova.objects import fields
from nova.scheduler import utils as scheduler_utils
import os_traits

import nova.conf
from nova_libvirt_driver.spec import host as host_spec

CONF = nova.conf.CONF

_QEMU_TYPES = ('kvm', 'qemu')
_DISK_BUSES = ('fdc', 'ide', 'sata', 'scsi', 'usb', 'virtio', 'lxc', 'uml',
               'xen')
_CARDS = ('e1000', 'e1000e', 'igb', 'ne2k_pci', 'pcnet', 'rtl8139',
          'spapr-vlan', 'virtio', 'vmxnet3', 'lan9118')
_CARDS_BY_EMULATION = ('lan9118',)
_SOUND = ('sb16', 'es1370', 'pcspk', 'ac97', 'ich6', 'ich9', 'usb', 'virtio')

# Since these versions of libvirt and QEMU.
_IGB = 9_003_000, 8_000_000
_VIRTIO_SOUND = 10_004_000, 8_002_000
_VIRTIO_IOMMU_LIBVIRT = 8_003_000

# Libvirt's names of CPU features; most traits are named alike.
_FEATURES = (
    '3dnow', 'abm', 'aes', 'amx-bf16', 'amx-int8', 'amx-tile', 'avx', 'avx2',
    'avx512-vpopcntdq', 'avx512bitalg', 'avx512bw', 'avx512cd', 'avx512dq',
    'avx512er', 'avx512f', 'avx512ifma', 'avx512pf', 'avx512vbmi',
    'avx512vbmi2', 'avx512vl', 'avx512vnni', 'bmi1', 'bmi2', 'f16c', 'fma',
    'fma4', 'gfni', 'mmx', 'mpx', 'pclmuldq', 'sha-ni', 'sse', 'sse2',
    'sse3', 'sse4.1', 'sse4.2', 'sse4a', 'ssse3', 'svm', 'tbm', 'vaes',
    'vmx', 'vpclmulqdq', 'xop')
_FEATURE_TRAITS = {
    'aes': ('AESNI',), 'bmi1': ('BMI',), 'fma': ('FMA3',),
    'gfni': ('AVX512GFNI',), 'pclmuldq': ('CLMUL',), 'sha-ni': ('SHA',),
    'svm': ('SVM', 'AMD_SVM'), 'vaes': ('AVX512VAES',),
    'vmx': ('VMX', 'INTEL_VMX'), 'vpclmulqdq': ('AVX512VPCLMULQDQ',)}


def host(
        facts: host_spec.HostFacts,
        offers: host_spec.HostOffers) -> dict[str, bool]:
    """Return which traits the host has, and which of the others it lacks."""
    found = {
        **_of_cpu(facts, offers),
        'COMPUTE_NET_VIRTIO_PACKED': True,
        **_named('COMPUTE_STORAGE_BUS', _DISK_BUSES, offers.disk_buses),
        **_named('COMPUTE_GRAPHICS_MODEL', fields.VideoModel.ALL,
                 offers.video_models),
        **_named('COMPUTE_NET_VIF_MODEL', _CARDS, _cards(facts)),
        **_named('COMPUTE_VIOMMU_MODEL', fields.VIOMMUModel.ALL,
                 _iommus(facts, offers)),
        **_of_tpm(offers),
        **_named('COMPUTE_SOUND_MODEL', _SOUND, _sound(facts)),
    }
    _, unknown = os_traits.check_traits(found)
    return {name: has for name, has in found.items() if name not in unknown}


def _named(
        prefix: str, names: Iterable[str], there: Set[str]
) -> dict[str, bool]:
    return {f'{prefix}_{name.replace("-", "_").upper()}': name in there
            for name in names}


def _of_cpu(
        facts: host_spec.HostFacts,
        offers: host_spec.HostOffers) -> dict[str, bool]:
    found = {
        'HW_CPU_HYPERTHREADING': any(
            len(cpu.siblings) > 1 for cell in facts.cells
            for cpu in cell.cpus),
        f'HW_ARCH_{facts.arch.upper()}': True,
        **{f'COMPUTE_ARCH_{arch.upper()}': True for arch in offers.archs}}
    for feature in _FEATURES:
        for name in _of_feature(feature):
            found[name] = feature in offers.cpu_features
    return found


def needed_flags(flavor: Any) -> frozenset[str]:
    """Return the features of a CPU that a flavor requires by traits."""
    if not flavor.extra_specs:
        # Nova takes milliseconds to say so.
        return frozenset()
    asked = scheduler_utils.ResourceRequest.from_request_spec(
        objects.RequestSpec(flavor=flavor)).all_required_traits
    return frozenset(feature for feature in _FEATURES
                     if not asked.isdisjoint(_of_feature(feature)))


def _of_feature(feature: str) -> list[str]:
    return [f'HW_CPU_X86_{name}' for name in _FEATURE_TRAITS.get(feature, (
        feature.replace('-', '').replace('.', '').upper(),))]


def _cards(facts: host_spec.HostFacts) -> set[str]:
    virt_type = CONF.libvirt.virt_type
    if virt_type not in _QEMU_TYPES:
        return set()
    cards = set(_CARDS)
    if virt_type != 'qemu':
        cards.difference_update(_CARDS_BY_EMULATION)
    if not _at_least(facts, _IGB):
        cards.discard('igb')
    return cards


def _iommus(
        facts: host_spec.HostFacts, offers: host_spec.HostOffers) -> set[str]:
    model = fields.VIOMMUModel
    found = {model.AUTO}
    if 'aarch64' in offers.archs:
        found.add(model.SMMUV3)
    if 'x86_64' in offers.archs:
        found.add(model.INTEL)
    if facts.libvirt_version >= _VIRTIO_IOMMU_LIBVIRT:
        found.add(model.VIRTIO)
    return found


def _sound(facts: host_spec.HostFacts) -> set[str]:
    sound = set(_SOUND)
    if not _at_least(facts, _VIRTIO_SOUND):
        sound.discard('virtio')
    return sound


def _of_tpm(offers: host_spec.HostOffers) -> dict[str, bool]:
    prefix = 'COMPUTE_SECURITY_TPM'
    # Nova's option says whether guests may have one at all.
    on = CONF.libvirt.swtpm_enabled
    versions = offers.tpm_versions if on else frozenset()
    models = offers.tpm_models if on else frozenset()
    # Novas before 33 know one way to keep secrets.
    kept = getattr(CONF.libvirt, 'supported_tpm_secret_security', ())
    return {
        **{f'{prefix}_SECRET_SECURITY_{way.upper()}': on for way in kept},
        f'{prefix}_1_2': '1.2' in versions,
        f'{prefix}_2_0': '2.0' in versions,
        f'{prefix}_TIS': 'tpm-tis' in models,
        f'{prefix}_CRB': 'tpm-crb' in models}


def _at_least(
        facts: host_spec.HostFacts, versions: tuple[int, int]) -> bool:
    libvirt_version, hypervisor_version = versions
    return (facts.libvirt_version >= libvirt_version
            and facts.hypervisor_version >= hypervisor_version)
