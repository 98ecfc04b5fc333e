# SPDX-License-Identifier: Apache-2.0

"""The driver against the contract of the installed Nova."""

import inspect
import unittest

from nova.virt import driver as nova_driver

from nova_libvirt_driver.nova_plugin import driver
from tests.nova import environments
from tests.nova import support_matrix


# Since Nova 34.
NEW = {'process_instances_at_startup'}


def verbs() -> list[str]:
    """Return the verbs that the installed Nova may know."""
    return [name for name in support_matrix.verbs()
            if name not in NEW or environments.nova_release() >= 34]


class ContractTest(unittest.TestCase):

    def test_every_verb_is_one_of_the_contract(self) -> None:
        self.assertGreater(len(verbs()), 30)
        self.assertEqual([], [
            name for name in verbs()
            if not hasattr(nova_driver.ComputeDriver, name)])

    def test_every_verb_takes_what_nova_passes(self) -> None:
        for name in verbs():
            theirs = inspect.signature(
                getattr(nova_driver.ComputeDriver, name)).parameters
            ours = inspect.signature(
                getattr(driver.NovaLibvirtDriver, name)).parameters
            with self.subTest(name=name):
                # A later Nova's may come after them, and may be left out.
                self.assertEqual(list(theirs), list(ours)[:len(theirs)])
                self.assertNotIn(inspect.Parameter.empty, [
                    parameter.default for parameter in list(
                        ours.values())[len(theirs):]])

    def test_what_may_be_left_out_may_be_left_out(self) -> None:
        for name in verbs():
            theirs = inspect.signature(
                getattr(nova_driver.ComputeDriver, name)).parameters
            ours = inspect.signature(
                getattr(driver.NovaLibvirtDriver, name)).parameters
            with self.subTest(name=name):
                self.assertEqual([], [
                    parameter for parameter, value in theirs.items()
                    if value.default is not inspect.Parameter.empty
                    and ours[parameter].default != value.default])

    def test_every_flag_is_one_of_the_contract(self) -> None:
        known = (set(nova_driver.ComputeDriver.capabilities)
                 | set(nova_driver.CAPABILITY_TRAITS_MAP))

        self.assertEqual(
            set(), set(driver.NovaLibvirtDriver.capabilities) - known)

    def test_a_flag_is_off_whose_verbs_are_missing(self) -> None:
        needs = {
            'supports_attach_interface': 'attach_interface',
            'supports_bfv_rescue': 'rescue',
            'supports_extend_volume': 'extend_volume',
            'supports_multiattach': 'attach_volume',
            'supports_tagged_attach_interface': 'attach_interface',
            'supports_tagged_attach_volume': 'attach_volume',
            'has_imagecache': 'manage_image_cache'}
        for flag, verb in needs.items():
            with self.subTest(flag=flag):
                self.assertEqual(
                    verb in support_matrix.verbs(),
                    bool(driver.NovaLibvirtDriver.capabilities.get(flag)))
