# SPDX-License-Identifier: Apache-2.0

"""The driver over a private libvirtd and real QEMU."""

import pathlib
from typing import Any
from typing import ClassVar

from nova.compute import vm_states
from nova import exception

from nova_libvirt_driver.testing import libvirtd
from tests.nova.conformance import base

OTHER = 'c5a801c0-39ec-407d-ba71-5980e0c3fba1'
PORT = '0d5a1b7c-2974-4d5e-8a53-9a5e3f6d1c70'


class QemuTest(base.ConformanceTest):
    """All tests share a libvirtd."""

    host: ClassVar[libvirtd.PrivateHost]

    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        cls.host = libvirtd.PrivateHost('conformance')
        cls.host.start()
        cls.addClassCleanup(cls.host.stop)
        # SPICE finds no address, not even 127.0.0.1, where none but those
        # of the loopback are.
        for words in (f'link add {base.BRIDGE} type bridge',
                      f'address add 192.0.2.1/24 dev {base.BRIDGE}',
                      f'link set {base.BRIDGE} up'):
            cls.host.run(['ip', *words.split()])

    def uri(self) -> str:
        return self.host.uri

    def setUp(self) -> None:
        # First, so that it comes after all that the test cleans up.
        self.addCleanup(base.remove_guests, self.uri())
        super().setUp()

    def test_an_interface_goes_when_the_guest_lets_go_of_it(self) -> None:
        # There is no driver for it in the guest, so not while it runs.
        instance, _ = self._get_running_instance()
        vif = self.attach(instance)

        self.assertRaises(
            exception.DeviceDetachFailed, self.connection.detach_interface,
            self.ctxt, instance, vif)
        self.assertIn(PORT, self.xml(instance))
        self.connection.power_off(instance)
        self.connection.detach_interface(self.ctxt, instance, vif)

        self.assertNotIn(PORT, self.xml(instance))

    def test_a_port_that_was_deleted_goes_after_a_suspend(self) -> None:
        unplugged: list[str] = []
        self.stub_out('os_vif.unplug', lambda vif, instance: (
            unplugged.append(vif.id)))
        instance, network_info = self._get_running_instance()
        vif = self.attach(instance)
        self.connection.suspend(self.ctxt, instance)
        instance.vm_state = vm_states.SUSPENDED

        self.connection.detach_interface(self.ctxt, instance, vif)
        self.connection.resume(self.ctxt, instance, network_info)
        self.assertEqual([], unplugged)
        self.connection.power_off(instance)
        self.connection.power_on(self.ctxt, instance, network_info)

        self.assertEqual([PORT], unplugged)
        self.assertNotIn(PORT, self.xml(instance))

    def attach(self, instance: Any) -> Any:
        """Give a guest a port, and return it."""
        bridge = f'qbr{PORT[:11]}'
        self.host.run(['ip', 'link', 'add', bridge, 'type', 'bridge'])
        self.addCleanup(self.host.run, ['ip', 'link', 'delete', bridge])
        vif = base.network_on_a_bridge()[0]
        vif.update(id=PORT, ovs_interfaceid=PORT, devname='tap0d5a1b7c-29',
                   address='fa:16:3e:00:00:02')
        self.connection.attach_interface(
            self.ctxt, instance, instance.image_meta, vif)
        self.assertIn(PORT, self.xml(instance))
        return vif

    def test_a_volume_that_grows_and_goes(self) -> None:
        image = pathlib.Path(self.host.directory, 'volume.img')
        image.write_bytes(bytes(2 << 20))
        image.chmod(0o666)
        self.addCleanup(image.unlink)
        told = {'driver_volume_type': 'gpfs', 'serial': PORT, 'data': {
            'volume_id': PORT, 'device_path': str(image)}}
        instance, _ = self._get_running_instance()

        self.connection.attach_volume(
            self.ctxt, told, instance, '/dev/vdc', disk_bus='virtio')
        self.assertIn(f'<serial>{PORT}</serial>', self.xml(instance))
        self.connection.extend_volume(self.ctxt, told, instance, 4 << 20)
        self.assertEqual(4 << 20, image.stat().st_size)
        self.assertRaises(
            exception.DeviceDetachFailed, self.connection.detach_volume,
            self.ctxt, told, instance, '/dev/vdc')
        self.assertIn(PORT, self.xml(instance))
        self.connection.power_off(instance)
        self.connection.detach_volume(
            self.ctxt, told, instance, '/dev/vdc')

        self.assertNotIn(PORT, self.xml(instance))

    def test_a_guest_moves_to_another_volume(self) -> None:
        infos = []
        for volume_id in (PORT, OTHER):
            image = pathlib.Path(self.host.directory, volume_id)
            image.write_bytes(volume_id.encode().ljust(2 << 20, b'\0'))
            image.chmod(0o666)
            self.addCleanup(image.unlink)
            infos.append({
                'driver_volume_type': 'gpfs', 'serial': PORT, 'data': {
                    'volume_id': volume_id, 'device_path': str(image)}})
        instance, _ = self._get_running_instance()
        self.connection.attach_volume(
            self.ctxt, infos[0], instance, '/dev/vdc')

        self.connection.swap_volume(
            self.ctxt, *infos, instance, '/dev/vdc', 1)

        self.assertIn(f'<source file=\'{self.host.directory}/{OTHER}\'',
                      self.xml(instance))
        self.assertEqual(1 << 30, image.stat().st_size)
        with image.open('rb') as file:
            self.assertEqual(PORT.encode(), file.read(len(PORT)))
        self.connection.power_off(instance)
        # Nova may call it by the new number by now, and the guest does not.
        self.connection.detach_volume(
            self.ctxt, {**infos[1], 'serial': OTHER}, instance, '/dev/vdc')
        self.assertNotIn(OTHER, self.xml(instance))

    def xml(self, instance: Any) -> str:
        """Return the XML of a guest."""
        return self.host.virsh('dumpxml', instance.name)
