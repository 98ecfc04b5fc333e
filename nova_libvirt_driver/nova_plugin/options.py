# SPDX-License-Identifier: Apache-2.0

"""What becomes of Nova's options that its own libvirt driver reads.

Options that only other services read, or code of Nova's that any driver runs
under, are not here.
"""

from collections.abc import Iterator
from collections.abc import Mapping

from oslo_config import cfg

from nova_libvirt_driver.conf import libvirt

HONOURED, PARTLY, IGNORED = 'honoured', 'partly', 'ignored'
REFUSED = 'refused'
"""The service does not start with another value than the usual one."""
MOOT = 'not applicable'
"""It is about what there is not with this driver, as the remark says."""

DEFAULT = 'DEFAULT'

Verdict = tuple[str, str]


def _honoured(*names: str) -> dict[str, Verdict]:
    return dict.fromkeys(names, (HONOURED, ''))


_DEVICES = (IGNORED, 'no device of the host is given to guests yet')
_SHARES = (MOOT, 'shares are refused')
_CONTAINERS = (MOOT, 'there are no containers')
_IMAGES = (MOOT, 'disks are files: images_type is qcow2 or raw')
_INJECTION = 'nothing is written into disks; the config drive is the way'
_ENCRYPTED = (REFUSED, 'no guests with encrypted memory are offered')

_LIBVIRT_WHY = {
    'ceph_': _SHARES,
    'cpu_power_governor_': (MOOT, 'cpu_power_management is refused'),
    'cpu_power_management_': (MOOT, 'cpu_power_management is refused'),
    'cpu_power_management': (
        REFUSED, 'the power of dedicated processors is left as it is'),
    'enabled_perf_events': (
        PARTLY, 'cmt, mbml and mbmt are left out, as by its own driver: '
        'kernels have them no more'),
    'gid_maps': _CONTAINERS,
    'images_rbd_': _IMAGES,
    'images_volume_group': _IMAGES,
    'inject_partition': (REFUSED, _INJECTION),
    'inject_': (MOOT, 'inject_partition is refused'),
    'num_aoe_discover_tries': (MOOT, 'os-brick has no ATA over Ethernet'),
    'num_intel_tdx_guests': _ENCRYPTED,
    'num_memory_encrypted_guests': _ENCRYPTED,
    'pmem_namespaces': (REFUSED, 'guests get no persistent memory'),
    'rbd_': _IMAGES,
    'rescue_': (REFUSED, 'a rescue has the kernel of its server'),
    'sparse_logical_volumes': _IMAGES,
    'uid_maps': _CONTAINERS,
    'volume_clear': _IMAGES,
    '': (IGNORED, 'this driver does not know it'),
}
"""What becomes of options of these names, or whose names begin so."""

_LIBVIRT_HONOURED = (
    {opt.dest for opt in libvirt.OPTS} - {'enabled_perf_events'} | {
        'max_queues', 'migration_inbound_addr',
        'realtime_scheduler_priority', 'rescue_image_id',
        'supported_tpm_secret_security',
        # By Nova's own function that gives libvirt what a TPM remembers.
        'swtpm_enabled', 'swtpm_group', 'swtpm_user',
        'iscsi_iface', 'iser_use_multipath', 'nfs_mount_options',
        'nfs_mount_point_base', 'num_iser_scan_tries',
        'num_nvme_discover_tries', 'num_volume_scan_tries',
        'quobyte_client_cfg', 'quobyte_mount_point_base', 'rbd_secret_uuid',
        'rbd_user', 'remote_filesystem_transport', 'smbfs_mount_options',
        'smbfs_mount_point_base',
        'use_default_aio_mode_for_volumes', 'volume_enforce_multipath',
        'volume_use_multipath', 'vzstorage_cache_path', 'vzstorage_log_path',
        'vzstorage_mount_group', 'vzstorage_mount_opts',
        'vzstorage_mount_perms', 'vzstorage_mount_point_base',
        'vzstorage_mount_user'})

_TABLE: Mapping[str, Mapping[str, Verdict]] = {
    DEFAULT: {
        **_honoured(
            'compute_driver', 'config_drive_format',
            'default_ephemeral_format', 'force_config_drive',
            'force_raw_images', 'host', 'instances_path',
            'my_block_storage_ip', 'my_ip', 'pointer_model',
            'preallocate_images', 'ram_allocation_ratio',
            'reserved_host_cpus', 'reserved_host_disk_mb',
            'reserved_host_memory_mb', 'reserved_huge_pages', 'state_path',
            'use_cow_images', 'vcpu_pin_set', 'vif_plugging_is_fatal',
            'vif_plugging_timeout',
            # By code that any driver runs under.
            'injected_network_template'),
        'live_migration_retry_count': (
            MOOT, 'ports are plugged once: os-vif waits by itself'),
        'mkisofs_cmd': (
            MOOT, 'a config drive is written without another program'),
        'resize_fs_using_block_device': (
            REFUSED, 'no file system of a guest is resized by the host; its '
            'own cloud-init does it'),
        'timeout_nbd': (MOOT, 'no disk is mounted on the host'),
        'virt_mkfs': (
            REFUSED, 'ephemeral disks have a file system of '
            'default_ephemeral_format, made by mkfs'),
    },
    # By code that any driver runs under.
    'cinder': _honoured('cross_az_attach'),
    'compute': {
        **_honoured(
            'cpu_dedicated_set', 'cpu_shared_set', 'image_type_exclude_list',
            'max_disk_devices_to_attach',
            'packing_host_numa_cells_allocation_strategy'),
        'vmdk_allowed_types': (
            REFUSED, 'VMDK images are taken if they are monolithicSparse or '
            'streamOptimized; image_type_exclude_list can leave them out'),
    },
    'devices': {'enabled_mdev_types': _DEVICES},
    'ephemeral_storage_encryption': {
        'enabled': (REFUSED, 'it is about disks in LVM, and ' + _IMAGES[1]),
        **dict.fromkeys(('cipher', 'default_format', 'key_size'), _IMAGES)},
    'guestfs': {'debug': (MOOT, _INJECTION)},
    'image_cache': {
        **_honoured(
            'manager_interval', 'precache_concurrency',
            'remove_unused_base_images',
            'remove_unused_original_minimum_age_seconds',
            'subdirectory_name'),
        'remove_unused_resized_minimum_age_seconds': (
            MOOT, 'no resized images are kept in the cache'),
    },
    'neutron': _honoured('physnets'),
    'neutron_tunnel': _honoured('numa_nodes'),
    'pci': dict.fromkeys(
        ('alias', 'device_spec', 'report_in_placement'), _DEVICES),
    'serial_console': _honoured(
        'enabled', 'port_range', 'proxyclient_address'),
    'spice': _honoured(
        'agent_enabled', 'enabled', 'image_compression', 'jpeg_compression',
        'playback_compression', 'require_secure', 'server_listen',
        'server_proxyclient_address', 'streaming_mode', 'zlib_compression'),
    'vnc': _honoured(
        'enabled', 'server_listen', 'server_proxyclient_address'),
    'workarounds': {
        **_honoured(
            'enable_qemu_monitor_announce_self', 'libvirt_disable_apic',
            'qemu_monitor_announce_self_count',
            'qemu_monitor_announce_self_interval',
            'reserve_disk_resource_for_image_cache',
            'skip_cpu_compare_on_dest'),
        'disable_deep_image_inspection': (
            REFUSED, 'every image is inspected before a program opens it'),
        'disable_libvirt_livesnapshot': (
            REFUSED, 'a snapshot of a running guest is a live one'),
        'ensure_libvirt_rbd_instance_dir_cleanup': _IMAGES,
        'never_download_image_if_on_rbd': _IMAGES,
        'skip_cpu_compare_at_startup': (
            MOOT, 'a model that the host lacks is left out of the list'),
        'wait_for_vif_plugged_event_during_hard_reboot': (
            PARTLY, 'not for ports that stay plugged during a hard reboot, '
            'for which Neutron sends no event'),
    },
}
"""Verdict and remark of each option outside ``[libvirt]``."""

_USUAL = {
    'inject_partition': (-2,),
    'vmdk_allowed_types': (['streamOptimized', 'monolithicSparse'],
                           ['monolithicSparse', 'streamOptimized']),
}
"""Values of refused options that say nothing, beside empty ones."""

_MDEV = 'mdev_'
"""How groups begin that are there for a type of mediated device."""


def table(conf: cfg.ConfigOpts) -> Iterator[tuple[str, str, str]]:
    """Yield name, verdict and remark of each option; the group goes first.

    Options that the installed Nova does not have are left out.

    :param conf: Nova's
    """
    for group, name, found in _verdicts(conf):
        yield f'[{group}] {name}', *found


def report(conf: cfg.ConfigOpts) -> Iterator[tuple[str, str, str]]:
    """Yield name, verdict and remark of each option that is set in a file.

    :param conf: Nova's, after its files were read
    """
    forbidden = dict(refused(conf))
    for group, name, found in (*_verdicts(conf), *_of_mdev_types(conf)):
        location = conf.get_location(
            name, None if group == DEFAULT else group)
        if location is not None and location.location.is_user_controlled:
            full = f'[{group}] {name}'
            yield full, *((HONOURED, '') if found[0] == REFUSED and (
                full not in forbidden) else found)


def refused(conf: cfg.ConfigOpts) -> Iterator[tuple[str, str]]:
    """Yield name and remark of each option that forbids to start.

    :param conf: Nova's, after its files were read
    """
    for group, name, (found, why) in _verdicts(conf):
        value = (conf if group == DEFAULT else conf[group])[name] if (
            found == REFUSED) else None
        if value and value not in _USUAL.get(name, ()):
            yield f'[{group}] {name}', why


def verdict(name: str) -> Verdict:
    """Return what becomes of an option in ``[libvirt]``, and a remark."""
    if name in _LIBVIRT_HONOURED:
        return HONOURED, ''
    return next(found for start, found in _LIBVIRT_WHY.items()
                if name.startswith(start))


def _verdicts(
        conf: cfg.ConfigOpts) -> Iterator[tuple[str, str, Verdict]]:
    for name in sorted(conf.libvirt):
        yield 'libvirt', name, verdict(name)
    for group, names in _TABLE.items():
        # An older Nova has fewer groups.
        known = conf if group == DEFAULT else (
            conf[group] if group in conf else {})
        for name, found in names.items():
            if name in known:
                yield group, name, found


def _of_mdev_types(
        conf: cfg.ConfigOpts) -> Iterator[tuple[str, str, Verdict]]:
    for group in sorted(conf):
        if group.startswith(_MDEV):
            for name in sorted(conf[group]):
                yield group, name, _DEVICES
