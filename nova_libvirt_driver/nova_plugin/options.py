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

DEFAULT = 'DEFAULT'

_MIGRATION = 'there is no live migration yet'
_SHARES = 'there are no shares yet'
_IMAGES = 'disks are files: images_type is qcow2 or raw'
_POWER = 'the power of dedicated processors is left as it is'
_DEVICES = 'no device of the host is given to guests yet'
_INJECTION = ('nothing is written into disks; the config drive is the way')

_LIBVIRT_WHY = {
    'ceph_': _SHARES,
    'cpu_power_': _POWER,
    'enabled_perf_events': 'there are no performance events yet',
    'gid_maps': 'there are no containers',
    'images_cpu_time_limit': 'take [nova_libvirt_driver] image_tool_cpu',
    'images_address_space_limit':
        'take [nova_libvirt_driver] image_tool_memory',
    'images_rbd_': _IMAGES,
    'images_volume_group': _IMAGES,
    'inject_': _INJECTION,
    'live_migration_': _MIGRATION,
    'migration_inbound_addr': _MIGRATION,
    'num_aoe_discover_tries': 'os-brick has no ATA over Ethernet',
    'num_intel_tdx_guests': 'there is no encrypted memory by TDX yet',
    'num_memory_encrypted_guests': 'there is no encrypted memory yet',
    'pmem_namespaces': 'there is no persistent memory yet',
    'rbd_connect_timeout': _IMAGES,
    'rbd_destroy_volume_': _IMAGES,
    'remote_filesystem_transport': _MIGRATION,
    'rescue_': 'a rescue boots as its image says',
    'snapshots_directory': 'copies are made below instances_path/snapshots',
    'sparse_logical_volumes': _IMAGES,
    'swtpm_': 'what TPMs remember is not copied to other hosts yet',
    'uid_maps': 'there are no containers',
    'volume_clear': _IMAGES,
    '': 'this driver does not know it',
}
"""Why options of these names, or whose names begin so, are not heeded."""

_LIBVIRT_HONOURED = frozenset(opt.dest for opt in libvirt.OPTS) | {
    'max_queues', 'realtime_scheduler_priority', 'rescue_image_id',
    'supported_tpm_secret_security', 'swtpm_enabled',
    'iscsi_iface', 'iser_use_multipath', 'nfs_mount_options',
    'nfs_mount_point_base', 'num_iser_scan_tries', 'num_nvme_discover_tries',
    'num_volume_scan_tries', 'quobyte_client_cfg',
    'quobyte_mount_point_base', 'rbd_secret_uuid', 'rbd_user',
    'smbfs_mount_options', 'smbfs_mount_point_base',
    'use_default_aio_mode_for_volumes', 'volume_enforce_multipath',
    'volume_use_multipath', 'vzstorage_cache_path', 'vzstorage_log_path',
    'vzstorage_mount_group', 'vzstorage_mount_opts',
    'vzstorage_mount_perms', 'vzstorage_mount_point_base',
    'vzstorage_mount_user'}

Verdict = tuple[str, str]

_DONE: Verdict = (HONOURED, '')


def _ignored(remark: str) -> Verdict:
    return IGNORED, remark


_TABLE: Mapping[str, Mapping[str, Verdict]] = {
    DEFAULT: {
        'compute_driver': _DONE,
        'config_drive_format': _DONE,
        'default_ephemeral_format': (
            PARTLY, 'ext2, ext3, ext4 and vfat; others are refused'),
        'force_config_drive': _DONE,
        'force_raw_images': _DONE,
        'host': _DONE,
        'injected_network_template': _ignored(_INJECTION),
        'instances_path': _DONE,
        'live_migration_retry_count': _ignored(_MIGRATION),
        'mkisofs_cmd': _ignored(
            'a config drive is written without another program'),
        'my_block_storage_ip': _DONE,
        'my_ip': _DONE,
        'pointer_model': _DONE,
        'preallocate_images': _ignored(
            'disks take room when they are written to'),
        'ram_allocation_ratio': _DONE,
        'reserved_host_cpus': _DONE,
        'reserved_host_disk_mb': _DONE,
        'reserved_host_memory_mb': _DONE,
        'reserved_huge_pages': _DONE,
        'resize_fs_using_block_device': _ignored(
            'no file system of a guest is resized by the host; its own '
            'cloud-init does it'),
        'state_path': _DONE,
        'timeout_nbd': _ignored('no disk is mounted on the host'),
        'use_cow_images': _DONE,
        'vcpu_pin_set': _DONE,
        'vif_plugging_is_fatal': _DONE,
        'vif_plugging_timeout': _DONE,
        'virt_mkfs': _ignored(
            'ephemeral disks have a file system of '
            'default_ephemeral_format, made by mkfs'),
    },
    'cinder': {
        # By code that any driver runs under.
        'cross_az_attach': _DONE,
    },
    'compute': {
        'cpu_dedicated_set': _DONE,
        'cpu_shared_set': _DONE,
        'image_type_exclude_list': _DONE,
        'max_disk_devices_to_attach': _DONE,
        'packing_host_numa_cells_allocation_strategy': _DONE,
        'vmdk_allowed_types': _ignored(
            'VMDK images are taken if they are monolithicSparse or '
            'streamOptimized'),
    },
    'devices': {
        'enabled_mdev_types': _ignored(_DEVICES),
    },
    'ephemeral_storage_encryption': {
        name: _ignored('it is about disks in LVM, and ' + _IMAGES)
        for name in ('cipher', 'default_format', 'enabled', 'key_size')},
    'guestfs': {
        'debug': _ignored(_INJECTION),
    },
    'image_cache': {
        'manager_interval': _DONE,
        'precache_concurrency': _DONE,
        'remove_unused_base_images': _DONE,
        'remove_unused_original_minimum_age_seconds': _DONE,
        'remove_unused_resized_minimum_age_seconds': _ignored(
            'no resized images are kept in the cache'),
        'subdirectory_name': _DONE,
    },
    'neutron': {
        'physnets': _DONE,
    },
    'neutron_tunnel': {
        'numa_nodes': _DONE,
    },
    'pci': {
        'alias': _ignored(_DEVICES),
        'device_spec': _ignored(_DEVICES),
        'report_in_placement': _ignored(_DEVICES),
    },
    'serial_console': {
        'enabled': _DONE,
        'port_range': _DONE,
        'proxyclient_address': _DONE,
    },
    'spice': dict.fromkeys((
        'agent_enabled', 'enabled', 'image_compression', 'jpeg_compression',
        'playback_compression', 'require_secure', 'server_listen',
        'server_proxyclient_address', 'streaming_mode', 'zlib_compression'),
        _DONE),
    'vnc': dict.fromkeys((
        'enabled', 'server_listen', 'server_proxyclient_address'), _DONE),
    'workarounds': {
        'disable_deep_image_inspection': _ignored(
            'every image is inspected before a program opens it'),
        'disable_libvirt_livesnapshot': _ignored(
            'a snapshot of a running guest is a live one'),
        'enable_qemu_monitor_announce_self': _ignored(_MIGRATION),
        'ensure_libvirt_rbd_instance_dir_cleanup': _ignored(_IMAGES),
        'libvirt_disable_apic': _ignored('guests have an APIC'),
        'never_download_image_if_on_rbd': _ignored(_IMAGES),
        'qemu_monitor_announce_self_count': _ignored(_MIGRATION),
        'qemu_monitor_announce_self_interval': _ignored(_MIGRATION),
        'reserve_disk_resource_for_image_cache': _DONE,
        'skip_cpu_compare_at_startup': _ignored(
            'no CPU is compared when the service starts'),
        'skip_cpu_compare_on_dest': _ignored(_MIGRATION),
        'wait_for_vif_plugged_event_during_hard_reboot': _ignored(
            'a hard reboot leaves ports plugged, and waits for no event'),
    },
}
"""Verdict and remark of each option outside ``[libvirt]``."""

_MDEV = 'mdev_'
"""How groups begin that are there for a type of mediated device."""


def table(conf: cfg.ConfigOpts) -> Iterator[tuple[str, str, str]]:
    """Yield name, verdict and remark of each option; the group goes first.

    Options that the installed Nova does not have are left out.

    :param conf: Nova's
    """
    for group, name, verdict in _verdicts(conf):
        yield f'[{group}] {name}', *verdict


def report(conf: cfg.ConfigOpts) -> Iterator[tuple[str, str, str]]:
    """Yield name, verdict and remark of each option that is set in a file.

    :param conf: Nova's, after its files were read
    """
    for group, name, verdict in (*_verdicts(conf), *_of_mdev_types(conf)):
        location = conf.get_location(
            name, None if group == DEFAULT else group)
        if location is not None and location.location.is_user_controlled:
            yield f'[{group}] {name}', *verdict


def remark(name: str) -> str:
    """Return why an option in ``[libvirt]`` is not heeded, or nothing."""
    if name in _LIBVIRT_HONOURED:
        return ''
    return next(why for start, why in _LIBVIRT_WHY.items()
                if name.startswith(start))


def _verdicts(
        conf: cfg.ConfigOpts) -> Iterator[tuple[str, str, Verdict]]:
    for name in sorted(conf.libvirt):
        why = remark(name)
        yield 'libvirt', name, _ignored(why) if why else _DONE
    for group, names in _TABLE.items():
        # An older Nova has fewer groups.
        known = conf if group == DEFAULT else (
            conf[group] if group in conf else {})
        for name, verdict in names.items():
            if name in known:
                yield group, name, verdict


def _of_mdev_types(
        conf: cfg.ConfigOpts) -> Iterator[tuple[str, str, Verdict]]:
    for group in sorted(conf):
        if group.startswith(_MDEV):
            for name in sorted(conf[group]):
                yield group, name, _ignored(_DEVICES)
