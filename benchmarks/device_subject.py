# SPDX-License-Identifier: Apache-2.0

"""A driver that gives guests devices and takes them; see ``devices``.

``python -m benchmarks.device_subject SUBJECT NOVA_CONF GUESTS`` reads commands
from the standard input and answers each, both as lines of JSON.
"""

from collections.abc import Callable
from collections.abc import Mapping
from concurrent import futures
import sys
import time
from typing import Any
from typing import TypeAlias

import libvirt
from oslo_config import cfg

from benchmarks import command_loop
from benchmarks import counting
from benchmarks import measure
from benchmarks import nova_guests
from benchmarks import verbs

Verb: TypeAlias = Callable[[], object]

PORT_ID = 'f2a0f6e1-7a0b-4f4c-9a51-1d5bb4d4b1aa'
MAC = '52:54:00:12:34:56'
BRIDGE = 'bench'
EACH = 5
"""Volumes of one guest, of those that are attached at once."""

_NETWORK_ID = 'e2bc3ad9-3dbb-4ad4-a5dc-5d2bb1f0a0d7'


def info(volume: str) -> dict[str, Any]:
    """Return what a volume service says of a file, by its path."""
    volume_id = volume.rpartition('/')[2]
    return {'driver_volume_type': 'gpfs', 'serial': volume_id, 'data': {
        'volume_id': volume_id, 'device_path': volume}}


class Alone:
    """The driver that no Nova hosts."""

    def __init__(self, path: str, guests: int) -> None:
        from nova_libvirt_driver import conf
        from nova_libvirt_driver import driver as driver_module
        from nova_libvirt_driver.testing import specs

        conf.register_opts(cfg.CONF)
        cfg.CONF(['--config-file', path], project='benchmarks')
        self._driver = driver_module.LibvirtDriver()
        self._driver.init_host('bench')
        self._specs = [specs.guest_spec(
            nova_guests.name_of(number + 1),
            uuid=nova_guests.uuid_of(number + 1)) for number in range(guests)]
        self._connection = libvirt.open(cfg.CONF.libvirt.connection_uri)
        self._removed_at: list[float] = []
        self._connection.domainEventRegisterAny(
            None, libvirt.VIR_DOMAIN_EVENT_ID_DEVICE_REMOVED,
            lambda *arguments: self._removed_at.append(time.perf_counter()),
            None)

    def attach_volume(
            self, volume: str, guest: int = 0, bus: str = 'virtio') -> None:
        """Attach a file."""
        from nova_libvirt_driver.spec import disk as disk_spec

        volume_id = volume.rpartition('/')[2]
        self._driver.attach_disk(self._specs[guest], disk_spec.DiskSpec(
            target_dev='', id=volume_id, serial=volume_id, format='raw',
            bus=disk_spec.DiskBus(bus),
            source=disk_spec.DiskSource(path=volume)))

    def detach_volume(self, volume: str, guest: int = 0) -> float:
        """Detach it; return how long after the event that was over."""
        from nova_libvirt_driver.spec import disk as disk_spec

        volume_id = volume.rpartition('/')[2]
        return self._after_event(lambda: self._driver.detach_disk(
            self._specs[guest],
            disk_spec.DiskKey(id=volume_id, serial=volume_id)))

    def attach_port(self) -> None:
        """Attach a port to a bridge."""
        self._driver.attach_nic(self._specs[0], _nic())

    def detach_port(self) -> float:
        """Detach it; return how long after the event that was over."""
        return self._after_event(
            lambda: self._driver.detach_nic(self._specs[0], _nic().key))

    def _after_event(self, detach: Verb) -> float:
        self._removed_at.clear()
        detach()
        ended_at = time.perf_counter()
        while not self._removed_at:
            # Another thread of the process has it.
            time.sleep(0.001)
        return ended_at - self._removed_at[-1]


def _nic() -> Any:
    from nova_libvirt_driver.spec import nic as nic_spec

    return nic_spec.NicSpec(
        id=PORT_ID, mac=MAC, kind=nic_spec.NicKind.BRIDGE, source=BRIDGE)


class InNova:
    """A driver as nova-compute has it."""

    def __init__(self, driver: Any, guests: int) -> None:
        from nova import context
        from nova import objects
        import nova.privsep
        import os_vif

        # There is no database.
        for kind in (objects.BlockDeviceMappingList,
                     objects.VirtualInterfaceList, objects.ShareMappingList):
            setattr(kind, 'get_by_instance_uuid', staticmethod(
                lambda *given, **more: []))
        setattr(objects.Instance, 'save', lambda *given, **more: None)
        os_vif.initialize()
        # As root, within this process.
        nova.privsep.sys_admin_pctxt.set_client_mode(False)
        self._driver = driver
        self._context = context.get_admin_context()
        self._instances = [
            self._instance(number + 1) for number in range(guests)]
        driver.init_host('bench')

    def _instance(self, number: int) -> Any:
        from nova.network import model as network_model
        from nova import objects

        uuid = nova_guests.uuid_of(number)
        return objects.Instance(
            self._context, id=number, uuid=uuid, host='bench', deleted=False,
            display_name=f'server-{number}', hostname=f'server-{number}',
            info_cache=objects.InstanceInfoCache(
                self._context, instance_uuid=uuid,
                network_info=network_model.NetworkInfo()),
            flavor=objects.Flavor(
                id=1, flavorid='1', name='tiny', vcpus=1, memory_mb=32,
                root_gb=0, ephemeral_gb=0, swap=0, extra_specs={}),
            numa_topology=None, config_drive='', system_metadata={},
            image_ref=nova_guests.IMAGE_ID, kernel_id='', ramdisk_id='',
            os_type=None, vm_mode=None, vm_state='active', task_state=None,
            root_device_name='/dev/vda', default_ephemeral_device=None,
            default_swap_device=None, trusted_certs=None, vcpu_model=None,
            key_data=None, metadata={}, pci_requests=None, resources=None,
            project_id='c' * 32, user_id='b' * 32,
            device_metadata=None, created_at=None)

    def attach_volume(
            self, volume: str, guest: int = 0, bus: str = 'virtio',
            name: str = '/dev/vdz') -> None:
        """Attach a file."""
        self._driver.attach_volume(
            self._context, info(volume), self._instances[guest], name,
            disk_bus=bus, device_type='disk')

    def detach_volume(
            self, volume: str, guest: int = 0,
            name: str = '/dev/vdz') -> None:
        """Detach it."""
        self._driver.detach_volume(
            self._context, info(volume), self._instances[guest], name)

    def attach_port(self) -> None:
        """Attach a port, which is a tap."""
        instance = self._instances[0]
        self._driver.attach_interface(
            self._context, instance, instance.image_meta, _vif())

    def detach_port(self) -> None:
        """Detach it."""
        self._driver.detach_interface(
            self._context, self._instances[0], _vif())


def _vif() -> Any:
    from nova.network import model as network_model

    return network_model.VIF(
        id=PORT_ID, address=MAC, type=network_model.VIF_TYPE_TAP,
        vnic_type=network_model.VNIC_TYPE_NORMAL, devname='tap-bench',
        details={}, network=network_model.Network(
            id=_NETWORK_ID, label='net', subnets=[]))


def _ours(path: str, guests: int) -> InNova:
    verbs.start_nova(path)
    from nova_libvirt_driver.nova_plugin import driver as driver_module
    return InNova(driver_module.NovaLibvirtDriver(None), guests)


def _in_tree(path: str, guests: int) -> InNova:
    return InNova(verbs.in_tree_driver(path), guests)


SUBJECTS: Mapping[str, Callable[[str, int], Alone | InNova]] = {
    'alone': Alone, 'ours': _ours, 'in-tree': _in_tree}


def _all_at_once(
        subject: Alone | InNova, volumes: list[str],
        name: str) -> command_loop.Answer:
    """Attach or detach all volumes at once, some for each guest."""
    verb: Callable[..., object] = getattr(subject, name)
    more = {'bus': 'scsi'} if name == 'attach_volume' else {}

    def do(number: int) -> object:
        guest, place = divmod(number, EACH)
        names = ({} if isinstance(subject, Alone)
                 else {'name': f'/dev/sd{"abcde"[place]}'})
        return verb(volumes[number], guest, **more, **names)

    with futures.ThreadPoolExecutor(len(volumes)) as pool:
        return {'wall_s': measure.timed(
            lambda: list(pool.map(do, range(len(volumes)))))}


def _one(
        subject: Alone | InNova, name: str,
        arguments: list[str]) -> command_loop.Answer:
    verb: Callable[..., object] = getattr(subject, name)
    answer: command_loop.Answer = {}

    def do() -> None:
        answer['after_event_s'] = verb(*arguments)

    return {'wall_s': measure.timed(do), **answer}


def _counted(
        subject: Alone | InNova, name: str,
        arguments: list[str]) -> command_loop.Answer:
    with counting.counted() as tally:
        getattr(subject, name)(*arguments)
    return {'calls': dict(tally.by_name), 'threads': tally.threads,
            'syncs': tally.syncs}


def main(name: str, path: str, guests: str) -> None:
    """Answer until the standard input ends."""
    output = command_loop.private_output()
    counting.listen()
    subject = SUBJECTS[name](path, int(guests))

    def answer(command: dict[str, Any]) -> command_loop.Answer:
        if 'volumes' in command:
            return _all_at_once(subject, command['volumes'], command['verb'])
        do = _counted if command.get('count') else _one
        return do(subject, command['verb'], command.get('arguments', []))

    command_loop.serve(answer, output, {})


if __name__ == '__main__':
    main(*sys.argv[1:])
