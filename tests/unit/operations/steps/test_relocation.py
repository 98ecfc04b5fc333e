# SPDX-License-Identifier: Apache-2.0

"""What another host needs to be told of a guest, and nothing else."""

import collections
import dataclasses
from typing import Any

from nova_libvirt_driver.configurators import builder
from nova_libvirt_driver import exception
from nova_libvirt_driver.operations.steps import relocation
from nova_libvirt_driver.spec import console as console_spec
from nova_libvirt_driver.spec import cpu as cpu_spec
from nova_libvirt_driver.spec import disk as disk_spec
from nova_libvirt_driver.spec import guest as guest_spec
from nova_libvirt_driver.spec import live_migration as migration_spec
from nova_libvirt_driver.spec import nic as nic_spec
from nova_libvirt_driver.xmlmodel import domain as domain_model
from tests import base
from tests.unit.configurators import values

VOLUME = disk_spec.DiskSpec(
    id='6ca404f3-d844-4169-bb96-bc792f37de98', target_dev='vdb',
    serial='6ca404f3-d844-4169-bb96-bc792f37de98', format='raw',
    bus=disk_spec.DiskBus.VIRTIO, source=disk_spec.DiskSource(
        kind=disk_spec.SourceKind.BLOCK, path='/dev/sda'))
NIC = nic_spec.NicSpec(
    id='0cecc618-a007-4bb6-91f7-462293fe2ac2', mac='fa:16:3e:00:00:01',
    kind=nic_spec.NicKind.BRIDGE, source='br-one', target_dev='tap1',
    mtu=1450)
PINNED = cpu_spec.CpuSpec(
    vcpus=1, host_cpus=frozenset({0, 1}),
    pins=(cpu_spec.VcpuPin(vcpu=0, host_cpus=frozenset({1})),),
    emulator_cpus=frozenset({0}), cells=(cpu_spec.NumaCell(
        id=0, vcpus=frozenset({0}), memory_mib=64, host_node=0),))


def consoles(address: str, port: int) -> console_spec.ConsoleSpec:
    return console_spec.ConsoleSpec(
        serials=(console_spec.SerialSpec(
            kind=console_spec.SerialKind.TCP, listen=address, port=port),),
        graphics=(console_spec.GraphicsSpec(
            kind=console_spec.GraphicsKind.VNC, listen=address),))


HERE: dict[str, Any] = {
    'cpu': PINNED, 'nics': (NIC,), 'consoles': consoles('192.0.2.1', 10000)}


class RelocationTest(base.TestCase):

    def moved(
            self, spec: guest_spec.GuestSpec, **there: Any) -> list[str]:
        """Return the lines of a guest's XML that differ on another host."""
        inputs = values.inputs(**HERE)
        inputs = dataclasses.replace(
            inputs, disks=(*inputs.disks, VOLUME))
        before = builder.build(inputs).to_xml()
        after = relocation.Relocation(
            spec, migration_spec.Destination(uri='', **there), inputs,
            values.FOLDER).xml(before)
        # In any order: libvirt puts them into its own.
        ours, theirs = (collections.Counter(
            map(str.strip, xml.splitlines())) for xml in (before, after))
        return sorted([f'- {line}' for line in ours - theirs]
                      + [f'+ {line}' for line in theirs - ours])

    def guest(self, **changes: Any) -> guest_spec.GuestSpec:
        spec = values.guest(**{**HERE, **changes})
        return dataclasses.replace(spec, storage=dataclasses.replace(
            spec.storage, volumes=(VOLUME,)))

    def added(self, lines: list[str]) -> set[str]:
        return {line[1:].strip() for line in lines if line[0] == '+'}

    def test_a_guest_that_finds_the_same_is_not_changed(self) -> None:
        self.assertEqual([], self.moved(self.guest()))

    def test_consoles_listen_where_that_host_says(self) -> None:
        self.assertEqual({
            '<source mode="bind" host="192.0.2.2" service="10007"/>',
            '<graphics type="vnc" port="-1" autoport="yes" '
            'listen="192.0.2.2">',
            '<listen type="address" address="192.0.2.2"/>'},
            self.added(self.moved(self.guest(
                consoles=consoles('192.0.2.2', 10007)))))

    def test_a_volume_is_where_that_host_has_it(self) -> None:
        spec = self.guest()
        there = dataclasses.replace(VOLUME, source=disk_spec.DiskSource(
            kind=disk_spec.SourceKind.BLOCK, path='/dev/dm-7'))

        lines = self.moved(dataclasses.replace(
            spec, storage=dataclasses.replace(
                spec.storage, volumes=(there,))))

        self.assertEqual({'<source dev="/dev/dm-7"/>'}, self.added(lines))

    def test_a_port_keeps_what_the_guest_sees_of_it(self) -> None:
        there = dataclasses.replace(
            NIC, kind=nic_spec.NicKind.ETHERNET, source='', mtu=9000,
            target_dev='tap1', managed_tap=False, model='e1000')

        lines = self.moved(self.guest(nics=(there,)))

        self.assertEqual(
            {'<interface type="ethernet">',
             '<target dev="tap1" managed="no"/>'}, self.added(lines))
        self.assertNotIn('mtu', ''.join(lines))

    def test_pins_are_those_of_that_host(self) -> None:
        there = dataclasses.replace(
            PINNED, host_cpus=frozenset({4, 5}),
            pins=(cpu_spec.VcpuPin(vcpu=0, host_cpus=frozenset({5})),),
            emulator_cpus=frozenset({4}), cells=(dataclasses.replace(
                PINNED.cells[0], host_node=1),))

        self.assertEqual({
            '<vcpu cpuset="4-5">1</vcpu>', '<vcpupin vcpu="0" cpuset="5"/>',
            '<iothreadpin iothread="1" cpuset="4"/>',
            '<emulatorpin cpuset="4"/>',
            '<memory mode="strict" nodeset="1"/>',
            '<memnode cellid="0" mode="strict" nodeset="1"/>'},
            self.added(self.moved(self.guest(cpu=there))))

    def test_what_must_not_wait_has_the_priority_of_that_host(self) -> None:
        here = values.inputs(cpu=cpu_spec.CpuSpec(
            vcpus=3, realtime_vcpus=frozenset({1, 2})))
        # As libvirt shows it.
        before = builder.build(here).to_xml().replace(
            '<vcpusched vcpus="1-2" scheduler="fifo" priority="1"/>', ''.join(
                f'<vcpusched vcpus="{one}" scheduler="fifo" priority="1"/>'
                for one in (1, 2)))
        there = dataclasses.replace(here.spec, cpu=dataclasses.replace(
            here.spec.cpu, realtime_priority=7))

        after = relocation.Relocation(
            there, migration_spec.Destination(uri=''), here,
            values.FOLDER).xml(before)

        self.assertEqual(2, before.count('<vcpusched'))
        self.assertEqual(
            [({1}, 7), ({2}, 7)], [
                (set(one.vcpus or ()), one.priority)
                for one in domain_model.Domain.parse(
                    after).cputune.vcpuscheds])

    def test_files_are_where_that_host_keeps_them(self) -> None:
        self.assertEqual({
            f'<source file="/srv/{values.UUID}/disk"/>',
            f'<log file="/srv/{values.UUID}/console.log" append="off"/>'},
            self.added(self.moved(self.guest(), instances_path='/srv')))

    def test_memory_is_kept_as_that_host_keeps_it(self) -> None:
        self.assertIn('<source type="file"/>', self.added(self.moved(
            self.guest(), file_backed_memory=True)))
        self.assertEqual([], self.moved(
            self.guest(), file_backed_memory=False))

    def test_what_would_stay_keeps_a_guest_here(self) -> None:
        for devices, said in (
                ("<hostdev mode='subsystem'/>", 'device'),
                ("<tpm><backend type='passthrough'/></tpm>", 'TPM'),
                ("<tpm><backend type='emulator'/></tpm>", ''),
                ("<interface type='hostdev'/>", 'device'),
                ("<interface type='bridge'/>", '')):
            found = relocation.bound_to_host(domain_model.Domain.parse(
                f'<domain><devices>{devices}</devices></domain>'))

            self.assertEqual(bool(said), bool(found))
            self.assertIn(said, found)

    def test_a_guest_that_lacks_a_volume_does_not_go(self) -> None:
        spec = self.guest(nics=(dataclasses.replace(
            NIC, id=VOLUME.id, mac='fa:16:3e:00:00:02'),))

        error = self.assertRaises(exception.WrongState, self.moved, spec)

        self.assertIn(f'without port {VOLUME.id}', str(error))
