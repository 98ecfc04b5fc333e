# SPDX-License-Identifier: Apache-2.0

"""Whether a guest has a place for one more device."""

import dataclasses

from nova_libvirt_driver.configurators import builder
from nova_libvirt_driver.configurators import hot_plug
from nova_libvirt_driver import exception
from nova_libvirt_driver.spec import disk as disk_spec
from nova_libvirt_driver.spec import nic as nic_spec
from nova_libvirt_driver.spec import policy as policy_spec
from nova_libvirt_driver.xmlmodel import domain as domain_model
from tests import base
from tests.unit.configurators import values

DISK = values.file_disk('vdb', 'virtio')
POLICY = policy_spec.GuestPolicy(
    disk_cachemodes={'file': 'directsync'}, disk_io='native',
    discard='ignore')
NIC = nic_spec.NicSpec(mac='52:54:00:00:00:01', kind=nic_spec.NicKind.USER)


def domain_of(*devices: str) -> domain_model.Domain:
    return domain_model.Domain.parse(
        f'<domain><devices>{"".join(devices)}</devices></domain>')


def place(
        domain: domain_model.Domain,
        defined: domain_model.Domain | None = None, *,
        live: bool = True) -> hot_plug.Place:
    now = domain_model.Domain.parse(domain.to_xml())
    now.id = 1 if live else None
    return hot_plug.Place(now, defined or domain)


def controller(model: str, index: int = 0, kind: str = 'pci') -> str:
    return f"<controller type='{kind}' index='{index}' model='{model}'/>"


def at(bus: int, slot: int) -> str:
    return (f"<sound><address type='pci' bus='{bus:#04x}' "
            f"slot='{slot:#04x}'/></sound>")


def q35(*taken: int, ports: int = 2) -> domain_model.Domain:
    """Return a guest with ports of which some have a device."""
    return domain_of(
        controller('pcie-root'), *(
            controller('pcie-root-port', number + 1)
            for number in range(ports)), *(at(bus, 0) for bus in taken))


class RoomTest(base.TestCase):

    def refusal(
            self, domain: domain_model.Domain,
            wanted: disk_spec.DiskSpec | nic_spec.NicSpec = DISK,
            ) -> exception.DeviceAttachFailed | None:
        """Return the refusal of a device for a guest that runs, if any."""
        hot_plug.check(
            place(domain, live=False), wanted, values.inputs())
        try:
            hot_plug.check(place(domain), wanted, values.inputs())
        except exception.DeviceAttachFailed as error:
            return error
        return None

    def test_each_port_takes_one_device(self) -> None:
        error = self.refusal(q35(1, 2))

        assert error is not None
        self.assertIn('all 2 PCI Express ports', str(error))
        self.assertIn('num_pcie_ports', error.next_step)
        self.assertIsNone(self.refusal(q35(2)))

    def test_an_old_model_of_interface_wants_an_old_slot(self) -> None:
        nic = dataclasses.replace(NIC, model='rtl8139')

        error = self.refusal(q35(), nic)

        assert error is not None
        self.assertIn('hw_vif_model', error.next_step)
        self.assertIsNone(self.refusal(domain_of(
            controller('pcie-root'), controller('pcie-to-pci-bridge', 1)),
            nic))

    def test_a_bus_takes_what_is_not_the_machine_s(self) -> None:
        taken = [at(0, slot) for slot in range(3, 32)]
        full = domain_of(controller('pci-root'), *taken)

        self.assertIsNotNone(self.refusal(full))
        self.assertIsNotNone(self.refusal(full, NIC))
        self.assertIsNone(self.refusal(domain_of(
            controller('pci-root'), *taken[1:])))
        self.assertIsNone(self.refusal(domain_of(
            controller('pci-root'), controller('pci-bridge', 1), *taken)))

    def test_a_scsi_disk_needs_a_slot_only_for_a_controller(self) -> None:
        disk = values.file_disk('sda', 'scsi')
        full = q35(1, 2)

        self.assertIsNotNone(self.refusal(full, disk))
        self.assertIsNone(self.refusal(domain_of(
            controller('pcie-root'),
            controller('virtio-scsi', kind='scsi')), disk))

    def test_a_usb_disk_needs_usb_and_no_slot(self) -> None:
        disk = values.file_disk('sda', 'usb')

        self.assertIsNone(self.refusal(q35(1, 2), disk))
        self.assertRaises(
            exception.DeviceAttachFailed, hot_plug.check,
            place(domain_of(controller('none', kind='usb')), live=False),
            disk, values.inputs())

    def test_ide_and_sata_are_not_for_a_guest_that_runs(self) -> None:
        for bus in ('ide', 'sata'):
            self.assertIsNotNone(self.refusal(
                q35(), values.file_disk('sda', bus)))


class SameDiskTest(base.TestCase):

    def test_a_disk_is_the_same_however_its_guest_came_to_it(self) -> None:
        for changes in (
                {}, {'cache': 'writeback'}, {'cache': 'none', 'io': 'native'},
                {'discard': 'unmap'}, {'shareable': True}, {'readonly': True},
                {'boot_order': 2}, {'id': 'one', 'serial': 'two'},
                {'wwn': '5000c50015ea71ac'}, {'queues': 2},
                {'logical_block_bytes': 4096, 'physical_block_bytes': 4096},
                {'iotune': disk_spec.IoTune(read_iops=7)},
                {'encryption': disk_spec.DiskEncryption(
                    secret_uuid='0f5d7c1c-5b0f-4b67-9d43-6b8b4a4b6a11')}):
            with self.subTest(changes=changes):
                wanted = dataclasses.replace(DISK, **changes)
                inputs = values.inputs(disks=(wanted,), policy=POLICY)
                built = builder.build(inputs)
                [cold] = built.devices.disks

                for plug in (hot_plug.disk(place(built), wanted, inputs),
                             hot_plug.target(wanted, inputs)):
                    self.assertEqual(cold.to_xml(), plug.element.to_xml())


class ScsiTest(base.TestCase):

    def test_a_full_controller_is_followed_by_one_of_its_model(self) -> None:
        disks = [
            f"<disk><target dev='sd{number}' bus='scsi'/><address "
            f"type='drive' controller='0' unit='{number}'/></disk>"
            for number in range(256)]

        plug = hot_plug.disk(
            place(domain_of(controller('lsilogic', kind='scsi'), *disks)),
            values.file_disk('sda', 'scsi'), values.inputs())

        added = plug.controller
        assert added is not None
        self.assertEqual(
            ('scsi', 1, 'lsilogic'), (added.type, added.index, added.model))
        self.assertEqual((1, 0), (
            plug.element.address.controller, plug.element.address.unit))

    def test_a_disk_of_another_model_gets_a_controller_of_that(self) -> None:
        plug = hot_plug.disk(
            place(domain_of(controller('lsilogic', kind='scsi'))),
            values.file_disk('sda', 'scsi', scsi_model='virtio-scsi'),
            values.inputs())

        assert plug.controller is not None
        self.assertEqual('virtio-scsi', plug.controller.model)

    def test_a_disk_of_the_next_start_has_its_place_already(self) -> None:
        def on_bus(unit: int) -> str:
            return ("<disk><target dev='sdz' bus='scsi'/><address "
                    f"type='drive' controller='0' unit='{unit}'/></disk>")

        first = controller('virtio-scsi', kind='scsi')
        for later, found in (
                (on_bus(1), (0, 2)),
                (controller('virtio-scsi', 1, kind='scsi'), (0, 1)),
                (controller('lsilogic', 1, kind='scsi'), (0, 1))):
            plug = hot_plug.disk(
                place(domain_of(first, on_bus(0)),
                      domain_of(first, on_bus(0), later)),
                values.file_disk('sda', 'scsi'), values.inputs())

            address = plug.element.address
            self.assertEqual(found, (address.controller, address.unit))

    def test_a_controller_of_the_next_start_has_its_number(self) -> None:
        plug = hot_plug.disk(
            place(domain_of(), domain_of(
                controller('virtio-scsi', kind='scsi'))),
            values.file_disk('sda', 'scsi'), values.inputs())

        assert plug.controller is not None
        self.assertEqual(1, plug.controller.index)
