# SPDX-License-Identifier: Apache-2.0

"""What Nova is told of a host, beside what its own driver tells."""

import json
import pathlib
import subprocess
import sys
import tempfile
from typing import Any, ClassVar
import unittest

from nova.compute import provider_tree
from nova import config

from nova_libvirt_driver import conf
from nova_libvirt_driver.nova_plugin import placement
from nova_libvirt_driver.spec import host as host_spec
from nova_libvirt_driver.testing import libvirtd
from tests.nova import answers
from tests.nova import environments

CONF = config.CONF
_TIMEOUT_S = 120
_ATTEMPTS = 5
_NOVA_CONF = """
[DEFAULT]
host = here
instances_path = {folder}/instances
state_path = {folder}
[libvirt]
virt_type = qemu
"""


def memory_kib() -> int:
    """Return how much memory this machine has by now."""
    first, *_ = pathlib.Path('/proc/meminfo').read_text().splitlines()
    return int(first.split()[1])


class ResourcesTest(unittest.TestCase):

    maxDiff = None
    host: ClassVar[libvirtd.PrivateHost]

    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        cls.host = libvirtd.PrivateHost('resources')
        cls.host.start()
        cls.addClassCleanup(cls.host.stop)

    def setUp(self) -> None:
        super().setUp()
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        (self.folder / 'instances').mkdir()

    def ask(self, module: str, options: str) -> dict[str, Any]:
        path = self.folder / 'nova.conf'
        path.write_text(_NOVA_CONF.format(folder=self.folder) + options)
        done = subprocess.run(
            [sys.executable, '-W', 'ignore', '-m', 'tests.nova.answers',
             module, self.host.uri, path],
            cwd=environments.ROOT, capture_output=True, text=True,
            timeout=_TIMEOUT_S)
        self.assertEqual(0, done.returncode, done.stderr[-4000:])
        found = json.loads(done.stdout.splitlines()[-1])
        assert isinstance(found, dict)
        return found

    def ask_both(self, options: str) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return our answers and Nova's about the same machine.

        A virtual machine may be given more memory meanwhile.
        """
        for _ in range(_ATTEMPTS):
            before = memory_kib()
            found = (self.ask(answers.OURS, options),
                     self.ask(answers.NOVAS, options))
            if memory_kib() == before:
                return found
        raise AssertionError('the memory of this machine changes all the time')

    def check(self, options: str = '') -> dict[str, Any]:
        """Compare both drivers' answers; return ours."""
        ours, theirs = self.ask_both(options)
        self.assertEqual(theirs['traits'], ours['traits'])
        self.assertEqual(theirs['nodes'], ours['nodes'])
        self.assertEqual(theirs['cpu_times'].keys(), ours['cpu_times'].keys())
        self.compare_inventories(theirs['inventory'], ours['inventory'])
        self.compare_records(theirs['record'], ours['record'])
        return ours

    def compare_inventories(
            self, theirs: dict[str, Any], ours: dict[str, Any]) -> None:
        self.assertEqual(theirs, ours)

    def compare_records(
            self, theirs: dict[str, Any], ours: dict[str, Any]) -> None:
        self.assertEqual(theirs.keys(), ours.keys())
        # The machine goes on working, and Nova's has fractions.
        for name in ('local_gb', 'local_gb_used', 'disk_available_least'):
            self.assertAlmostEqual(
                theirs.pop(name), ours.pop(name), delta=2, msg=name)
        # Nova's is negative on a machine whose memory has grown.
        self.assertTrue(0 <= ours['memory_mb_used'] <= ours['memory_mb'])
        del theirs['memory_mb_used'], ours['memory_mb_used']
        for record in (theirs, ours):
            record['cpu_info'] = json.loads(record['cpu_info'])
            record['cpu_info']['features'].sort()
            record['supported_instances'].sort()
            # No device of the host is given to guests yet.
            del record['stats'], record['pci_passthrough_devices']
            record['numa_topology'] = plain(
                json.loads(record['numa_topology']))
        self.assertEqual(theirs, ours)

    def test_all_as_it_comes(self) -> None:
        ours = self.check()

        self.assertIn('COMPUTE_STORAGE_BUS_VIRTIO', ours['traits'])
        self.assertIn('HW_CPU_X86_SSE2', ours['traits'])
        self.assertEqual({'VCPU', 'MEMORY_MB', 'DISK_GB'},
                         ours['inventory'].keys())

    def test_without_a_cpu_model(self) -> None:
        self.check('cpu_mode = none\n')

    def test_with_a_cpu_model_of_its_own(self) -> None:
        ours = self.check('cpu_mode = custom\ncpu_models = Nehalem\n'
                          'cpu_model_extra_flags = aes\n')

        self.assertIn('HW_CPU_X86_SSE42', ours['traits'])
        self.assertIn('HW_CPU_X86_AESNI', ours['traits'])
        self.assertNotIn('HW_CPU_X86_AVX2', ours['traits'])

    def test_with_tpms(self) -> None:
        ours = self.check('swtpm_enabled = true\n'
                          'supported_tpm_secret_security = user,host\n')

        self.assertIn('COMPUTE_SECURITY_TPM_SECRET_SECURITY_HOST',
                      ours['traits'])

    def test_with_cpus_of_each_kind(self) -> None:
        ours = self.check('[compute]\ncpu_shared_set = 0\n'
                          'cpu_dedicated_set = 1\n')

        self.assertEqual((1, 1), tuple(
            ours['inventory'][name]['total'] for name in ('VCPU', 'PCPU')))

    def test_with_what_is_kept_back(self) -> None:
        ours = self.check(
            '[DEFAULT]\nreserved_host_cpus = 1\nreserved_host_disk_mb = 2048\n'
            'reserved_host_memory_mb = 700\ncpu_allocation_ratio = 3\n'
            'reserved_huge_pages = node:0,size:2048,count:8\n')

        self.assertEqual(2, ours['inventory']['DISK_GB']['reserved'])

    def test_with_memory_in_files(self) -> None:
        ours = self.check('file_backed_memory = 4096\n')

        self.assertEqual(4096, ours['record']['memory_mb'])


class KeptBackTest(unittest.TestCase):

    def test_no_more_is_kept_back_than_there_is(self) -> None:
        conf.register_opts(CONF)
        for name, value, group in (
                ('reserved_host_cpus', 3, None),
                ('reserved_host_memory_mb', 4096, None),
                ('reserve_disk_resource_for_image_cache', True,
                 'workarounds')):
            CONF.set_override(name, value, group)
            self.addCleanup(CONF.clear_override, name, group)
        tree = provider_tree.ProviderTree()
        tree.new_root('here', answers.NODE_UUID)
        resources = host_spec.HostResources(
            hypervisor_hostname='here', hypervisor_type='QEMU',
            hypervisor_version=7_002_000, vcpus=2, vcpus_used=0,
            memory_mb=2048, memory_mb_used=0, local_gb=100, local_gb_used=0,
            disk_available_least=0, image_cache_bytes=60 << 30,
            running_instances=0, online_cpus=frozenset({0, 1}))

        placement.update(tree, 'here', resources, {}, 50)

        # Placement would refuse it all, and the host would stay as it was.
        self.assertEqual(
            {'VCPU': 2, 'MEMORY_MB': 2048, 'DISK_GB': 100},
            {name: one['reserved'] for name, one
             in tree.data('here').inventory.items()})


def plain(value: Any) -> Any:
    """Return an object of Nova's without what it says of its own changes."""
    if isinstance(value, dict):
        return {name: plain(part) for name, part in value.items()
                if name != 'nova_object.changes'}
    if isinstance(value, list):
        return sorted(map(plain, value), key=str)
    return value
