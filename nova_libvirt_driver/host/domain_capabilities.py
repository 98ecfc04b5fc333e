# SPDX-License-Identifier: Apache-2.0

"""From libvirt's domain capabilities XML to values."""

from lxml import etree

from nova_libvirt_driver.host import host_capabilities
from nova_libvirt_driver.spec import capabilities as capabilities_spec

# Libvirt does not list it; it came with this version.
_STATELESS_SINCE = 8_006_000


def parse(
        xml: str, libvirt_version: int
) -> capabilities_spec.DomainCapabilities:
    """Return what the text says.

    :param libvirt_version: of the libvirt that wrote it
    """
    root = host_capabilities.parse_xml(xml)
    uefi = 'efi' in _values(root.find('os'), 'firmware')
    return capabilities_spec.DomainCapabilities(
        arch=root.findtext('arch', default=''),
        machine=root.findtext('machine', default=''),
        uefi=uefi,
        secure_boot=uefi and 'yes' in _values(
            root.find('os/loader'), 'secure'),
        stateless_firmware=uefi and libvirt_version >= _STATELESS_SINCE,
        loaders=tuple(value.text or '' for value in root.iterfind(
            'os/loader/value')),
        cpu_modes=_cpu_modes(root), cpu_models=_cpu_models(root),
        disk_buses=_device(root, 'disk', 'bus'),
        graphics=_device(root, 'graphics', 'type'),
        video_models=_device(root, 'video', 'modelType'),
        rng_backends=_device(root, 'rng', 'backendModel'),
        tpm_models=_device(root, 'tpm', 'model'),
        tpm_versions=_device(root, 'tpm', 'backendVersion'),
        memory_sources=_values(root.find('memoryBacking'), 'sourceType'),
        memory_encryption=_supported(root.find('features/sev')))


def _supported(element: etree._Element | None) -> bool:
    return element is not None and element.get('supported') == 'yes'


def _values(
        element: etree._Element | None, enum: str) -> frozenset[str]:
    """Return the values of one list below an element that is supported."""
    if element is None or not _supported(element):
        return frozenset()
    return frozenset(
        value.text or '' for value in element.iterfind(
            f"enum[@name='{enum}']/value"))


def _device(root: etree._Element, device: str, enum: str) -> frozenset[str]:
    return _values(root.find(f'devices/{device}'), enum)


def _cpu_modes(root: etree._Element) -> frozenset[str]:
    return frozenset(
        mode.get('name', '') for mode in root.iterfind('cpu/mode')
        if _supported(mode))


def _cpu_models(root: etree._Element) -> frozenset[str]:
    return frozenset(
        model.text or ''
        for model in root.iterfind("cpu/mode[@name='custom']/model")
        if model.get('usable') != 'no')
