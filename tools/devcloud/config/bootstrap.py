# SPDX-License-Identifier: Apache-2.0

"""Fill the cloud, or wait for a part of it; run by ``up``.

Whatever is there already is left as it is.
"""

import argparse
import calendar
import hashlib
import os
import pathlib
import time
from typing import Any
import urllib.parse

import openstack

# Type, name, port and path.
SERVICES = (
    ('compute', 'nova', ':8774/v2.1'),
    ('image', 'glance', ':9292'),
    ('placement', 'placement', ':8778'),
    ('network', 'neutron', ':9696'),
    ('block-storage', 'cinder', ':8776/v3'),
)
# Id, name, MiB of memory, GiB of disk, vCPUs.
FLAVORS = (
    ('42', 'm1.nano', 128, 1, 1),
    ('84', 'm1.micro', 192, 1, 1),
    ('1', 'm1.tiny', 256, 2, 1),
    ('2', 'm1.small', 512, 4, 2),
)
COMPUTE_LIMIT_S = 180
VOLUMES_LIMIT_S = 120


def identity(cloud: Any, arguments: argparse.Namespace) -> None:
    """Make the services' users and the catalogue."""
    keystone = cloud.identity
    project = (
        keystone.find_project('service') or
        keystone.create_project(name='service', domain_id='default'))
    roles = {
        name: keystone.find_role(name) or keystone.create_role(name=name)
        for name in ('service', 'admin', 'member', 'reader')}
    for _, name, _ in SERVICES:
        user = keystone.find_user(name) or keystone.create_user(
            name=name, password=os.environ['OS_PASSWORD'],
            domain_id='default', default_project_id=project.id)
        for role in ('admin', 'service'):
            keystone.assign_project_role_to_user(project, user, roles[role])
    known = {service.type: service for service in keystone.services()}
    for kind, name, place in SERVICES:
        # Nova asks whatever is in the catalogue, and fails without an answer.
        wanted = kind != 'block-storage' or arguments.volumes
        if wanted and kind not in known:
            _publish(keystone, kind, name, place)
        elif kind in known and not wanted:
            keystone.delete_service(known[kind])


def _publish(keystone: Any, kind: str, name: str, place: str) -> None:
    host = urllib.parse.urlsplit(os.environ['OS_AUTH_URL']).hostname
    service = keystone.create_service(type=kind, name=name)
    for interface in ('public', 'internal', 'admin'):
        keystone.create_endpoint(
            service_id=service.id, interface=interface,
            url=f'http://{host}{place}',
            region_id=os.environ['OS_REGION_NAME'])


def resources(cloud: Any, arguments: argparse.Namespace) -> None:
    """Make flavors, images and networks."""
    for identifier, name, memory_mib, disk_gib, vcpus in FLAVORS:
        if not cloud.compute.find_flavor(identifier):
            flavor = cloud.compute.create_flavor(
                id=identifier, name=name, ram=memory_mib, disk=disk_gib,
                vcpus=vcpus)
            cloud.compute.create_flavor_extra_specs(
                flavor, {'hw_rng:allowed': 'True'})
    for name in ('guest', 'guest-alt'):
        _image(cloud, name, arguments.image)
    _networks(cloud.network)
    _security_rules(cloud)


def _image(cloud: Any, name: str, path: pathlib.Path) -> None:
    digest = hashlib.md5(path.read_bytes()).hexdigest()
    image = cloud.image.find_image(name)
    if image and image.checksum != digest:
        cloud.image.delete_image(image)
        image = None
    if not image:
        cloud.create_image(
            name, filename=str(path), disk_format='qcow2',
            container_format='bare', visibility='public', wait=True,
            validate_checksum=False, allow_duplicates=False,
            hw_rng_model='virtio', min_disk=0, min_ram=64)


def _networks(neutron: Any) -> None:
    """Make a private network that reaches the public one by a router."""
    public = neutron.find_network('public') or neutron.create_network(
        name='public', is_router_external=True, provider_network_type='flat',
        provider_physical_network='public')
    if not list(neutron.subnets(network_id=public.id)):
        neutron.create_subnet(
            network_id=public.id, ip_version=4, cidr='172.24.4.0/24',
            gateway_ip='172.24.4.1', is_dhcp_enabled=False,
            allocation_pools=[
                {'start': '172.24.4.10', 'end': '172.24.4.250'}])
    private = neutron.find_network('private') or neutron.create_network(
        name='private', is_shared=True)
    subnet = neutron.find_subnet('private-v4') or neutron.create_subnet(
        network_id=private.id, ip_version=4, cidr='10.77.0.0/24',
        name='private-v4')
    router = neutron.find_router('router') or neutron.create_router(
        name='router', external_gateway_info={'network_id': public.id})
    owners = [
        port.device_owner for port in neutron.ports(device_id=router.id)]
    if not any(o.startswith('network:router_interface') for o in owners):
        neutron.add_interface_to_router(router, subnet_id=subnet.id)


def _security_rules(cloud: Any) -> None:
    """Let ping and ssh in."""
    neutron = cloud.network
    group = next(neutron.security_groups(
        name='default', project_id=cloud.current_project_id))
    rules = neutron.security_group_rules(security_group_id=group.id)
    known = {rule.protocol for rule in rules
             if rule.direction == 'ingress' and not rule.remote_group_id}
    for protocol in {'icmp', 'tcp'} - known:
        neutron.create_security_group_rule(
            security_group_id=group.id, direction='ingress',
            protocol=protocol, ethertype='IPv4')


def compute(cloud: Any, arguments: argparse.Namespace) -> None:
    """Wait until each nova-compute has reported since its start."""
    def reported() -> bool:
        # A service stays up for a minute after its end. Its host is known
        # only when its node is: the provider comes right after the node.
        services = [
            service for service in
            cloud.compute.services(binary='nova-compute')
            if service.state == 'up' and
            _seconds(service.updated_at) > arguments.since]
        providers = list(cloud.placement.resource_providers())
        return min(len(services), len(providers)) >= int(arguments.hosts)

    _wait(reported, COMPUTE_LIMIT_S)


def _seconds(timestamp: str) -> int:
    return calendar.timegm(
        time.strptime(timestamp[:19], '%Y-%m-%dT%H:%M:%S'))


def volumes(cloud: Any, arguments: argparse.Namespace) -> None:
    """Wait for cinder-volume, and make a type that tempest needs."""
    _wait(lambda: any(
        service.state == 'up' for service in
        cloud.block_storage.services(binary='cinder-volume')),
        VOLUMES_LIMIT_S)
    names = [kind.name for kind in cloud.block_storage.types()]
    if 'multiattach' not in names:
        cloud.block_storage.create_type(
            name='multiattach', extra_specs={'multiattach': '<is> True'})


def _wait(condition: Any, limit_s: float) -> None:
    """Wait for a condition, which may fail while a service starts."""
    deadline = time.monotonic() + limit_s
    problem: object = 'not there yet'
    while time.monotonic() < deadline:
        try:
            if condition():
                return
        except Exception as exc:
            problem = exc
        time.sleep(1)
    raise SystemExit(f'gave up after {limit_s} s: {problem}')


def main() -> None:
    """Do the step that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__)
    steps = parser.add_subparsers(required=True)
    for step in (identity, resources, compute, volumes):
        sub = steps.add_parser(step.__name__, help=step.__doc__)
        sub.set_defaults(step=step)
        if step is identity:
            sub.add_argument('--volumes', action='store_true')
        elif step is resources:
            sub.add_argument('--image', required=True, type=pathlib.Path)
        elif step is compute:
            sub.add_argument('--hosts', required=True, type=int)
            sub.add_argument('--since', required=True, type=int)
    arguments = parser.parse_args()
    cloud = openstack.connect(load_yaml_config=False, load_envvars=True)
    arguments.step(cloud, arguments)


if __name__ == '__main__':
    main()
