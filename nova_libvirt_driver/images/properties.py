# SPDX-License-Identifier: Apache-2.0

"""What the properties of an image ask for, as changes of a guest.

The names and values are those of OpenStack's images. A property that is not
known here has no effect.
"""

from collections.abc import Callable
from collections.abc import Mapping
import dataclasses
from typing import Any

from nova_libvirt_driver import exception
from nova_libvirt_driver.spec import boot as boot_spec
from nova_libvirt_driver.spec import device as device_spec
from nova_libvirt_driver.spec import disk as disk_spec
from nova_libvirt_driver.spec import guest as guest_spec

_Change = Callable[[guest_spec.GuestSpec, str], guest_spec.GuestSpec]

_TRUE, _FALSE = ('true', 'yes', 'on', '1'), ('false', 'no', 'off', '0')


def apply(
        spec: guest_spec.GuestSpec,
        properties: Mapping[str, str]) -> guest_spec.GuestSpec:
    """Return the guest with what the properties ask for.

    :raises InvalidRequest: a property has a value that it cannot have
    """
    for name, text in properties.items():
        if name not in CHANGES:
            continue
        try:
            spec = CHANGES[name](spec, text)
        except ValueError as error:
            raise exception.InvalidRequest(
                reason=f'property {name} cannot be {text!r}: {error}'
            ) from error
    return spec


def _field(place: str, read: Callable[[str], object]) -> _Change:
    """Return a change of one field.

    :param place: the field of the guest, and the field of that
    """
    part, _, field = place.partition('.')

    def change(
            spec: guest_spec.GuestSpec, text: str) -> guest_spec.GuestSpec:
        value: Any = dataclasses.replace(
            getattr(spec, part), **{field: read(text)})
        return dataclasses.replace(spec, **{part: value})

    return change


def _flag(text: str) -> bool:
    word = text.lower()
    if word not in _TRUE + _FALSE:
        raise ValueError('take true or false')
    return word in _TRUE


def _one_of(*words: str) -> Callable[[str], str]:
    def read(text: str) -> str:
        if text not in words:
            raise ValueError(f'take {", ".join(words)}')
        return text

    return read


def _secure_boot(text: str) -> bool:
    return _one_of('required', 'optional', 'disabled')(text) == 'required'


def _watchdog(text: str) -> device_spec.WatchdogAction | None:
    return None if text == 'disabled' else device_spec.WatchdogAction(text)


def _video(
        spec: guest_spec.GuestSpec, text: str) -> guest_spec.GuestSpec:
    card = None if text == 'none' else dataclasses.replace(
        spec.devices.video or device_spec.VideoSpec(), model=text)
    return dataclasses.replace(spec, devices=dataclasses.replace(
        spec.devices, video=card))


def _tpm(spec: guest_spec.GuestSpec, **fields: str) -> guest_spec.GuestSpec:
    tpm = spec.devices.tpm or device_spec.TpmSpec()
    return dataclasses.replace(spec, devices=dataclasses.replace(
        spec.devices, tpm=dataclasses.replace(tpm, **fields)))


def _tpm_version(
        spec: guest_spec.GuestSpec, text: str) -> guest_spec.GuestSpec:
    return _tpm(spec, version=_one_of('1.2', '2.0')(text))


def _tpm_model(
        spec: guest_spec.GuestSpec, text: str) -> guest_spec.GuestSpec:
    return _tpm(spec, model=_one_of('tpm-tis', 'tpm-crb')(text))


def _input_bus(
        spec: guest_spec.GuestSpec, text: str) -> guest_spec.GuestSpec:
    pointer = {'usb': 'usbtablet', 'virtio': 'virtio'}[
        _one_of('usb', 'virtio')(text)]
    return dataclasses.replace(spec, devices=dataclasses.replace(
        spec.devices, pointer=pointer, keyboard=text))


def _vif_model(
        spec: guest_spec.GuestSpec, text: str) -> guest_spec.GuestSpec:
    return dataclasses.replace(spec, nics=tuple(
        dataclasses.replace(nic, model=text) for nic in spec.nics))


CHANGES: dict[str, _Change] = {
    'hw_architecture': _field('boot.arch', str),
    'hw_boot_menu': _field('boot.menu', _flag),
    'hw_cdrom_bus': _field('storage.cdrom_bus', disk_spec.DiskBus),
    'hw_disk_bus': _field('storage.bus', disk_spec.DiskBus),
    'hw_firmware_stateless': _field('boot.stateless_firmware', _flag),
    'hw_firmware_type': _field('boot.firmware', boot_spec.Firmware),
    'hw_input_bus': _input_bus,
    'hw_machine_type': _field('boot.machine', str),
    'hw_mem_encryption': _field('memory.encrypted', _flag),
    'hw_pmu': _field('features.pmu', _flag),
    'hw_pointer_model': _field('devices.pointer', str),
    'hw_qemu_guest_agent': _field('devices.agent', _flag),
    'hw_rng_model': _field(
        'devices.rng', lambda text: device_spec.RngSpec()),
    'hw_scsi_model': _field('storage.scsi_model', str),
    'hw_sound_model': _field('devices.sound', str),
    'hw_time_hpet': _field('features.hpet', _flag),
    'hw_tpm_model': _tpm_model,
    'hw_tpm_version': _tpm_version,
    'hw_video_model': _video,
    'hw_vif_model': _vif_model,
    'hw_viommu_model': _field('devices.iommu', lambda text: (
        device_spec.IommuSpec(
            model=_one_of('auto', 'intel', 'virtio', 'smmuv3')(text)))),
    'hw_watchdog_action': _field('devices.watchdog', _watchdog),
    'img_hide_hypervisor_id': _field('features.hide_hypervisor', _flag),
    'kernel_id': _field('boot.kernel_image_id', str),
    'os_admin_user': _field('features.admin_user', str),
    'os_command_line': _field('boot.kernel_cmdline', str),
    'os_require_quiesce': _field('features.require_quiesce', _flag),
    'os_secure_boot': _field('boot.secure_boot', _secure_boot),
    'os_type': _field('features.os_type', device_spec.OsType),
    'ramdisk_id': _field('boot.ramdisk_image_id', str),
}
"""What each known property changes."""
