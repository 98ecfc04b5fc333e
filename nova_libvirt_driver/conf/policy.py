# SPDX-License-Identifier: Apache-2.0

"""From options to the values that guests and their disks are built with."""

from collections.abc import Iterable

from oslo_config import cfg

from nova_libvirt_driver import exception
from nova_libvirt_driver.spec import configdrive
from nova_libvirt_driver.spec import cpu
from nova_libvirt_driver.spec import live_migration
from nova_libvirt_driver.spec import memory
from nova_libvirt_driver.spec import policy

_CACHE_MODES = ('default', 'none', 'writethrough', 'writeback', 'directsync',
                'unsafe')
_SOURCE_KINDS = ('file', 'block', 'network')
_RAW_TYPES = ('raw', 'flat')
_MIB_PER_GIB = 1024
# Kernels count them no more.
_GONE_PERF_EVENTS = ('cmt', 'mbml', 'mbmt')


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
        disk_io='native' if _preallocates(conf) else '',
        discard=own.hw_disk_discard or '',
        tb_cache_mib=own.tb_cache_size,
        memory_source=(memory.MemorySource.FILE if own.file_backed_memory
                       else memory.MemorySource.ANONYMOUS),
        stats_period_s=max(0, own.mem_stats_period_seconds),
        perf_events=tuple(
            name for name in own.enabled_perf_events
            if name not in _GONE_PERF_EVENTS),
        pcie_ports=own.num_pcie_ports,
        rng_path=own.rng_dev_path,
        sysinfo_serial=own.sysinfo_serial,
        like_nova=frozenset(map(
            policy.LikeNova, conf.nova_libvirt_driver.like_nova)),
        nic_model='virtio' if own.use_virtio_for_bridges else '',
        rx_queue_size=own.rx_queue_size,
        tx_queue_size=own.tx_queue_size)


def storage(conf: cfg.ConfigOpts) -> policy.StoragePolicy:
    """Return how disks are created and kept on this host."""
    own = conf.nova_libvirt_driver
    return policy.StoragePolicy(
        instances_path=conf.instances_path, host=conf.host,
        backend=_backend(conf),
        force_raw_images=conf.force_raw_images,
        image_max_gib=own.image_max_size,
        console_log_max_mib=own.console_log_max_size,
        preallocate=_preallocates(conf),
        tool_cpu_s=conf.libvirt.images_cpu_time_limit,
        tool_look_memory_mib=(
            conf.libvirt.images_address_space_limit * _MIB_PER_GIB),
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
        snapshots_path=conf.libvirt.snapshots_directory,
        image_cache_folder=conf.image_cache.subdirectory_name,
        remove_unused_images=conf.image_cache.remove_unused_base_images,
        unused_image_age_s=(
            conf.image_cache.remove_unused_original_minimum_age_seconds))


def ways(conf: cfg.ConfigOpts) -> live_migration.Ways:
    """Return how guests leave this host while they run.

    :raises InvalidConfiguration: two ways exclude each other
    """
    own = conf.libvirt
    if own.live_migration_tunnelled and own.live_migration_with_native_tls:
        raise exception.InvalidConfiguration(
            reason='[libvirt] live_migration_tunnelled and '
            'live_migration_with_native_tls exclude each other')
    # Libvirt tunnels one stream, and no post-copy; QEMU before 10.1 loses a
    # guest whose memory goes by several connections when it switches.
    post_copy = (own.live_migration_permit_post_copy
                 and not own.live_migration_tunnelled)
    alone = post_copy or own.live_migration_tunnelled
    return live_migration.Ways(
        tunnelled=own.live_migration_tunnelled,
        native_tls=own.live_migration_with_native_tls,
        # One of them is enough, and slowing down the worse one.
        auto_converge=(
            own.live_migration_permit_auto_converge and not post_copy),
        post_copy=post_copy,
        parallel_connections=(
            1 if alone else own.live_migration_parallel_connections),
        bandwidth_mib_s=own.live_migration_bandwidth,
        downtime_ms=own.live_migration_downtime,
        downtime_steps=own.live_migration_downtime_steps,
        downtime_delay_s=own.live_migration_downtime_delay,
        completion_timeout_s=own.live_migration_completion_timeout,
        force_completion=(
            own.live_migration_timeout_action == 'force_complete'),
        report_interval_s=own.live_migration_monitor_interval)


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


def _preallocates(conf: cfg.ConfigOpts) -> bool:
    return bool(conf.preallocate_images == 'space')


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
