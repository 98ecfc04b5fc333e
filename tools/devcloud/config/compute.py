# SPDX-License-Identifier: Apache-2.0

"""nova-compute, on each host.

A file of its own, without the sections of the databases: nova-compute must
not reach them.
"""

import itertools

from config import cloud as cloud_config
from config import nova


def write(cloud: cloud_config.Cloud) -> None:
    """Write a file for each host."""
    drivers = itertools.cycle(cloud.compute_driver.split())
    for number, host in enumerate(cloud.host_names, start=1):
        address = f'10.99.0.{number}'
        sections = {
            'DEFAULT': _default(cloud, host, address, next(drivers)),
            'libvirt': _libvirt(cloud, address),
            **nova.clients(cloud),
            **_consoles(cloud, address),
            **_network(),
            'oslo_concurrency': cloud.locks(f'nova-{host}'),
        }
        if cloud.rbd_secret:
            sections['key_manager'] = cloud.key_manager('nova')
        for option in cloud.compute_options.split():
            place, _, value = option.partition('=')
            section, _, name = place.partition('.')
            sections.setdefault(section, {})[name] = value
        cloud_config.write(
            cloud.etc / 'nova' / f'compute-{host}.conf', sections)


def _default(
        cloud: cloud_config.Cloud, host: str, address: str,
        driver: str) -> cloud_config.Section:
    state = cloud.state / 'nova-compute'
    return {
        'transport_url': cloud.broker,
        'debug': True,
        'default_log_levels': cloud_config.LOG_LEVELS,
        'host': host,
        'my_ip': address,
        'state_path': state,
        'instances_path': state / 'instances',
        'rootwrap_config': cloud.etc / 'nova' / 'rootwrap.conf',
        'compute_driver': driver,
        'concurrency_backend': cloud.concurrency,
        'allow_resize_to_same_host': True,
        'initial_cpu_allocation_ratio': 16.0,
        'initial_ram_allocation_ratio': 2.0,
        'initial_disk_allocation_ratio': 4.0,
        'reserved_host_memory_mb': 512,
        'vif_plugging_timeout': 120,
        'vif_plugging_is_fatal': True,
        'force_config_drive': False,
        'running_deleted_instance_poll_interval': 60,
    }


def _libvirt(
        cloud: cloud_config.Cloud, address: str) -> cloud_config.Section:
    section = {
        'virt_type': cloud.virt_type,
        'cpu_mode': 'none',
        'images_type': 'qcow2',
        # MiB; QEMU's default would be about 1 GiB a guest.
        'tb_cache_size': 64,
        'num_pcie_ports': 8,
        'live_migration_uri': 'qemu+tcp://%s/system',
        'live_migration_inbound_addr': address,
        'swtpm_enabled': False,
    }
    if cloud.rbd_secret:
        section |= {
            'rbd_user': 'cinder', 'rbd_secret_uuid': cloud.rbd_secret}
    return section


def _consoles(
        cloud: cloud_config.Cloud, address: str) -> cloud_config.Sections:
    return {
        'vnc': {
            'enabled': True,
            'server_listen': '0.0.0.0',
            'server_proxyclient_address': address,
            'novncproxy_base_url': cloud.url(6080) + '/vnc_lite.html',
        },
        'serial_console': {'enabled': False},
    }


def _network() -> cloud_config.Sections:
    # Its socket is root's.
    switch = {'ovsdb_connection': 'tcp:127.0.0.1:6640'}
    return {'os_vif_ovs': switch, 'vif_plug_ovs': switch}
