# SPDX-License-Identifier: Apache-2.0

"""What libvirt and QEMU say to the XML that the configurators make."""

import dataclasses
import pathlib
import subprocess

import fixtures
import libvirt

from nova_libvirt_driver.configurators import builder
from nova_libvirt_driver.configurators import checks
from nova_libvirt_driver.configurators import inputs as inputs_module
from nova_libvirt_driver import exception
from nova_libvirt_driver.xmlmodel import domain as domain_module
from tests.functional import base
from tests.unit.configurators import base as golden
from tests.unit.configurators import scenarios
from tests.unit.configurators import values

#: What libvirt refuses whatever the XML says, for want of an emulator or
#: of a processor; and what it says then.
REFUSED = {
    'boot-aarch64': "No emulator found for arch 'aarch64'",
    'memory-encrypted': 'SEV launch security is not supported',
}

#: Nothing in them needs KVM, a network or a device of the host.
STARTED = (
    'minimal', 'diskless', 'boot-menu', 'boot-uefi', 'boot-secure',
    'boot-stateless', 'boot-q35', 'boot-policy-machine', 'cpu-none',
    'cpu-host-model', 'cpu-maximum', 'cpu-custom', 'cpu-policy',
    'cpu-topology', 'cpu-numa', 'features', 'memory-file',
    'memory-memfd-shared', 'memory-policy', 'console-tcp', 'console-none',
    'console-without-log', 'console-vnc', 'console-spice', 'console-both',
    'console-without-card', 'device-tpm', 'device-policy',
    'device-iommu-intel', 'device-iommu-plain', 'device-iommu-virtio',
    'disk-iotune', 'disk-buses', 'disk-options', 'disk-config-drive',
    'disk-config-drive-q35', 'nic-user', 'device-asked-for',
    'cpu-addresses',
)

_LEFT_BEHIND = (libvirt.VIR_DOMAIN_UNDEFINE_NVRAM
                | libvirt.VIR_DOMAIN_UNDEFINE_TPM)


class QemuTest(base.PrivateHostTestCase):

    def setUp(self) -> None:
        super().setUp()
        self.folder = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        self.connection = libvirt.open(self.host.uri)
        self.addCleanup(self.connection.close)

    def xml(self, name: str) -> str:
        """Return a golden file, with its paths in the test's folder."""
        text = (golden.GOLDEN / f'{name}.xml').read_text()
        # Libvirt takes no guest for KVM where there is none.
        return text.replace(values.FOLDER, str(self.folder)).replace(
            'type="kvm"', 'type="qemu"')

    def refusal(self, name: str) -> str:
        """Return why libvirt does not define a guest; empty if it does."""
        try:
            domain = self.connection.defineXML(self.xml(name))
        except libvirt.libvirtError as error:
            return str(error)
        domain.undefineFlags(_LEFT_BEHIND)
        return ''

    def make_disks(self, name: str) -> None:
        """Make the files of a guest's disks."""
        for disk in scenarios.SCENARIOS[name].disks:
            path = disk.source.path.replace(values.FOLDER, str(self.folder))
            subprocess.run(
                ['qemu-img', 'create', '-q', '-f', disk.format, path, '1M'],
                check=True)

    def test_libvirt_takes_every_golden_file(self) -> None:
        refused = {name: self.refusal(name) for name in scenarios.SCENARIOS
                   if name not in REFUSED}

        self.assertEqual(
            {}, {name: why for name, why in refused.items() if why})

    def test_libvirt_refuses_what_is_said_to_be_impossible(self) -> None:
        for name, words in REFUSED.items():
            self.assertIn(words, self.refusal(name), name)

    def test_libvirt_gives_the_metadata_back(self) -> None:
        name = scenarios.SCENARIOS['metadata'].spec.metadata.display_name
        domain = self.connection.defineXML(self.xml('metadata'))
        self.addCleanup(domain.undefineFlags, _LEFT_BEHIND)

        found = domain_module.Domain.parse(domain.XMLDesc()).instance

        self.assertEqual(checks.clean(name), found.display_name)
        self.assertEqual('m1.large & <more>', found.flavor.name)
        self.assertEqual(4, found.flavor.vcpus)

    def test_qemu_starts_the_guests(self) -> None:
        failed = {name: self.start_failure(name) for name in STARTED}

        self.assertEqual(
            {}, {name: why for name, why in failed.items() if why})

    def start_failure(self, name: str) -> str:
        """Return why a guest cannot start; empty if it can."""
        self.make_disks(name)
        domain = self.connection.defineXML(self.xml(name))
        try:
            domain.createWithFlags(libvirt.VIR_DOMAIN_START_PAUSED)
            domain.destroy()
        except libvirt.libvirtError as error:
            return str(error)
        finally:
            domain.undefineFlags(_LEFT_BEHIND)
        return ''


class TestDriverTest(base.DriverTestCase):

    def setUp(self) -> None:
        super().setUp()
        self.connection = libvirt.open('test:///default')
        self.addCleanup(self.connection.close)

    def refusal(self, inputs: inputs_module.Inputs) -> str:
        """Return why a guest cannot run there; empty if it can."""
        try:
            domain = self.connection.defineXML(
                builder.build(inputs).to_xml())
        except (libvirt.libvirtError,
                exception.UnsupportedOperation) as error:
            return str(error)
        domain.create()
        domain.destroy()
        domain.undefine()
        return ''

    def test_test_driver_takes_all_that_need_no_firmware(self) -> None:
        refused = {
            name: self.refusal(dataclasses.replace(
                inputs, host=values.IN_PROCESS))
            for name, inputs in scenarios.SCENARIOS.items()}

        self.assertEqual(
            {'boot-stateless', 'memory-encrypted'},
            {name for name, why in refused.items() if why})
