# SPDX-License-Identifier: Apache-2.0

from nova_libvirt_driver.spec import boot as boot_spec
from nova_libvirt_driver.spec import instance as instance_spec
from nova_libvirt_driver.testing import specs
from tests import base


class GuestSpecTest(base.TestCase):
    """Guests as values."""

    def test_guest_is_consistent(self) -> None:
        spec = specs.guest_spec('one', 'image', memory_mib=64, root_gib=1)

        self.assertTrue(instance_spec.is_uuid(spec.uuid))
        self.assertEqual(('one', 'one'),
                         (spec.name, spec.metadata.display_name))
        self.assertEqual((64, 64), (spec.memory.size_mib,
                                    spec.metadata.flavor.memory_mib))
        self.assertEqual((1, 1), (spec.storage.root_gib,
                                  spec.metadata.flavor.root_gib))
        self.assertEqual(('image', 'image'),
                         (spec.storage.image_id, spec.metadata.image_id))

    def test_each_guest_is_another(self) -> None:
        self.assertNotEqual(
            specs.guest_spec('one').uuid, specs.guest_spec('one').uuid)

    def test_any_part_may_be_another(self) -> None:
        boot = boot_spec.BootSpec(machine='q35')

        spec = specs.guest_spec('one', boot=boot, uuid='x')

        self.assertEqual((boot, 'x'), (spec.boot, spec.uuid))
