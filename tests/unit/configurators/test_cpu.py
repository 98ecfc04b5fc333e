# SPDX-License-Identifier: Apache-2.0

from typing import Any

from nova_libvirt_driver import exception
from nova_libvirt_driver.spec import boot as boot_spec
from nova_libvirt_driver.spec import cpu as cpu_spec
from nova_libvirt_driver.spec import policy as policy_spec
from tests.unit.configurators import base
from tests.unit.configurators import values

Mode = cpu_spec.CpuMode


def cpu(vcpus: int = 1, **fields: Any) -> cpu_spec.CpuSpec:
    return cpu_spec.CpuSpec(vcpus=vcpus, **fields)


class ModeTest(base.FacetTestCase):

    def test_mode_by_default_is_the_nearest_to_the_host(self) -> None:
        policy = policy_spec.GuestPolicy()
        for offered, mode in (
                ({'custom', 'host-model', 'maximum'}, Mode.HOST_MODEL),
                ({'host-passthrough', 'maximum'}, Mode.HOST_PASSTHROUGH),
                ({'custom', 'maximum'}, Mode.MAXIMUM), (set(), Mode.NONE)):
            self.assertIs(mode, policy.chosen_cpu_mode(offered))

    def test_mode_where_nobody_says_what_there_is(self) -> None:
        self.assertIs(
            Mode.HOST_MODEL, values.KVM_POLICY.chosen_cpu_mode(frozenset()))
        self.assertIsNone(self.attribute(
            self.build(host=values.IN_PROCESS), 'cpu', 'mode'))

    def test_request_comes_before_policy(self) -> None:
        root = self.build(
            cpu=cpu(mode=Mode.MAXIMUM),
            policy=policy_spec.GuestPolicy(cpu_mode=Mode.HOST_MODEL))

        self.assertEqual('maximum', self.attribute(root, 'cpu', 'mode'))

    def test_mode_that_the_host_lacks_is_refused(self) -> None:
        self.assertIn('host-passthrough', self.refusal(
            exception.UnsupportedOperation,
            cpu=cpu(mode=Mode.HOST_PASSTHROUGH)))


class ModelTest(base.FacetTestCase):

    def custom(self, *models: str) -> policy_spec.GuestPolicy:
        return policy_spec.GuestPolicy(
            cpu_mode=Mode.CUSTOM, cpu_models=models)

    def test_first_usable_model_is_taken(self) -> None:
        root = self.build(policy=self.custom('EPYC', 'Penryn', 'qemu64'))

        self.assertEqual('Penryn', root.findtext('cpu/model'))
        self.assertEqual([{'fallback': 'forbid'}],
                         self.attributes(root, 'cpu/model'))

    def test_an_emulated_guest_has_a_cpu_of_its_architecture(self) -> None:
        # That of QEMU's choice cannot start a 64-bit firmware (LP 1864588).
        for arch, model in (('aarch64', 'cortex-a57'), ('ppc64le', 'POWER8'),
                            ('riscv64', None)):
            with self.subTest(arch=arch):
                root = self.build(
                    policy=self.custom('Penryn'),
                    boot=boot_spec.BootSpec(arch=arch))

                self.assertEqual(model, root.findtext('cpu/model'))

    def test_host_that_says_nothing_gets_the_first(self) -> None:
        root = self.build(
            host=values.IN_PROCESS, policy=self.custom('EPYC', 'Penryn'))

        self.assertEqual('EPYC', root.findtext('cpu/model'))

    def test_the_first_model_with_the_needed_flags_is_taken(self) -> None:
        flags = {'Penryn': frozenset({'sse4.1'}),
                 'qemu64': frozenset({'sse4.1', 'avx'})}
        policy = self.custom('penryn', 'qemu64')
        for needed, model in ((set(), 'Penryn'), ({'sse4.1'}, 'Penryn'),
                              ({'avx', 'sse4.1'}, 'qemu64')):
            root = self.build(policy=policy, model_flags=flags, cpu=cpu(
                needed_flags=frozenset(needed)))

            self.assertEqual(model, root.findtext('cpu/model'))

        self.assertIn('avx2', self.refusal(
            exception.UnsupportedOperation, policy=policy, model_flags=flags,
            cpu=cpu(needed_flags=frozenset({'avx2'}))))

    def test_no_usable_model_is_refused(self) -> None:
        self.assertIn('EPYC', self.refusal(
            exception.UnsupportedOperation, policy=self.custom('EPYC')))
        self.assertIn('EPYC', self.refusal(
            exception.UnsupportedOperation,
            cpu=cpu(mode=Mode.CUSTOM, model='EPYC')))

    def test_custom_without_a_model_is_refused(self) -> None:
        self.assertIn('cpu_models', self.refusal(
            exception.InvalidRequest, policy=self.custom()))

    def test_model_without_custom_is_refused(self) -> None:
        self.assertIn('custom', self.refusal(
            exception.InvalidRequest, cpu=cpu(model='Nehalem')))


class FlagTest(base.FacetTestCase):

    def test_flags_of_the_request_come_before_those_of_policy(self) -> None:
        flag = cpu_spec.CpuFlag
        root = self.build(
            cpu=cpu(mode=Mode.MAXIMUM, flags=(
                flag(name='aes', enabled=False), flag(name='pcid'))),
            policy=policy_spec.GuestPolicy(cpu_flags=(
                flag(name='aes'), flag(name='ssbd'))))

        self.assertEqual(
            {'aes': 'disable', 'pcid': 'require', 'ssbd': 'require'},
            {one['name']: one['policy']
             for one in self.attributes(root, 'cpu/feature')})

    def test_flags_without_a_mode_are_refused(self) -> None:
        self.assertRaises(
            exception.InvalidRequest, self.build,
            policy=policy_spec.GuestPolicy(cpu_mode=Mode.NONE),
            cpu=cpu(flags=(cpu_spec.CpuFlag(name='aes'),)))


class TopologyTest(base.FacetTestCase):

    def test_each_virtual_cpu_has_a_socket_by_default(self) -> None:
        self.assertEqual(
            [{'sockets': '3', 'cores': '1', 'threads': '1'}],
            self.attributes(self.build(cpu=cpu(3)), 'cpu/topology'))

    def test_topology_is_as_asked_for(self) -> None:
        root = self.build(cpu=cpu(24, topology=cpu_spec.CpuTopology(
            sockets=2, cores=3, threads=4)))

        self.assertEqual(
            [{'sockets': '2', 'cores': '3', 'threads': '4'}],
            self.attributes(root, 'cpu/topology'))

    def test_topology_of_another_number_is_refused(self) -> None:
        for sockets, cores in ((2, 2), (1, 1), (-1, -3), (0, 3)):
            topology = cpu_spec.CpuTopology(sockets=sockets, cores=cores)
            self.assertRaises(exception.InvalidRequest, self.build,
                              cpu=cpu(3, topology=topology))

    def test_limits_and_widths_that_libvirt_refuses(self) -> None:
        for wrong in (
                cpu_spec.CpuSpec(vcpus=1, tune=cpu_spec.CpuTune(shares=1)),
                cpu_spec.CpuSpec(vcpus=1, tune=cpu_spec.CpuTune(
                    period_us=999)),
                cpu_spec.CpuSpec(vcpus=1, tune=cpu_spec.CpuTune(quota_us=64)),
                cpu_spec.CpuSpec(vcpus=1, max_address=cpu_spec.MaxAddress(
                    mode='passthrough', bits=40))):
            self.refusal(exception.InvalidRequest, cpu=wrong)
        self.build(cpu=cpu_spec.CpuSpec(
            vcpus=1, tune=cpu_spec.CpuTune(quota_us=-1)))

    def test_guest_without_cpus_is_refused(self) -> None:
        self.assertRaises(
            exception.InvalidRequest, self.build, cpu=cpu(0))


class PerfTest(base.FacetTestCase):

    def test_what_the_kernel_counts(self) -> None:
        root = self.build(policy=policy_spec.GuestPolicy(
            perf_events=('cpu_clock', 'cache_misses')))

        self.assertEqual(
            [{'enabled': 'yes', 'name': 'cpu_clock'},
             {'enabled': 'yes', 'name': 'cache_misses'}],
            self.attributes(root, 'perf/event'))
