# SPDX-License-Identifier: Apache-2.0

"""What is looked at when nova-compute starts."""

import dataclasses
import tempfile
from typing import Any
import unittest
from unittest import mock

from nova import config
from nova import exception as nova_exception
from nova import objects
from nova.objects import fields
from oslo_concurrency import processutils

from nova_libvirt_driver import driver
from nova_libvirt_driver.nova_plugin import registration
from nova_libvirt_driver.nova_plugin import startup
from nova_libvirt_driver.spec import boot as boot_spec
from nova_libvirt_driver.spec import disk as disk_spec
from nova_libvirt_driver.spec import guest as guest_spec
from nova_libvirt_driver.spec import host as host_spec
from nova_libvirt_driver.testing import fake_libvirt
from nova_libvirt_driver.testing import specs
from tests.nova import test_translate

CONF = config.CONF
FACTS = host_spec.HostFacts(
    hostname='here', hypervisor_type='QEMU', hypervisor_version=7_002_000,
    libvirt_version=9_000_000, uri='', arch='x86_64', cpus=2,
    memory_mib=2048, cpu_model='', cpu_sockets=1, cpu_cores=2, cpu_threads=1)
OFFERS = host_spec.HostOffers()
DEDICATED = fields.CPUAllocationPolicy.DEDICATED
MIXED = fields.CPUAllocationPolicy.MIXED


class StartupTest(unittest.TestCase):

    def options(self, **values: Any) -> None:
        for name, value in values.items():
            group, _, name = name.rpartition('__')
            CONF.set_override(name, value, group or None)
            self.addCleanup(CONF.clear_override, name, group or None)

    def assert_refused(self, said: str, *arguments: Any) -> None:
        checks: dict[int, Any] = {
            0: startup.check_options, 1: startup.check_instances,
            2: startup.check_host}
        check = checks[len(arguments)]
        with self.assertRaisesRegex(
                nova_exception.InvalidConfiguration, said):
            check(*arguments)

    def test_the_defaults_are_right(self) -> None:
        startup.check_options()
        startup.check_host(FACTS, OFFERS)
        startup.check_instances([self.instance(None)])

    def test_containers_are_refused(self) -> None:
        for kind in ('lxc', 'parallels'):
            self.options(libvirt__virt_type=kind)
            self.assert_refused(f'virt_type {kind} is not supported')

    def test_a_file_system_that_nothing_makes_is_refused(self) -> None:
        self.options(default_ephemeral_format='btrfs')
        self.assert_refused('default_ephemeral_format btrfs is not supported')
        for name in ('ext4', 'xfs', 'ntfs', 'vfat'):
            self.options(default_ephemeral_format=name)
            startup.check_options()

    def test_options_that_exclude_each_other(self) -> None:
        for said, values in (
                ('names no model', {'libvirt__cpu_mode': 'custom'}),
                ('is not custom', {'libvirt__cpu_models': ['Nehalem']}),
                ('ram_allocation_ratio', {
                    'libvirt__file_backed_memory': 1024,
                    'ram_allocation_ratio': 1.5}),
                ('reserved_host_memory_mb 2048 is more than', {
                    'libvirt__file_backed_memory': 1024,
                    'reserved_host_memory_mb': 2048}),
                ('in common', {'compute__cpu_shared_set': '0-1',
                               'compute__cpu_dedicated_set': '1-2'}),
                ('reserved_host_cpus', {'compute__cpu_shared_set': '0',
                                        'reserved_host_cpus': 1}),
                ('inject_partition has to be left', {
                    'libvirt__inject_partition': -1}),
                ('unset the former', {'vcpu_pin_set': '0',
                                      'compute__cpu_dedicated_set': '1'})):
            with self.subTest(said=said):
                self.options(**values)
                self.assert_refused(said)
                self.doCleanups()

    def test_memory_that_is_kept_back_from_files(self) -> None:
        for reserved_mib, warns in ((0, False), (512, True)):
            self.options(libvirt__file_backed_memory=1024,
                         reserved_host_memory_mb=reserved_mib)
            with self.assertLogs(startup.LOG.logger, 'WARNING') as logs:
                startup.LOG.warning('one line is needed')
                startup.check_options()

            self.assertEqual(warns, 'takes 512 MiB' in str(logs.output))

    def test_what_is_too_old(self) -> None:
        for said, facts in (
                ('libvirt 7.0.1 .* 8.0.0', dataclasses.replace(
                    FACTS, libvirt_version=7_000_001)),
                ('QEMU 5.2.0 .* 6.2.0', dataclasses.replace(
                    FACTS, hypervisor_version=5_002_000))):
            self.assert_refused(said, facts, OFFERS)

    def test_a_host_without_the_tpm_that_it_promises(self) -> None:
        self.options(libvirt__swtpm_enabled=True, libvirt__swtpm_user='root',
                     libvirt__swtpm_group='root')
        offers = dataclasses.replace(OFFERS, tpm_versions=frozenset(('2.0',)))

        self.assert_refused('no swtpm', FACTS, OFFERS)
        startup.check_host(FACTS, offers)
        for kind in ('user', 'group'):
            self.options(**{f'libvirt__swtpm_{kind}': 'nobody-has-it'})
            self.assert_refused(
                f'swtpm_{kind} is nobody-has-it, and this host has no {kind} '
                'nobody-has-it', FACTS, offers)
            self.options(**{f'libvirt__swtpm_{kind}': 'root'})

    def test_volumes_of_several_paths_need_what_handles_them(self) -> None:
        self.options(libvirt__volume_enforce_multipath=True)
        with self.assertRaisesRegex(
                nova_exception.InvalidConfiguration, 'volume_use_multipath'):
            startup.check_volumes()

        self.options(libvirt__volume_use_multipath=True)
        with mock.patch('os_brick.privileged.rootwrap.execute',
                        autospec=True) as execute:
            execute.return_value = ('path checker states', '')
            startup.check_volumes()
            execute.side_effect = processutils.ProcessExecutionError
            with self.assertRaisesRegex(
                    nova_exception.InvalidConfiguration, 'multipathd'):
                startup.check_volumes()

    def instance(self, policy: str | None) -> objects.Instance:
        topology = None
        if policy:
            topology = objects.InstanceNUMATopology(cells=[
                objects.InstanceNUMACell(
                    id=0, cpuset={1}, pcpuset={0}, memory=512,
                    cpu_policy=policy, cpu_pinning={0: 1})])
        return test_translate.make_instance(
            numa_topology=topology, deleted=False)

    def test_instances_and_the_cpus_that_are_for_them(self) -> None:
        for policy, shared, dedicated, said in (
                (None, None, '1', 'cpu_shared_set'),
                (DEDICATED, '0', None, 'cpu_dedicated_set'),
                (MIXED, None, '1', 'cpu_shared_set'),
                (MIXED, '0', None, 'cpu_dedicated_set'),
                (None, '0', '1', ''), (DEDICATED, None, None, ''),
                (DEDICATED, '0', '1', ''), (MIXED, '0', '1', ''),
                # Nova's database gives another object of the same text.
                (''.join(MIXED), None, None, 'cpu_shared_set')):
            with self.subTest(policy=policy, shared=shared):
                self.options(compute__cpu_shared_set=shared,
                             compute__cpu_dedicated_set=dedicated)
                found = [self.instance(policy)]
                if said:
                    self.assert_refused(f'{said} sets none', found)
                else:
                    startup.check_instances(found)

    def test_an_instance_with_a_tpm_that_is_switched_off(self) -> None:
        made = test_translate.make_instance(
            {'hw:tpm_version': '2.0'}, deleted=False)

        self.assert_refused(f'{made.uuid} has a TPM', [made])


class RegistrationTest(unittest.TestCase):

    def setUp(self) -> None:
        super().setUp()
        hypervisor = fake_libvirt.FakeHypervisor()
        patch = mock.patch('libvirt.openAuth', hypervisor.open_auth)
        patch.start()
        self.addCleanup(patch.stop)
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        CONF.set_override('instances_path', folder.name)
        self.addCleanup(CONF.clear_override, 'instances_path')
        self.core = driver.LibvirtDriver()
        self.core.init_host('here')
        self.addCleanup(self.core.cleanup_host, 'here')
        save = mock.patch.object(objects.Instance, 'save', autospec=True)
        self.save = save.start()
        self.addCleanup(save.stop)

    def test_what_the_guest_has_is_written_down(self) -> None:
        spec = specs.guest_spec('web')
        self.core.spawn(spec)
        instance = test_translate.make_instance(uuid=spec.uuid)
        instance.system_metadata['image_hw_disk_bus'] = 'scsi'

        registration.register(self.core, instance)

        found = instance.system_metadata
        self.assertEqual('scsi', found['image_hw_disk_bus'])
        self.assertIn(found['image_hw_machine_type'], ('pc', 'q35'))
        self.assertEqual(1, self.save.call_count)

    def registered(
            self, spec: guest_spec.GuestSpec, today: guest_spec.GuestSpec
    ) -> dict[str, str]:
        instance = test_translate.make_instance(uuid=spec.uuid)
        registration.register(self.core, instance, lambda: today)
        return dict(instance.system_metadata)

    def test_the_bus_is_that_of_a_disk_without_one_of_its_own(self) -> None:
        spec = specs.guest_spec('web', storage=disk_spec.StorageSpec(
            root_gib=1, root_bus=disk_spec.DiskBus.SCSI,
            swap=disk_spec.LocalDisk(size_mib=1)))
        self.core.spawn(spec)

        found = self.registered(spec, spec)

        self.assertEqual('virtio', found['image_hw_disk_bus'])

    def test_a_machine_stays_what_it_is(self) -> None:
        spec = specs.guest_spec('web', boot=boot_spec.BootSpec(
            machine='pc-q35-7.1'))
        self.core.spawn(spec)

        for today, configured, name in (
                ('pc-q35-7.2', [], 'pc-q35-7.1'), ('pc', [], 'pc-q35-7.1'),
                ('pc-q35-7.1', [], 'q35'),
                ('pc-q35-7.1', ['x86_64=pc-q35-7.1'], 'pc-q35-7.1')):
            CONF.set_override('hw_machine_type', configured, 'libvirt')
            self.addCleanup(
                CONF.clear_override, 'hw_machine_type', 'libvirt')
            found = self.registered(spec, specs.guest_spec(
                'web', boot=boot_spec.BootSpec(machine=today)))
            self.assertEqual(name, found['image_hw_machine_type'])

    def test_a_guest_that_is_gone_is_no_failure(self) -> None:
        instance = test_translate.make_instance()

        registration.register(self.core, instance)

        self.assertEqual({}, instance.system_metadata)

    def test_machine_types_have_the_names_that_images_take(self) -> None:
        for machine, family in (
                ('pc-i440fx-7.2', 'pc'), ('pc-q35-7.2', 'q35'),
                ('pc-q35-rhel9.2.0', 'q35'),
                ('virt-7.2', 'virt'), ('q35', 'q35'),
                ('pc-i440fx-jammy', 'pc')):
            self.assertEqual(
                family, registration.machine_family(machine))
