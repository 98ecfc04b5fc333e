# SPDX-License-Identifier: Apache-2.0

"""From options to the values that guests and their disks are made by."""

from collections.abc import Iterable

from oslo_config import cfg

from nova_libvirt_driver import exception
from nova_libvirt_driver.spec import configdrive
from nova_libvirt_driver.spec import cpu
from nova_libvirt_driver.spec import memory
from nova_libvirt_driver.spec import policy

_CACHE_MODES = ('default', 'none', 'writethrough', 'writeback', 'directsync',
                'unsafe')
_SOURCE_KINDS = ('file', 'block', 'network')
_RAW_TYPES = ('raw', 'flat')


def guest(conf: cfg.ConfigOpts) -> policy.GuestPolicy:
    """Return what every guest of this host gets.

    :raises InvalidConfiguration: an option makes no sense
    """
    own = conf.libvirt
    return policy.GuestPolicy(
        virt_type=own.virt_type,
        cpu_mode=cpu.CpuMode(own.cpu_mode) if own.cpu_mode else None,
        cpu_models=tuple(own.cpu_models),
        cpu_flags=tuple(_flag(word) for word in own.cpu_model_extra_flags),
        machine_types=_pairs(
            'hw_machine_type', own.hw_machine_type or ()),
        disk_prefix=own.disk_prefix or '',
        disks_max=_disks_max(conf),
        disk_cachemodes=_cache_modes(own.disk_cachemodes),
        discard=own.hw_disk_discard or '',
        tb_cache_mib=own.tb_cache_size,
        memory_source=(memory.MemorySource.FILE if own.file_backed_memory
                       else memory.MemorySource.ANONYMOUS),
        stats_period_s=max(0, own.mem_stats_period_seconds),
        pcie_ports=own.num_pcie_ports,
        rng_path=own.rng_dev_path,
        sysinfo_serial=own.sysinfo_serial,
        like_nova=frozenset(map(
            policy.LikeNova, conf.nova_libvirt_driver.like_nova)),
        nic_model='virtio' if own.use_virtio_for_bridges else '',
        rx_queue_size=own.rx_queue_size,
        tx_queue_size=own.tx_queue_size)


def storage(conf: cfg.ConfigOpts) -> policy.StoragePolicy:
    """Return how disks are made and kept on this host."""
    own = conf.nova_libvirt_driver
    return policy.StoragePolicy(
        instances_path=conf.instances_path, host=conf.host,
        backend=_backend(conf),
        force_raw_images=conf.force_raw_images,
        image_max_gib=own.image_max_size,
        console_log_max_mib=own.console_log_max_size,
        tool_convert_cpu_s=own.image_tool_cpu,
        tool_memory_mib=own.image_tool_memory,
        tool_sandbox=policy.ToolSandbox(own.image_tool_sandbox),
        tool_timeout_s=own.image_tool_timeout,
        ephemeral_filesystem=conf.default_ephemeral_format or 'vfat',
        config_drive_format=configdrive.ConfigDriveFormat(
            conf.config_drive_format),
        # Nova has it as a text that may also be "always".
        force_config_drive=str(conf.force_config_drive).lower() in (
            'true', 'always', '1', 'yes'),
        snapshot_format=conf.libvirt.snapshot_image_format or '',
        snapshot_compression=conf.libvirt.snapshot_compression,
        image_cache_folder=conf.image_cache.subdirectory_name,
        remove_unused_images=conf.image_cache.remove_unused_base_images,
        unused_image_age_s=(
            conf.image_cache.remove_unused_original_minimum_age_seconds))


def serial_ports(conf: cfg.ConfigOpts) -> range:
    """Return the TCP ports for serial consoles.

    :raises InvalidConfiguration: there is none in the range
    """
    first, last = map(int, conf.serial_console.port_range.split(':'))
    ports = range(first, last + 1)
    if not ports or first < 1 or last > 65535:
        raise exception.InvalidConfiguration(
            reason='[serial_console] port_range: '
            f'{conf.serial_console.port_range} is not a range of ports')
    return ports


def _backend(conf: cfg.ConfigOpts) -> policy.ImageBackend:
    kind = conf.libvirt.images_type
    if kind in _RAW_TYPES or (
            kind == 'default' and not conf.use_cow_images):
        return policy.ImageBackend.RAW
    if kind in ('qcow2', 'default'):
        return policy.ImageBackend.QCOW2
    raise exception.InvalidConfiguration(
        reason=f'[libvirt] images_type {kind} is not supported: take qcow2 '
        'or raw')


def _disks_max(conf: cfg.ConfigOpts) -> int | None:
    # The group is Nova's, where it is the hosting service.
    most = conf.compute.max_disk_devices_to_attach if (
        'compute' in conf) else -1
    return most if most >= 0 else None


def _flag(word: str) -> cpu.CpuFlag:
    return cpu.CpuFlag(name=word.lstrip('+-').lower(),
                       enabled=not word.startswith('-'))


def _cache_modes(words: Iterable[str]) -> dict[str, str]:
    modes = _pairs('disk_cachemodes', words)
    for kind, mode in modes.items():
        if kind not in _SOURCE_KINDS or mode not in _CACHE_MODES:
            raise exception.InvalidConfiguration(
                reason=f'[libvirt] disk_cachemodes: {kind}={mode}: kinds are '
                f'{", ".join(_SOURCE_KINDS)}, modes are '
                f'{", ".join(_CACHE_MODES)}')
    return modes


def _pairs(option: str, words: Iterable[str]) -> dict[str, str]:
    pairs = [word.partition('=') for word in words]
    for name, sign, value in pairs:
        if not (name and sign and value):
            raise exception.InvalidConfiguration(
                reason=f'[libvirt] {option}: {name}{sign}{value} is not of '
                'the form name=value')
    return {name.strip(): value.strip() for name, _, value in pairs}
