# SPDX-License-Identifier: Apache-2.0

"""Nova's control plane."""

import shutil

from config import cloud as cloud_config

SCHEDULER_FILTERS = ','.join((
    'ComputeFilter', 'ComputeCapabilitiesFilter', 'ImagePropertiesFilter',
    'ServerGroupAntiAffinityFilter', 'ServerGroupAffinityFilter',
    'SameHostFilter', 'DifferentHostFilter', 'PciPassthroughFilter',
    'NUMATopologyFilter',
))


def write(cloud: cloud_config.Cloud) -> None:
    """Write its files."""
    folder = cloud.etc / 'nova'
    (cloud.state / 'nova').mkdir(exist_ok=True)
    cloud_config.write(
        folder / 'nova.conf', _control_plane(cloud) | clients(cloud))
    shutil.copy(cloud.venv / 'etc' / 'nova' / 'api-paste.ini', folder)


def clients(cloud: cloud_config.Cloud) -> cloud_config.Sections:
    """Return what nova-compute also needs to reach the other services."""
    cinder = {'os_region_name': cloud.region}
    if cloud.rbd_secret:
        cinder['catalog_info'] = 'block-storage::publicURL'
    return {
        'keystone_authtoken': cloud.token('nova'),
        'service_user': cloud.auth('nova') | {
            'send_service_user_token': True},
        'keystone': cloud.auth('nova') | {
            'service_type': 'identity', 'valid_interfaces': 'public'},
        'placement': cloud.auth('placement'),
        'glance': {'region_name': cloud.region, 'num_retries': 2},
        'neutron': cloud.auth('neutron') | {
            'service_metadata_proxy': True,
            'metadata_proxy_shared_secret': cloud.password,
            'default_floating_pool': 'public',
        },
        'cinder': cinder,
        'cache': cloud.cache,
    }


def _control_plane(cloud: cloud_config.Cloud) -> cloud_config.Sections:
    return {
        'DEFAULT': {
            'transport_url': cloud.broker,
            'my_ip': cloud.address,
            'host': 'h1',
            'state_path': cloud.state / 'nova',
            # Read by nova-api, not by nova-compute.
            'allow_resize_to_same_host': True,
            'metadata_workers': 1,
            'osapi_compute_workers': 1,
            'debug': True,
            'default_log_levels': cloud_config.LOG_LEVELS,
        },
        'api_database': cloud.database('nova_api'),
        'database': cloud.database('nova'),
        'api': {'auth_strategy': 'keystone'},
        'wsgi': {
            'api_paste_config': cloud.etc / 'nova' / 'api-paste.ini'},
        'conductor': {'workers': 1},
        'scheduler': {
            'workers': 1, 'discover_hosts_in_cells_interval': 60},
        'filter_scheduler': {
            'track_instance_changes': False,
            'enabled_filters': SCHEDULER_FILTERS,
        },
        'quota': {'cores': 100, 'ram': 100000, 'instances': 50},
        'oslo_concurrency': cloud.locks('nova'),
    }
