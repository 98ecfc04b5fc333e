# SPDX-License-Identifier: Apache-2.0

"""What servers can have with the driver, in the format of Nova's matrix.

A feature is complete when the driver has all of its verbs and flags, partial
when it has some of them, and missing otherwise.
"""

import configparser
import dataclasses
import inspect
import io

from nova.virt import driver as nova_driver

from nova_libvirt_driver.nova_plugin import driver

_KEY = 'driver.nova-libvirt'
_HEAD = """\
# What servers can have with this driver. Generated from the verbs and the
# flags that it has, by tests/nova/test_support_matrix.py.

"""


@dataclasses.dataclass(frozen=True)
class Feature:
    """One row: its verbs are of Nova's contract, its flags capabilities."""

    key: str
    title: str
    verbs: tuple[str, ...] = ()
    flags: tuple[str, ...] = ()
    status: str = 'optional'
    cli: str = ''


FEATURES = (
    Feature('launch', 'Create and delete a server', (
        'spawn', 'destroy', 'cleanup', 'get_info', 'list_instances'),
        status='mandatory',
        cli='openstack server create; openstack server delete'),
    Feature('power', 'Stop and start', ('power_off', 'power_on'),
            cli='openstack server stop; openstack server start'),
    Feature('host-boot', 'Start again what ran before the host went down',
            ('resume_state_on_host_boot',)),
    Feature('reboot', 'Soft and hard reboot',
            ('reboot', 'poll_rebooting_instances'),
            cli='openstack server reboot'),
    Feature('pause', 'Pause', ('pause', 'unpause'),
            cli='openstack server pause'),
    Feature('suspend', 'Suspend and resume', ('suspend', 'resume'),
            cli='openstack server suspend'),
    Feature('rescue', 'Rescue', ('rescue', 'unrescue'),
            cli='openstack server rescue'),
    Feature('rescue-volume', 'Rescue of a server that boots from a volume',
            flags=('supports_bfv_rescue',)),
    Feature('rebuild', 'Rebuild from another image', ('spawn', 'destroy'),
            cli='openstack server rebuild'),
    Feature('snapshot', 'Image of a server, which goes on running',
            ('snapshot',), cli='openstack server image create'),
    Feature('quiesce', 'Frozen file systems during a snapshot',
            ('quiesce', 'unquiesce')),
    Feature('shelve', 'Shelve', ('snapshot', 'power_off', 'destroy'),
            cli='openstack server shelve'),
    Feature('resize', 'Resize and cold migration', (
        'migrate_disk_and_power_off', 'finish_migration',
        'confirm_migration', 'finish_revert_migration'),
        cli='openstack server resize; openstack server migrate'),
    Feature('resize-same-host', 'Resize on the same host',
            ('migrate_disk_and_power_off', 'finish_migration')),
    Feature('migrate-same-host', 'Cold migration to the same host',
            flags=('supports_migrate_to_same_host',)),
    Feature('live-migration', 'Live migration', (
        'check_can_live_migrate_destination',
        'check_can_live_migrate_source',
        'cleanup_live_migration_destination_check',
        'post_claim_migrate_data', 'pre_live_migration',
        'live_migration', 'post_live_migration',
        'post_live_migration_at_source',
        'post_live_migration_at_destination',
        'rollback_live_migration_at_destination'),
        cli='openstack server migrate --live-migration'),
    Feature('live-migration-control', 'Abort or force a live migration',
            ('live_migration_abort', 'live_migration_force_complete'),
            cli='openstack server migration abort'),
    Feature('evacuate', 'Evacuate', ('get_host_ip_addr',),
            ('supports_evacuate',), cli='openstack server evacuate'),
    Feature('console-log', 'Text of the serial console',
            ('get_console_output',), cli='openstack console log show'),
    Feature('vnc', 'VNC console', ('get_vnc_console',),
            status='choice(console)',
            cli='openstack console url show --novnc'),
    Feature('spice', 'SPICE console', ('get_spice_console',),
            status='choice(console)',
            cli='openstack console url show --spice'),
    Feature('serial', 'Serial console', ('get_serial_console',),
            status='choice(console)',
            cli='openstack console url show --serial'),
    Feature('diagnostics', 'Diagnostics',
            ('get_diagnostics', 'get_instance_diagnostics'),
            cli='openstack server show --diagnostics'),
    Feature('password', 'Administrator\'s password of a running server',
            ('set_admin_password',), cli='openstack server set --password'),
    Feature('crash-dump', 'Crash dump', ('trigger_crash_dump',),
            cli='openstack server dump create'),
    Feature('interfaces', 'Ports of Neutron', ('plug_vifs', 'unplug_vifs'),
            status='mandatory'),
    Feature('attach-interface', 'Attach and detach interfaces',
            ('attach_interface', 'detach_interface'),
            ('supports_attach_interface',),
            cli='openstack server add port; openstack server remove port'),
    Feature('attach-tagged-interface', 'Attach interfaces with a tag',
            flags=('supports_tagged_attach_interface',)),
    Feature('remote-ports', 'Ports of a smart NIC with a processor of its own',
            flags=('supports_remote_managed_ports',)),
    Feature('attach-volume', 'Attach and detach volumes',
            ('attach_volume', 'detach_volume', 'get_volume_connector',
             'default_root_device_name', 'get_device_name_for_instance',
             'default_device_names_for_instance'),
            cli='openstack server add volume; openstack server remove volume'),
    Feature('attach-tagged-volume', 'Attach volumes with a tag',
            flags=('supports_tagged_attach_volume',)),
    Feature('multiattach', 'Volumes of several servers at once',
            flags=('supports_multiattach',)),
    Feature('extend-volume', 'Extend attached volumes', ('extend_volume',),
            ('supports_extend_volume',)),
    Feature('swap-volume', 'Move attached volumes', ('swap_volume',)),
    Feature('volume-snapshot', 'Snapshots of volumes that are files',
            ('volume_snapshot_create', 'volume_snapshot_delete')),
    Feature('volume-usage', 'Usage of volumes',
            ('get_all_volume_usage', 'block_stats')),
    Feature('shares', 'Shares of Manila',
            ('mount_share', 'umount_share', 'is_share_mounted'),
            ('supports_virtio_fs', 'supports_mem_backing_file'),
            cli='openstack server share create'),
    Feature('device-tags', 'Tags of devices', flags=(
        'supports_device_tagging',)),
    Feature('image-formats', 'Images as qcow2, raw, ISO, VDI, VHD, VHDX, VMDK '
            'and as kernel and ramdisk', flags=(
                'supports_image_type_qcow2', 'supports_image_type_raw',
                'supports_image_type_iso', 'supports_image_type_vdi',
                'supports_image_type_vhd', 'supports_image_type_vhdx',
                'supports_image_type_vmdk', 'supports_image_type_aki',
                'supports_image_type_ari', 'supports_image_type_ami')),
    Feature('image-ploop', 'Images of containers',
            flags=('supports_image_type_ploop',)),
    Feature('image-cache', 'Image cache',
            ('cache_image', 'manage_image_cache'), ('has_imagecache',),
            cli='openstack aggregate cache image'),
    Feature('image-signature', 'Images signed by trusted certificates',
            flags=('supports_trusted_certs',)),
    Feature('pcpus', 'Processors of their own', flags=('supports_pcpus',)),
    Feature('secure-boot', 'UEFI secure boot',
            flags=('supports_secure_boot',)),
    Feature('stateless-firmware', 'Firmware that remembers nothing',
            flags=('supports_stateless_firmware',)),
    Feature('vtpm', 'Emulated TPM', flags=('supports_vtpm',)),
    Feature('encryption', 'Encrypted local disks', flags=(
        'supports_ephemeral_encryption', 'supports_ephemeral_encryption_luks',
        'supports_ephemeral_encryption_plain')),
    Feature('accelerators', 'Accelerators of Cyborg',
            flags=('supports_accelerators',)),
    Feature('pci-numa', 'PCI devices of the same socket',
            flags=('supports_socket_pci_numa_affinity',)),
    Feature('address-bits', 'Width of the memory\'s addresses', flags=(
        'supports_address_space_passthrough',
        'supports_address_space_emulated')),
)

OF_THE_HOST = frozenset((
    'init_host', 'cleanup_host', 'get_available_nodes',
    'get_available_resource', 'update_provider_tree', 'get_host_cpu_stats',
    'get_host_uptime', 'instance_exists',
    'process_instances_at_startup', 'check_instance_shared_storage_local',
    'check_instance_shared_storage_remote',
    'check_instance_shared_storage_cleanup',
    'list_instance_uuids', 'instance_on_disk', 'get_instance_disk_info',
    'delete_instance_files'))
"""Verbs that no user asks for."""


def verbs() -> list[str]:
    """Return the verbs of Nova's contract that the driver has."""
    return sorted(
        name for name, member in vars(driver.NovaLibvirtDriver).items()
        if inspect.isfunction(member) and not name.startswith('_'))


def flags() -> set[str]:
    """Return the flags that Nova asks for by a trait."""
    return set(nova_driver.CAPABILITY_TRAITS_MAP)


def verdict(feature: Feature) -> str:
    """Say how much of a feature the driver has."""
    has = ([verb in verbs() for verb in feature.verbs]
           + [bool(driver.NovaLibvirtDriver.capabilities.get(flag))
              for flag in feature.flags])
    if all(has):
        return 'complete'
    return 'partial' if any(has) else 'missing'


def text() -> str:
    """Return the file."""
    matrix = configparser.ConfigParser(interpolation=None)
    matrix[_KEY] = {'title': 'nova-libvirt-driver'}
    for feature in FEATURES:
        matrix[f'operation.{feature.key}'] = {
            'title': feature.title, 'status': feature.status,
            **({'cli': feature.cli} if feature.cli else {}),
            _KEY: verdict(feature)}
    lines = io.StringIO()
    matrix.write(lines, space_around_delimiters=False)
    return _HEAD + lines.getvalue().rstrip('\n') + '\n'
