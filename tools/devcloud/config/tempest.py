# SPDX-License-Identifier: Apache-2.0

"""Write tempest.conf for the running cloud; run by ``tempest``."""

import os
import pathlib
import sys
from typing import Any
import urllib.parse

import openstack

from config import cloud as cloud_config


class Facts:
    """What tempest must be told about the cloud of now."""

    def __init__(self, folder: pathlib.Path) -> None:
        self.folder = folder
        self.cloud = openstack.connect(
            load_yaml_config=False, load_envvars=True)
        self.region = os.environ['OS_REGION_NAME']
        self.password = os.environ['OS_PASSWORD']
        self.keystone = os.environ['OS_AUTH_URL']
        self.hosts = sorted(
            service.host for service in
            self.cloud.compute.services(binary='nova-compute')
            if service.state == 'up' and service.status == 'enabled')
        self.migration = len(self.hosts) > 1
        self.volumes = self._has_volumes()

    def _has_volumes(self) -> bool:
        """Tell whether Cinder runs: the catalogue may name it though not."""
        try:
            services = list(self.cloud.block_storage.services(
                binary='cinder-volume'))
        except Exception:
            return False
        return any(service.state == 'up' for service in services)

    def image(self, name: str) -> str:
        """Return an image's id."""
        return str(self.cloud.image.find_image(name).id)

    def version(self, service: Any, port: int, name: str) -> Any:
        """Return what a service says about one version of its API."""
        host = urllib.parse.urlsplit(self.keystone).hostname
        answer = service.get('/', endpoint_override=f'http://{host}:{port}')
        return next(v for v in answer.json()['versions'] if v['id'] == name)


def sections(facts: Facts) -> cloud_config.Sections:
    """Return the whole file."""
    return {
        'DEFAULT': {
            'log_file': facts.folder / 'tempest.log', 'debug': True},
        'oslo_concurrency': {'lock_path': facts.folder / 'lock'},
        'service_available': {
            'cinder': facts.volumes, 'glance': True, 'neutron': True,
            'nova': True, 'swift': False, 'horizon': False},
        'enforce_scope': {
            name: True for name in
            ('nova', 'neutron', 'glance', 'keystone', 'placement')},
        **_identity(facts),
        'compute': _compute(facts),
        'compute-feature-enabled': _compute_features(facts),
        **_network(facts),
        'validation': _validation(),
        **_image(facts),
        **_volume(facts),
    }


def _identity(facts: Facts) -> cloud_config.Sections:
    return {
        'auth': {
            'use_dynamic_credentials': True,
            'admin_username': 'admin',
            'admin_password': facts.password,
            'admin_project_name': 'admin',
            'admin_domain_name': 'Default',
            'tempest_roles': 'member',
        },
        'identity': {
            'uri_v3': facts.keystone,
            'auth_version': 'v3',
            'v3_endpoint_type': 'public',
            'region': facts.region,
            'disable_ssl_certificate_validation': True,
        },
    }


def _compute(facts: Facts) -> cloud_config.Section:
    newest = facts.version(facts.cloud.compute, 8774, 'v2.1')['version']
    return {
        'image_ref': facts.image('guest'),
        'image_ref_alt': facts.image('guest-alt'),
        'flavor_ref': '42',
        'flavor_ref_alt': '84',
        'fixed_network_name': 'private',
        'min_compute_nodes': len(facts.hosts),
        'build_timeout': 300,
        'build_interval': 1,
        'shelved_offload_time': 0,
        'min_microversion': '2.1',
        'max_microversion': newest,
        'region': facts.region,
        'volume_device_name': 'vdb',
        'hypervisor_type': 'QEMU',
        'migration_source_dest_host_inherit': False,
        **({'migration_source_host': facts.hosts[0],
            'migration_dest_host': facts.hosts[1]}
           if facts.migration else {}),
    }


def _compute_features(facts: Facts) -> cloud_config.Section:
    return {
        'resize': True,
        'pause': True,
        'suspend': True,
        'shelve': True,
        'shelve_migrate': facts.migration,
        'snapshot': True,
        'rescue': True,
        'stable_rescue': True,
        'change_password': False,
        'console_output': True,
        'vnc_console': False,
        'spice_console': False,
        'serial_console': False,
        'config_drive': True,
        'interface_attach': True,
        'personality': False,
        'metadata_service': True,
        'cold_migration': facts.migration,
        'live_migration': facts.migration,
        'block_migration_for_live_migration': facts.migration,
        'can_migrate_between_any_hosts': True,
        'volume_backed_live_migration': facts.volumes and facts.migration,
        'volume_multiattach': facts.volumes,
        'attach_encrypted_volume': facts.volumes,
        'swap_volume': False,
        'disk_config': True,
        'nova_networks': False,
        'barbican_integration_enabled': False,
        'scheduler_enabled_filters': 'all',
    }


def _network(facts: Facts) -> cloud_config.Sections:
    public = facts.cloud.network.find_network('public')
    return {
        'network': {
            'public_network_id': public.id,
            'floating_network_name': 'public',
            'project_networks_reachable': False,
            'project_network_cidr': '10.100.0.0/16',
            'project_network_mask_bits': 28,
            'build_interval': 1,
        },
        'network-feature-enabled': {
            'api_extensions': 'all', 'ipv6': False, 'port_security': True,
            'floating_ips': True},
    }


def _validation() -> cloud_config.Section:
    return {
        'run_validation': True,
        'connect_method': 'floating',
        'auth_method': 'keypair',
        'image_ssh_user': 'root',
        'image_alt_ssh_user': 'root',
        'image_ssh_password': 'gocubsgo',
        'image_alt_ssh_password': 'gocubsgo',
        'ping_timeout': 180,
        'ssh_timeout': 300,
        'connect_timeout': 15,
        'network_for_ssh': 'public',
        'ssh_key_type': 'ecdsa',
        'ssh_shell_prologue': '',
    }


def _image(facts: Facts) -> cloud_config.Sections:
    return {
        'image': {
            'region': facts.region, 'disk_formats': 'qcow2,raw',
            'container_formats': 'bare'},
        'image-feature-enabled': {'api_v2': True},
        'scenario': {
            'img_file': facts.folder.parent / 'image' / 'guest.qcow2',
            'img_disk_format': 'qcow2',
            'dhcp_client': 'udhcpc',
        },
    }


def _volume(facts: Facts) -> cloud_config.Sections:
    section = {
        'volume_size': 1,
        'backend_names': '',
        'storage_protocol': 'ceph',
        'volume_type_multiattach': 'multiattach',
        'build_interval': 1,
        'region': facts.region,
    }
    if facts.volumes:
        version = facts.version(facts.cloud.block_storage, 8776, 'v3.0')
        section |= {
            'min_microversion': version['min_version'],
            'max_microversion': version['version'],
        }
    return {
        'volume': section,
        'volume-feature-enabled': {
            'backup': False, 'extend_attached_volume': True,
            'api_extensions': 'all'},
    }


if __name__ == '__main__':
    workspace = pathlib.Path(sys.argv[1])
    cloud_config.write(
        workspace / 'etc' / 'tempest.conf', sections(Facts(workspace)))
