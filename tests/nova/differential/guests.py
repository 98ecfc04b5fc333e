# SPDX-License-Identifier: Apache-2.0

"""From a case to the objects that the compute manager passes to a driver."""

from collections.abc import Mapping
import dataclasses
from typing import Any

from nova.compute import api
from nova import context as nova_context
from nova import exception
from nova.network import model as network_model
from nova import objects
from nova.virt import hardware

import nova.conf
from tests.nova.differential import cases

CONF = nova.conf.CONF

_UUID = '97a75666-f2b1-4f1c-a6f4-1d5b2f0b2f%02d'
IMAGE_ID = '155d900f-4e14-4e4c-a73d-069cbf4541e6'
RESCUE_ID = '0d6f6c0b-8b43-4f0e-9a43-8d1a6f5f3c11'
KERNEL_ID = 'a2a8d6c2-0c1e-4c52-8b0c-1c1c58c1c2a5'
RAMDISK_ID = 'b5fd64d8-5ab8-49f8-9a92-0a9e5b0ffe0a'
NETWORK_ID = '4d4d2f4e-8c0e-4c27-9a6a-c0b8a2b6b1d0'
TPM_SECRET = '7e57ab1e-0000-4000-8000-000000000001'
PORT_IDS = ('97a75666-f2b1-4f1c-a6f4-1d5b2f0b2f6b',
            '1e0d0f4a-5a3d-4a26-8a1a-7f2b36f3e7c1')


class NotAsked(Exception):
    """Nova refuses it, or finds no place for it, before any driver."""


@dataclasses.dataclass
class Request:
    """What one driver is given; it may change any of it."""

    instance: Any
    image_meta: Any
    network_info: Any
    block_device_info: dict[str, Any]
    rescue_meta: Any = None
    """Nova's, of the image that it is rescued from."""


def request(case: cases.Case, host: Any, number: int) -> Request:
    """Return new objects for a case.

    :param host: Nova's NUMA topology of the host
    :param number: tells the guests of several processes apart
    :raises NotAsked: no driver gets such a request
    """
    try:
        image_meta = _meta(IMAGE_ID, {
            'disk_format': 'qcow2', **case.image}, case.properties)
        rescue_meta = None if case.rescue is None else _meta(
            RESCUE_ID, {'disk_format': 'qcow2'}, case.rescue)
        instance = _instance(case, number)
        _validate(case, instance.flavor, image_meta)
        topology = hardware.numa_get_constraints(instance.flavor, image_meta)
        instance.numa_topology = _placed(topology, host)
    except (exception.NovaException, ValueError) as error:
        raise NotAsked(str(error)) from error
    return Request(
        instance, image_meta, network_model.NetworkInfo(_ports(case)),
        _disks(case), rescue_meta)


def _meta(
        image_id: str, image: Mapping[str, Any],
        properties: Mapping[str, Any]) -> Any:
    return objects.ImageMeta.from_dict({
        'id': image_id, 'name': 'image', 'min_disk': 0, 'min_ram': 0,
        'container_format': 'bare', 'properties': dict(properties), **image})


def _validate(
        case: cases.Case, flavor: Any, image_meta: Any) -> None:
    image = {'id': IMAGE_ID, 'name': 'image', 'status': 'active',
             'min_ram': 0, 'min_disk': 0, 'size': 1, 'properties': {
                 name: str(value) for name, value in case.properties.items()},
             'disk_format': 'qcow2', **case.image}
    api.API._validate_flavor_image_nostatus(
        nova_context.get_admin_context(), image, flavor, None,
        validate_pci=False)


def _placed(topology: Any, host: Any) -> Any:
    if topology is None:
        return None
    placed = hardware.numa_fit_instance_to_host(host, topology, {})
    if placed is None:
        raise NotAsked('the host has no room for such nodes')
    return placed


def _instance(case: cases.Case, number: int) -> Any:
    flavor = objects.Flavor(**{
        'id': 1, 'flavorid': '42', 'name': 'small', 'vcpus': 2,
        'memory_mb': 512, 'root_gb': 3, 'ephemeral_gb': 0, 'swap': 0,
        'is_public': True, 'disabled': False, 'rxtx_factor': 1.0,
        'vcpu_weight': 0, 'description': None, 'projects': [],
        'extra_specs': dict(case.extra_specs), **case.flavor})
    given = dict(case.instance)
    for name, image_id in (('kernel_id', KERNEL_ID),
                           ('ramdisk_id', RAMDISK_ID)):
        given[name] = image_id if given.get(name) else ''
    system_metadata = {
        f'image_{name}': str(value)
        for name, value in case.properties.items()}
    system_metadata.update({
        'image_base_image_ref': IMAGE_ID, 'vtpm_secret_uuid': TPM_SECRET,
        'owner_user_name': 'anna', 'owner_project_name': 'lab',
        **{f'image_{name}': str(value)
           for name, value in case.image.items()}})
    context = nova_context.RequestContext(
        'user', 'project', user_name='anna', project_name='lab',
        is_admin=True)
    return objects.Instance(context, **{
        'id': number, 'uuid': _UUID % number, 'host': 'host',
        'image_ref': IMAGE_ID,
        'display_name': 'a <b> & c', 'user_id': 'user',
        'project_id': 'project', 'flavor': flavor, 'vcpus': flavor.vcpus,
        'memory_mb': flavor.memory_mb, 'root_gb': flavor.root_gb,
        'ephemeral_gb': flavor.ephemeral_gb, 'numa_topology': None,
        'system_metadata': system_metadata, 'os_type': None,
        'vm_mode': case.properties.get('hw_vm_mode'), 'vcpu_model': None,
        'architecture': None, 'config_drive': '', 'resources': None,
        'launched_at': None, 'trusted_certs': None, 'metadata': {},
        'pci_devices': objects.PciDeviceList(objects=[]),
        'pci_requests': objects.InstancePCIRequests(
            instance_uuid=_UUID % number, requests=[]),
        'default_ephemeral_device': None, 'default_swap_device': None,
        'root_device_name': '/dev/vda', 'tags': objects.TagList(objects=[]),
        **given})


def _ports(case: cases.Case) -> list[Any]:
    return [_port(kind, number) for number, kind in enumerate(case.ports)]


_KINDS: dict[str, dict[str, Any]] = {
    'ovs_hybrid': {'type': 'ovs', 'details': {'ovs_hybrid_plug': True}},
    'ovs_tap': {'type': 'ovs', 'details': {'ovs_create_tap': True}},
    'vhostuser': {'details': {
        'vhostuser_mode': 'client', 'vhostuser_socket': '/run/x.sock'}},
    'vhostuser_ovs': {'type': 'vhostuser', 'details': {
        'vhostuser_mode': 'server', 'vhostuser_socket': '/run/x.sock',
        'vhostuser_ovs_plug': True}},
    'hw_veb': {'vnic_type': 'direct', 'details': {'vlan': '7'},
               'profile': {'pci_slot': '0000:0a:00.1'}},
    'macvtap': {'details': {
        'macvtap_source': 'eth0', 'macvtap_mode': 'vepa',
        'physical_interface': 'eth0'}},
    'hostdev_physical': {'vnic_type': 'direct-physical',
                         'profile': {'pci_slot': '0000:0a:00.1'}},
}


def _port(kind: str, number: int) -> Any:
    subnet = network_model.Subnet(cidr='192.0.2.0/24', version=4, ips=[
        network_model.FixedIP(address=f'192.0.2.{number + 5}')])
    network = network_model.Network(
        id=NETWORK_ID, bridge='br-int', label='net', subnets=[subnet],
        mtu=1442)
    port_id = PORT_IDS[number]
    return network_model.VIF(**{
        'id': port_id, 'address': f'fa:16:3e:00:00:0{number + 1}',
        'network': network, 'type': kind, 'devname': f'tap{port_id[:11]}',
        'vnic_type': 'normal', 'ovs_interfaceid': port_id, 'details': {},
        **_KINDS.get(kind, {})})


def _disks(case: cases.Case) -> dict[str, Any]:
    image: dict[str, Any] = {
        'device_name': None, 'disk_bus': None, 'device_type': None,
        'boot_index': 0, 'size': 3, 'encrypted': False}
    ephemeral = {**image, 'boot_index': -1, 'size': 1,
                 'guest_format': None, 'virtual_name': 'ephemeral0'}
    swap = {'device_name': None, 'disk_bus': None, 'device_type': None,
            'swap_size': 64, 'guest_format': 'swap'}
    ephemerals: list[dict[str, Any]] = []
    given_swap = None
    layout = case.disks
    if 'ephemeral' in layout and not layout.startswith('default'):
        ephemerals = [ephemeral]
        if layout == 'ephemerals':
            ephemerals.append({**ephemeral, 'guest_format': 'ext4'})
    if 'swap' in layout and not layout.startswith('default'):
        given_swap = swap
    if layout == 'bus of the root disk':
        image['disk_bus'] = 'scsi'
    elif layout == 'name of the root disk':
        image['device_name'] = '/dev/vdc'
    elif layout == 'bus of an ephemeral disk':
        ephemerals[0]['disk_bus'] = 'sata'
    elif layout == 'bus of the swap disk':
        swap['disk_bus'] = 'usb'
    volumes = [_volume(volume, number)
               for number, volume in enumerate(case.volumes)]
    root = next((one for one in volumes if one['boot_index'] == 0), None)
    return {'root_device_name': (
                root['mount_device'] if root else image['device_name']),
            'image': [] if root else [image],
            'ephemerals': ephemerals, 'swap': given_swap,
            'block_device_mapping': volumes}


class _Device(dict[str, Any]):
    """A block device of Nova's."""

    def save(self) -> None:
        """Do nothing: there is no database."""


def _volume(volume: cases.Volume, number: int) -> _Device:
    volume_id = f'{number + 1}ca404f3-d844-4169-bb96-bc792f37de98'
    return _Device({
        'boot_index': None, 'disk_bus': None, 'device_type': None,
        'guest_format': None, 'volume_size': 1, 'attachment_id': None,
        'mount_device': f'/dev/vd{"bcd"[number]}',
        'delete_on_termination': False, **volume.device,
        'connection_info': {
            'driver_volume_type': volume.protocol, 'serial': volume_id,
            'multiattach': volume.multiattach, 'data': {
                'volume_id': volume_id, 'export': 'server:/share',
                'name': f'volume-{volume_id}', 'target_lun': 1,
                'device_path': f'/dev/of-volume-{number}',
                **volume.data}}})
