# SPDX-License-Identifier: Apache-2.0

"""From the name of a driver to a driver, or to an error that helps."""

import pathlib
import sys

import fixtures

from nova_libvirt_driver.compute import loading
from nova_libvirt_driver import exception
from nova_libvirt_driver.testing import fake_driver
from tests import base

FAKE = 'nova_libvirt_driver.testing.fake_driver.FakeDriver'


class LoadingTestCase(base.TestCase):

    def make_module(self, name: str, text: str) -> None:
        folder = self.useFixture(fixtures.TempDir()).path
        pathlib.Path(folder, f'{name}.py').write_text(text)
        self.useFixture(fixtures.MonkeyPatch(
            'sys.path', [folder, *sys.path]))
        self.addCleanup(sys.modules.pop, name, None)

    def test_makes_the_named_driver(self) -> None:
        virtapi = object()

        driver = loading.load(FAKE, virtapi)

        self.assertIsInstance(driver, fake_driver.FakeDriver)
        self.assertIs(virtapi, driver.virtapi)

    def test_knows_the_short_name_of_this_package_s_driver(self) -> None:
        driver = loading.driver_class('nova_libvirt_driver.LibvirtDriver')

        self.assertEqual('LibvirtDriver', driver.__name__)

    def test_says_what_is_wrong_with_a_name(self) -> None:
        self.make_module('broken_driver', 'raise ValueError("half done")')
        for name, reason in (
                ('', 'not of the form'),
                ('LibvirtDriver', 'not of the form'),
                ('nova_libvirt_driver.', 'not of the form'),
                ('no_such_module.Driver', "No module named 'no_such_module'"),
                ('os.path.NoSuchClass', 'has no NoSuchClass'),
                ('os.path.join', 'not a subclass'),
                ('collections.OrderedDict', 'not a subclass'),
                ('broken_driver.Driver', 'ValueError: half done')):
            error = self.assertRaises(
                exception.DriverNotLoadable, loading.load, name, None)

            self.assertIn(reason, str(error))
            self.assertIn('compute_driver', error.next_step)

    def test_says_that_the_binding_of_libvirt_is_missing(self) -> None:
        for number, text in enumerate((
                'raise ImportError("No module", name="libvirt")',
                'raise ImportError("x", name="libvirtmod")',
                'raise ImportError("libvirt.so.0: cannot open")')):
            self.make_module(f'needs_libvirt{number}', text)

            error = self.assertRaises(
                exception.LibvirtMissing, loading.load,
                f'needs_libvirt{number}.Driver', None)

            self.assertIn('pip install libvirt-python', error.next_step)

    def test_finds_a_missing_binding_when_the_driver_is_made(self) -> None:
        self.make_module('lazy_driver', '\n'.join((
            'from nova_libvirt_driver import base',
            'class Driver(base.ComputeDriver):',
            '    def __init__(self, virtapi):',
            '        raise ImportError("No module", name="libvirt")')))

        self.assertRaises(exception.LibvirtMissing, loading.load,
                          'lazy_driver.Driver', None)
