# SPDX-License-Identifier: Apache-2.0

"""Neutron: ML2 with OVN, and its metadata agent on each host."""

import shutil

from config import cloud as cloud_config

PRIVSEP_CONTEXTS = (
    'privsep', 'privsep_link', 'privsep_namespace', 'privsep_conntrack',
    'privsep_dhcp_release', 'privsep_ovs_vsctl',
)


def write(cloud: cloud_config.Cloud) -> None:
    """Write its files."""
    folder = cloud.etc / 'neutron'
    shutil.copytree(cloud.venv / 'etc' / 'neutron', folder,
                    dirs_exist_ok=True)
    cloud_config.write(folder / 'neutron.conf', _server(cloud))
    cloud_config.write(folder / 'ml2_conf.ini', _ml2(cloud))
    for host in cloud.host_names:
        (cloud.state / f'neutron-{host}').mkdir(exist_ok=True)
        cloud_config.write(
            folder / f'ovn_metadata-{host}.ini', _metadata(cloud, host))


def _server(cloud: cloud_config.Cloud) -> cloud_config.Sections:
    folder = cloud.etc / 'neutron'
    state = cloud.state / 'neutron'
    state.mkdir(exist_ok=True)
    helper = (f'{cloud.venv}/bin/privsep-helper'
              f' --config-file {folder}/neutron.conf')
    return {
        'DEFAULT': {
            'core_plugin': 'ml2',
            'service_plugins': 'ovn-router,trunk,segments',
            'transport_url': cloud.broker,
            'api_workers': 1,
            'rpc_workers': 0,
            'state_path': state,
            'api_paste_config': folder / 'api-paste.ini',
            'host': 'h1',
            'notify_nova_on_port_status_changes': True,
            'notify_nova_on_port_data_changes': True,
            'dns_domain': 'devcloud.example.',
            'vlan_transparent': False,
        },
        'database': cloud.database('neutron'),
        'keystone_authtoken': cloud.token('neutron'),
        'nova': cloud.auth('nova'),
        'placement': cloud.auth('placement'),
        'agent': {'root_helper': 'sudo', 'root_helper_daemon': ''},
        'oslo_concurrency': cloud.locks('neutron'),
        **{name: {'helper_command': helper} for name in PRIVSEP_CONTEXTS},
    }


def _ml2(cloud: cloud_config.Cloud) -> cloud_config.Sections:
    return {
        'ml2': {
            'type_drivers': 'flat,vlan,geneve,local',
            'tenant_network_types': 'geneve',
            'mechanism_drivers': 'ovn',
            'extension_drivers': 'port_security',
        },
        'ml2_type_flat': {'flat_networks': 'public'},
        'ml2_type_vlan': {'network_vlan_ranges': 'public:100:199'},
        'ml2_type_geneve': {'vni_ranges': '1:65536', 'max_header_size': 38},
        'securitygroup': {'enable_security_group': True},
        'ovn': {
            'ovn_nb_connection': f'tcp:{cloud.address}:6641',
            'ovn_sb_connection': f'tcp:{cloud.address}:6642',
            'ovn_l3_scheduler': 'leastloaded',
            'ovn_metadata_enabled': True,
        },
    }


def _metadata(
        cloud: cloud_config.Cloud, host: str) -> cloud_config.Sections:
    return {
        'DEFAULT': {
            'nova_metadata_host': cloud.address,
            'nova_metadata_port': 8775,
            'metadata_proxy_shared_secret': cloud.password,
            'metadata_workers': 1,
            'host': host,
            'state_path': cloud.state / f'neutron-{host}',
        },
        'ovn': {'ovn_sb_connection': f'tcp:{cloud.address}:6642'},
        'ovs': {
            'ovsdb_connection': 'unix:/run/openvswitch/db.sock',
            'bridge_mappings': 'public:br-ex',
        },
    }
