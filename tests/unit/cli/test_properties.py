# SPDX-License-Identifier: Apache-2.0

"""Properties that were typed."""

from nova_libvirt_driver.cli import errors
from nova_libvirt_driver.cli import properties
from nova_libvirt_driver.testing import specs
from tests import base


class PropertiesTest(base.TestCase):

    def test_a_wrong_value_says_which_are_right(self) -> None:
        for name, value in (
                ('hw_boot_menu', 'perhaps'), ('hw_tpm_version', '3'),
                ('os_secure_boot', 'yes'), ('os_type', 'beos')):
            with self.subTest(name=name):
                self.assertRaises(
                    errors.UsageError, properties.apply,
                    specs.guest_spec('a'), {name: value})
