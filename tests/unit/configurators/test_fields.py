# SPDX-License-Identifier: Apache-2.0

"""No field of a spec is without an effect on the XML of some guest."""

from nova_libvirt_driver.configurators import builder
from nova_libvirt_driver.configurators import inputs as inputs_module
from nova_libvirt_driver import exception
from tests import base as tests_base
from tests.unit.configurators import fields
from tests.unit.configurators import scenarios

#: Fields that storage, the config drive, the choice of disks or a verb reads.
ELSEWHERE = frozenset({
    'Inputs.host',
    'GuestSpec.storage', 'GuestSpec.config_drive',
    'BootSpec.kernel_image_id', 'BootSpec.ramdisk_image_id',
    'BootSpec.kernel_cmdline',
    'FeatureSpec.admin_user', 'FeatureSpec.require_quiesce',
    'NicAddress.prefix_length', 'NicAddress.gateway',
    'NicAddress.dns_servers',
    # QEMU is told of them, once it runs.
    'NicSpec.forwards', 'PortForward.host_port', 'PortForward.guest_port',
    'PortForward.protocol', 'PortForward.address',
    'GuestPolicy.disk_bus', 'GuestPolicy.disk_prefix',
    'GuestPolicy.disk_io', 'GuestPolicy.disks_max',
})

#: Fields whose value is in the XML by way of the classes inside them.
CONTAINERS = frozenset({
    'Inputs.spec', 'Inputs.policy', 'GuestSpec.metadata', 'GuestSpec.cpu',
    'GuestSpec.memory', 'GuestMetadata.flavor', 'DiskSpec.source',
})

#: Fields that cannot change alone; tests of their facets look at them.
COUPLED = frozenset({
    'Inputs.model_flags',
    'CpuTopology.sockets', 'CpuTopology.cores', 'CpuTopology.threads',
    'DeviceSpec.usb_controller',
    'NumaCell.id', 'NumaCell.vcpus', 'NumaCell.memory_mib',
})


def effective() -> set[str]:
    """Return the fields that change the XML of at least one scenario."""
    found: set[str] = set()
    for inputs in scenarios.SCENARIOS.values():
        xml = builder.build(inputs).to_xml()
        for label, other in fields.altered(inputs):
            if label in found or label in ELSEWHERE:
                continue
            try:
                changed = builder.build(other).to_xml() != xml
            except exception.DriverError:
                # A contradiction says nothing about the XML.
                continue
            if changed:
                found.add(label)
    return found


class FieldsTest(tests_base.TestCase):

    def test_every_field_changes_the_xml_of_some_scenario(self) -> None:
        declared = fields.declared(inputs_module.Inputs, ELSEWHERE)

        self.assertEqual(
            set(), declared - CONTAINERS - COUPLED - effective())

    def test_exceptions_name_fields_that_exist(self) -> None:
        declared = fields.declared(inputs_module.Inputs, frozenset())

        self.assertEqual(set(), (ELSEWHERE | CONTAINERS | COUPLED) - declared)
