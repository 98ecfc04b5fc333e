# SPDX-License-Identifier: Apache-2.0

"""Devices that flavor, image and options ask for, by Nova's own rules."""

import os
from typing import Any

from nova import exception as nova_exception
from nova.virt import hardware
from oslo_utils import strutils

import nova.conf
from nova_libvirt_driver import exception
from nova_libvirt_driver.spec import device as device_spec

CONF = nova.conf.CONF

_TABLETS = {'usb': 'usbtablet', 'virtio': 'virtio'}


def spec(instance: Any, image_meta: Any) -> device_spec.DeviceSpec:
    """Return the devices that are no disks, interfaces or consoles.

    :raises NovaException: flavor and image contradict each other, or the
        flavor does not allow what the image asks for
    :raises InvalidRequest: the host has no source of random numbers
    """
    flavor = instance.flavor
    seen = CONF.vnc.enabled or CONF.spice.enabled
    return device_spec.DeviceSpec(
        video=_video(flavor, image_meta) if seen else None,
        pointer=_pointer(image_meta) if seen else 'none',
        keyboard=(image_meta.properties.get('hw_input_bus') or ''
                  if seen else ''),
        rng=_rng(flavor.extra_specs or {}),
        sound=_by_nova('get_sound_model', flavor, image_meta) or '',
        usb_model=_by_nova('get_usb_model', flavor, image_meta) or '',
        usb_redirections=_by_nova(
            'get_redirected_usb_ports', flavor, image_meta) or 0)


def _by_nova(name: str, flavor: Any, image_meta: Any) -> Any:
    """Ask Nova, if it is new enough to know."""
    function = getattr(hardware, name, None)
    return function(flavor, image_meta) if function else None


def _video(flavor: Any, image_meta: Any) -> device_spec.VideoSpec:
    wanted_mib = image_meta.properties.get('hw_video_ram', 0)
    most_mib = int(flavor.extra_specs.get('hw_video:ram_max_mb', 0))
    if wanted_mib > most_mib:
        raise nova_exception.RequestedVRamTooHigh(
            req_vram=wanted_mib, max_vram=most_mib)
    return device_spec.VideoSpec(vram_mib=wanted_mib or None)


def _pointer(image_meta: Any) -> str:
    bus = image_meta.properties.get('hw_input_bus')
    if not bus and (image_meta.properties.get('hw_pointer_model')
                    or CONF.pointer_model == 'usbtablet'):
        bus = 'usb'
    # The agent of SPICE brings a pointer of its own.
    if not bus or (CONF.spice.enabled and CONF.spice.agent_enabled
                   and not CONF.vnc.enabled):
        return 'none'
    return _TABLETS[bus]


def _rng(extra_specs: Any) -> device_spec.RngSpec | None:
    if not strutils.bool_from_string(
            extra_specs.get('hw_rng:allowed', 'true')):
        return None
    path = CONF.libvirt.rng_dev_path
    if path and not os.path.exists(path):
        raise exception.InvalidRequest(
            reason=f'[libvirt] rng_dev_path {path} is not there')
    rate_bytes = int(extra_specs.get('hw_rng:rate_bytes', 0))
    period_ms = int(extra_specs.get('hw_rng:rate_period', 0))
    return device_spec.RngSpec(
        rate_bytes=rate_bytes or None,
        period_ms=(period_ms or None) if rate_bytes else None)
