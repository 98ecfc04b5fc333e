# SPDX-License-Identifier: Apache-2.0

from nova_libvirt_driver import exception
from nova_libvirt_driver.images import flavors
from tests import base


class FlavorsTest(base.TestCase):

    def test_there_are_some_from_small_to_large(self) -> None:
        found = flavors.builtin()

        self.assertEqual(['nano', 'tiny', 'small', 'medium', 'large'],
                         [one.name for one in found])
        sizes = [(one.memory_mib, one.root_gib) for one in found]
        self.assertEqual(sorted(sizes), sizes)

    def test_one_is_found_by_its_name(self) -> None:
        found = flavors.find('medium')

        self.assertEqual((2, 4096, 40),
                         (found.vcpus, found.memory_mib, found.root_gib))

    def test_an_unknown_name_is_told_what_there_is(self) -> None:
        error = self.assertRaises(
            exception.InvalidRequest, flavors.find, 'huge')

        self.assertIn("'huge'", str(error))
        self.assertIn('nano, tiny, small, medium, large', str(error))

    def test_any_size_can_be_made(self) -> None:
        made = flavors.custom(3, 1536, 0)

        self.assertEqual((3, 1536, 0),
                         (made.vcpus, made.memory_mib, made.root_gib))
        self.assertEqual('custom-3-1536-0', made.name)

    def test_sizes_without_sense_are_refused(self) -> None:
        for sizes in ((0, 64, 1), (1, 0, 1), (1, 64, -1)):
            self.assertRaises(
                exception.InvalidRequest, flavors.custom, *sizes)
