# SPDX-License-Identifier: Apache-2.0

"""Guests as Nova wants them."""

import subprocess
import sys
from typing import Any
from typing import ClassVar
import unittest
from unittest import mock
import uuid

from nova import context as nova_context
from nova import exception as nova_exception
from nova.network import model as network_model
from nova import objects
from nova.virt import osinfo

from nova_libvirt_driver import exception
from nova_libvirt_driver.nova_plugin import interfaces
from nova_libvirt_driver.nova_plugin import translate
from nova_libvirt_driver.nova_plugin import volumes
from nova_libvirt_driver.spec import console as console_spec
from nova_libvirt_driver.spec import cpu as cpu_spec
from nova_libvirt_driver.spec import disk as disk_spec
from nova_libvirt_driver.spec import guest as guest_spec
from nova_libvirt_driver.spec import host as host_spec
from nova_libvirt_driver.spec import nic as nic_spec
from tests.nova import configured
from tests.nova import environments

TAP_MAC = '02:00:de:ad:be:ef'
TAP = f'''
import json, subprocess
import nova.conf
import nova.privsep
from nova_libvirt_driver import conf
from nova_libvirt_driver.nova_plugin import interfaces
from tests.nova import test_translate
conf.register_opts(nova.conf.CONF)
nova.privsep.sys_admin_pctxt.set_client_mode(False)
subprocess.check_call(["mount", "-t", "sysfs", "sysfs", "/sys"])
def links():
    return json.loads(subprocess.check_output(
        ["ip", "-details", "-json", "link", "show", "type", "tun"]))
vif = test_translate.make_vif(
    "tap", details={{"mac_address": "{TAP_MAC}"}})
instance = test_translate.make_instance(
    system_metadata={{"image_hw_vif_multiqueue_enabled": "True"}})
interfaces.plug(instance, [vif])
interfaces.plug(instance, [vif])
link, = links()
print(link["address"])
print(link["linkinfo"]["info_data"]["multi_queue"])
print("UP" in link["flags"])
interfaces.unplug(instance, [vif])
interfaces.unplug(instance, [vif])
print(links())
'''

CONF = configured.CONF

IMAGE_ID, NETWORK_ID = str(uuid.uuid4()), str(uuid.uuid4())
PORT_ID = '97a75666-f2b1-4f1c-a6f4-1d5b2f0b2f6a'


def make_instance(
        extra_specs: dict[str, str] | None = None,
        **fields: Any) -> objects.Instance:
    """Return an instance as the compute manager passes it."""
    flavor = objects.Flavor(
        id=1, flavorid='42', name='small', vcpus=2, memory_mb=512,
        root_gb=3, ephemeral_gb=0, swap=0, extra_specs=extra_specs or {})
    return objects.Instance(
        nova_context.get_admin_context(), **{
            'id': 1, 'uuid': str(uuid.uuid4()), 'image_ref': IMAGE_ID,
            'display_name': 'a <b> & c', 'user_id': 'u', 'project_id': 'p',
            'kernel_id': '', 'ramdisk_id': '', 'flavor': flavor,
            'numa_topology': None, 'system_metadata': {}, 'os_type': None,
            'vm_mode': None, 'deleted': False, 'task_state': None,
            **fields})


def make_image(**properties: Any) -> objects.ImageMeta:
    """Return what the image service says of an image."""
    return objects.ImageMeta.from_dict({
        'id': IMAGE_ID, 'name': 'image', 'disk_format': 'qcow2',
        'properties': properties})


def make_vif(kind: str, **fields: Any) -> network_model.VIF:
    """Return a port as the network service describes it."""
    network = network_model.Network(
        id=NETWORK_ID, bridge='br-int', label='net', subnets=[], mtu=1442)
    return network_model.VIF(
        id=PORT_ID,
        address='fa:16:3e:00:00:01', network=network, type=kind,
        devname='tap97a75666-f2', **fields)


class Found(list[Any]):
    """A list as libosinfo has them, and what is in it."""

    models: ClassVar[dict[str, str]] = {'net': 'e1000', 'block': 'ide'}

    def get_length(self) -> int:
        return len(self)

    def get_nth(self, number: int) -> Any:
        return self[number]

    def get_all_devices(self, wanted: 'Filter') -> 'Found':
        return Found([Found([self.models[wanted.value]])])

    def get_name(self) -> str:
        return str(self[0])

    def new_filtered(self, wanted: 'Filter') -> 'Found':
        return Found([self] if wanted.value == 'old1' else [])


class Filter:
    """Which devices, or systems, are wanted."""

    value = ''

    @classmethod
    def new(cls) -> 'Filter':
        return cls()

    def add_constraint(self, key: str, value: str) -> None:
        self.value = value


class Loader:
    """Reads the database of libosinfo, which has one operating system."""

    def process_default_path(self) -> None:
        pass

    def get_db(self) -> 'Loader':
        return self

    def get_os_list(self) -> Found:
        return Found()


class OsinfoTest(unittest.TestCase):

    def setUp(self) -> None:
        super().setUp()
        patch = mock.patch.multiple(
            osinfo, libosinfo=sys.modules[__name__],
            _OsInfoDatabase=type('New', (osinfo._OsInfoDatabase,), {
                '_instance': None}))
        patch.start()
        self.addCleanup(patch.stop)

    def test_what_the_operating_system_has_drivers_for(self) -> None:
        for distro, asked, bus, model in (
                ('old1', {}, 'ide', 'e1000'),
                ('old1', {'hw_disk_bus': 'scsi', 'hw_vif_model': 'virtio'},
                 'scsi', 'virtio'),
                ('none-such', {}, None, '')):
            image = make_image(os_distro=distro, **asked)
            spec = translate.guest(translate.Request(
                make_instance(), image, [make_vif('ovs')]))

            self.assertEqual(bus, spec.storage.bus)
            self.assertEqual(model, spec.nics[0].model)
            self.assertEqual(bus or 'virtio', volumes.usual_bus(image))


class GuestTest(unittest.TestCase):

    def make(self, extra_specs: dict[str, str] | None = None,
             **properties: Any) -> guest_spec.GuestSpec:
        return translate.guest(translate.Request(
            make_instance(extra_specs), make_image(**properties)))

    def test_sizes_are_those_of_the_flavor(self) -> None:
        spec = self.make()

        self.assertEqual(2, spec.cpu.vcpus)
        self.assertEqual(cpu_spec.CpuTopology(sockets=2),
                         spec.cpu.topology)
        self.assertEqual(512, spec.memory.size_mib)
        self.assertEqual(3, spec.storage.root_gib)
        self.assertEqual(IMAGE_ID, spec.storage.image_id)
        self.assertEqual('42', spec.metadata.flavor.id)
        self.assertEqual('a <b> & c', spec.metadata.display_name)

    def test_an_owner_may_have_no_name(self) -> None:
        for noted, name in (({}, 'N/A'), ({'owner_user_name': None}, ''),
                            ({'owner_user_name': 'ann'}, 'ann')):
            with self.subTest(noted=noted):
                owner = translate.guest(translate.Request(
                    make_instance(system_metadata=noted),
                    make_image())).metadata.owner

                assert owner is not None
                self.assertEqual(name, owner.user_name)

    def test_properties_of_the_image_count(self) -> None:
        spec = self.make(hw_disk_bus='scsi', hw_qemu_guest_agent='yes')

        self.assertIs(disk_spec.DiskBus.SCSI, spec.storage.bus)
        self.assertTrue(spec.devices.agent)

    def test_the_image_wins_over_the_flavor_where_it_does_in_nova(
            self) -> None:
        spec = self.make({'hw:watchdog_action': 'reset',
                          'hw:boot_menu': 'false'},
                         hw_watchdog_action='pause', hw_boot_menu='true')

        self.assertEqual(('pause', True), (
            str(spec.devices.watchdog), spec.boot.menu))

    def test_flavor_and_image_may_not_contradict_each_other(self) -> None:
        for spec, value, name in (
                ('hw:pmu', 'false', 'hw_pmu'),
                ('os:secure_boot', 'disabled', 'os_secure_boot')):
            self.assertRaises(
                nova_exception.FlavorImageConflict, self.make,
                {spec: value},
                **{name: {'hw_pmu': 'true'}.get(name, 'required')})

    def test_what_the_flavor_does_not_allow_is_refused(self) -> None:
        self.assertRaises(nova_exception.RequestedVRamTooHigh, self.make,
                          {'hw_video:ram_max_mb': '8'}, hw_video_ram='16')

    def test_cards_have_as_many_queues_as_cpus(self) -> None:
        def card(**properties: str) -> nic_spec.NicSpec:
            found, = translate.guest(translate.Request(
                make_instance(), make_image(**properties),
                [make_vif('bridge')])).nics
            return found

        self.assertEqual((None, False), (card().queues, card().packed_ring))
        self.assertEqual(2, card(hw_vif_multiqueue_enabled='yes').queues)
        self.assertTrue(card(hw_virtio_packed_ring='yes').packed_ring)
        self.assertIsNone(card(
            hw_vif_multiqueue_enabled='yes', hw_vif_model='e1000').queues)

    def test_a_flavor_may_forbid_random_numbers(self) -> None:
        self.assertIsNotNone(self.make().devices.rng)
        self.assertIsNone(self.make(
            {'hw_rng:allowed': 'False'}, hw_rng_model='virtio').devices.rng)

    def test_quotas_of_the_flavor_count(self) -> None:
        spec = self.make({'quota:cpu_shares': '512',
                          'quota:disk_read_iops_sec': '100'})

        self.assertEqual(512, spec.cpu.tune.shares)
        assert spec.storage.iotune is not None
        self.assertEqual(100, spec.storage.iotune.read_iops)

    def test_a_quota_that_is_no_number_is_an_error(self) -> None:
        self.assertRaisesRegex(
            exception.InvalidRequest, 'quota:cpu_shares', self.make,
            {'quota:cpu_shares': 'many'})

    def test_disks_without_an_image_are_made(self) -> None:
        spec = translate.guest(translate.Request(
            make_instance(), make_image(), block_device_info={
                'ephemerals': [{'size': 2, 'guest_format': 'ext4'}],
                'swap': {'device_name': 'vdb', 'swap_size': 64},
                'block_device_mapping': []}))

        self.assertEqual(
            (disk_spec.LocalDisk(size_mib=2048, filesystem='ext4'),),
            spec.storage.ephemerals)
        self.assertEqual(
            disk_spec.LocalDisk(size_mib=64), spec.storage.swap)

    def test_a_file_system_is_the_one_of_novas_own_driver(self) -> None:
        self.addCleanup(CONF.clear_override, 'default_ephemeral_format')
        for ours, os_type, asked, expected in (
                (None, None, None, ''), (None, 'linux', None, 'ext4'),
                (None, 'windows', None, 'ntfs'), (None, 'bsd', None, ''),
                ('xfs', 'linux', None, 'xfs'), ('xfs', None, 'ext3', 'ext3')):
            CONF.set_override('default_ephemeral_format', ours)
            spec = translate.guest(translate.Request(
                make_instance(os_type=os_type), make_image(),
                block_device_info={
                    'ephemerals': [{'size': 2, 'guest_format': asked}],
                    'block_device_mapping': []}))

            self.assertEqual(
                expected, spec.storage.ephemerals[0].filesystem)

    def test_a_server_that_boots_from_a_volume_has_no_root_disk(self) -> None:
        for boot_index, image_id in (
                (0, ''), (1, IMAGE_ID), (None, IMAGE_ID)):
            storage = translate.guest(translate.Request(
                make_instance(), make_image(), block_device_info={
                    'block_device_mapping': [{'boot_index': boot_index}]})
            ).storage

            self.assertEqual(
                (image_id, bool(image_id)),
                (storage.image_id, bool(storage.root_gib)))

    def test_a_rescue_has_the_hardware_that_its_image_asks_for(self) -> None:
        request = translate.Request(
            make_instance(), make_image(
                hw_firmware_type='uefi', hw_machine_type='q35',
                hw_disk_bus='scsi'),
            block_device_info={'image': [{'disk_bus': 'sata'}]})

        spec = translate.rescued(request, objects.ImageMeta.from_dict({
            'id': NETWORK_ID, 'disk_format': 'iso',
            'properties': {'hw_disk_bus': 'ide'}}))

        self.assertEqual((None, ''), (spec.boot.firmware, spec.boot.machine))
        self.assertIs(disk_spec.DiskBus.IDE, spec.storage.bus)
        self.assertIsNone(spec.storage.root_bus)
        self.assertIs(disk_spec.DiskDevice.DISK, spec.storage.root_device)
        self.assertEqual(IMAGE_ID, spec.storage.image_id)

    def test_consoles_are_those_of_the_configuration(self) -> None:
        spec = self.make()

        self.assertEqual(
            [console_spec.GraphicsKind.VNC],
            [one.kind for one in spec.consoles.graphics])
        self.assertEqual((console_spec.SerialSpec(),),
                         spec.consoles.serials)

    def test_as_many_serial_consoles_as_flavor_and_image_ask_for(
            self) -> None:
        CONF.set_override('enabled', True, 'serial_console')
        self.addCleanup(CONF.clear_override, 'enabled', 'serial_console')
        flavor = {'hw:serial_port_count': '3'}

        for number, asked, properties in (
                (1, {}, {}), (3, flavor, {}),
                (2, {}, {'hw_serial_port_count': 2}),
                (2, flavor, {'hw_serial_port_count': 2})):
            self.assertEqual(
                [console_spec.SerialKind.TCP] * number,
                [one.kind for one in self.make(
                    asked, **properties).consoles.serials])
        self.assertRaises(
            nova_exception.ImageSerialPortNumberExceedFlavorValue,
            self.make, flavor, hw_serial_port_count=4)
        self.assertRaises(
            nova_exception.SerialPortNumberLimitExceeded,
            self.make, hw_serial_port_count=4)


class VirtualCpusTest(unittest.TestCase):

    cells = tuple(
        host_spec.HostCell(
            id=node, memory_kib=1 << 20,
            cpus=tuple(host_spec.HostCpu(cpu, 0, frozenset())
                       for cpu in (2 * node, 2 * node + 1)),
            pages=(host_spec.PagePool(4, 1), host_spec.PagePool(2048, 1)))
        for node in (0, 1))

    def setUp(self) -> None:
        super().setUp()
        self.addCleanup(CONF.clear_override, 'cpu_shared_set',
                        'compute')

    def share(self, cpus: str) -> None:
        CONF.set_override('cpu_shared_set', cpus, 'compute')

    def make(self, extra_specs: dict[str, str] | None = None,
             policy: str | None = None, **cell: Any) -> cpu_spec.CpuSpec:
        topology = objects.InstanceNUMATopology(
            emulator_threads_policy=policy, cells=[objects.InstanceNUMACell(**{
                'id': 1, 'cpuset': {0, 1}, 'pcpuset': set(), 'memory': 512,
                'pagesize': None, 'cpu_pinning': None,
                'cpuset_reserved': None, **cell})])
        return translate.guest(translate.Request(
            make_instance(extra_specs, numa_topology=topology), make_image(),
            cells=self.cells)).cpu

    def test_a_guest_without_nodes_floats(self) -> None:
        def host_cpus() -> frozenset[int]:
            return translate.guest(translate.Request(
                make_instance(), make_image(), cells=self.cells)
            ).cpu.host_cpus

        self.assertEqual(frozenset(), host_cpus())
        self.share('1,2')
        self.assertEqual({1, 2}, host_cpus())

    def test_a_guest_on_a_node_floats_there(self) -> None:
        self.share('0-2')
        spec = self.make(pagesize=4)

        self.assertEqual([(0, {2}), (1, {2})],
                         [(pin.vcpu, pin.host_cpus) for pin in spec.pins])
        self.assertEqual((cpu_spec.NumaCell(
            id=0, vcpus=frozenset((0, 1)), memory_mib=512, host_node=1),),
            spec.cells)
        self.assertEqual({2}, spec.emulator_cpus)

    def test_huge_pages_are_shared(self) -> None:
        cell, = self.make(pagesize=2048).cells

        self.assertEqual((2048, True),
                         (cell.page_size_kib, cell.shared_memory))

    def test_dedicated_cpus(self) -> None:
        own: dict[str, Any] = {
            'cpuset': set(), 'pcpuset': {0, 1}, 'cpu_pinning': {0: 3, 1: 2}}
        spec = self.make(**own)
        self.assertEqual([(0, {3}), (1, {2})],
                         [(pin.vcpu, pin.host_cpus) for pin in spec.pins])
        self.assertEqual({2, 3}, spec.emulator_cpus)

        isolated = self.make(policy='isolate', cpuset_reserved={1}, **own)
        self.assertEqual({1}, isolated.emulator_cpus)
        self.share('0')
        self.assertEqual(
            {0}, self.make(policy='share', **own).emulator_cpus)

    def test_realtime(self) -> None:
        spec = self.make(
            {'hw:cpu_realtime': 'yes', 'hw:cpu_realtime_mask': '^0',
             'hw:cpu_policy': 'dedicated'},
            cpuset=set(), pcpuset={0, 1}, cpu_pinning={0: 3, 1: 2})

        self.assertEqual({1}, spec.realtime_vcpus)
        self.assertEqual({3}, spec.emulator_cpus)

    def test_threads_of_qemu_do_not_disturb_what_must_not_wait(self) -> None:
        asked = {'hw:cpu_realtime': 'yes', 'hw:cpu_policy': 'dedicated',
                 'hw:emulator_threads_policy': 'share'}
        own: dict[str, Any] = {
            'cpuset': set(), 'pcpuset': {0, 1}, 'cpu_pinning': {0: 3, 1: 2}}

        self.assertRaisesRegex(
            exception.InvalidRequest, 'cpu_shared_set',
            self.make, asked, policy='share', **own)

        self.share('0')
        CONF.set_override('vcpu_pin_set', '2-3')
        self.addCleanup(CONF.clear_override, 'vcpu_pin_set')
        self.assertEqual(
            {0}, self.make(asked, policy='share', **own).emulator_cpus)


class FeaturesTest(unittest.TestCase):

    def test_the_image_names_the_administrator(self) -> None:
        for name, os_type, properties in (
                ('root', None, {}), ('root', 'linux', {}),
                ('Administrator', 'windows', {}),
                ('cloud', 'windows', {'image_os_admin_user': 'cloud'})):
            with self.subTest(name=name):
                self.assertEqual(name, translate.features(make_instance(
                    os_type=os_type, system_metadata=properties,
                )).administrator)

    def test_the_image_may_demand_frozen_file_systems(self) -> None:
        for asked in ('True', 'False'):
            found = translate.features(make_instance(
                os_type=None,
                system_metadata={'image_os_require_quiesce': asked}))

            self.assertEqual(asked == 'True', found.require_quiesce)


class NicTest(unittest.TestCase):

    def nic(self, vif: network_model.VIF) -> nic_spec.NicSpec:
        found, = interfaces.nics([vif])
        return found

    def test_open_vswitch(self) -> None:
        nic = self.nic(make_vif('ovs', ovs_interfaceid=PORT_ID))

        self.assertIs(nic_spec.NicKind.BRIDGE, nic.kind)
        self.assertEqual('br-int', nic.source)
        self.assertEqual('openvswitch', nic.virtualport_type)
        self.assertEqual(PORT_ID, nic.interface_id)
        self.assertEqual('tap97a75666-f2', nic.target_dev)

    def test_open_vswitch_with_a_bridge_between(self) -> None:
        nic = self.nic(make_vif('ovs', details={'ovs_hybrid_plug': True}))

        self.assertIs(nic_spec.NicKind.BRIDGE, nic.kind)
        self.assertEqual('qbr97a75666-f2', nic.source)
        self.assertEqual('', nic.virtualport_type)

    def test_vhost_user(self) -> None:
        for mode in ('client', 'server'):
            nic = self.nic(make_vif('vhostuser', details={
                'vhostuser_mode': mode, 'vhostuser_socket': '/run/x.sock'}))

            self.assertIs(nic_spec.NicKind.VHOSTUSER, nic.kind)
            self.assertEqual('/run/x.sock', nic.source)
            self.assertEqual(mode, nic.vhostuser_mode)

    def test_a_bridge_needs_no_plugging(self) -> None:
        bridge = self.nic(make_vif('bridge'))

        self.assertEqual((nic_spec.NicKind.BRIDGE, 'br-int'),
                         (bridge.kind, bridge.source))
        interfaces.plug(make_instance(), [make_vif('bridge')])

    def test_a_tap_is_made_with_the_address_of_the_port(self) -> None:
        nic = self.nic(make_vif('tap'))

        self.assertEqual(
            (nic_spec.NicKind.ETHERNET, 'tap97a75666-f2', False),
            (nic.kind, nic.target_dev, nic.managed_tap))
        told = subprocess.run(
            ['unshare', '--net', '--mount', sys.executable, '-W', 'ignore',
             '-c', TAP], cwd=environments.ROOT, check=True, text=True,
            stdout=subprocess.PIPE).stdout.splitlines()
        self.assertEqual([TAP_MAC, 'True', 'True', '[]'], told)

    def test_other_types_are_refused(self) -> None:
        for kind in ('binding_failed', 'unbound', 'hw_veb', 'strange'):
            with self.subTest(kind=kind):
                self.assertRaisesRegex(
                    exception.InvalidRequest, kind, self.nic,
                    make_vif(kind))
