# SPDX-License-Identifier: Apache-2.0

import importlib.metadata
import inspect
import pathlib
import subprocess
import sys
import tomllib

import nova_libvirt_driver
from nova_libvirt_driver import base as driver_base
from nova_libvirt_driver import driver
from nova_libvirt_driver import version
from tests import base

ROOT = pathlib.Path(__file__).parents[2]
PACKAGE = ROOT / 'nova_libvirt_driver'

HEAVY = ('nova', 'eventlet', 'oslo_messaging', 'oslo_service', 'futurist')

# The vocabulary of the connection that others rely on.
NAMES = ('_conn', '_get_connection', '_get_new_connection', '_connect',
         '_test_connection', '_wrapped_conn', '_wrapped_conn_lock', 'uri',
         'set_host_enabled', 'get_host_ip_addr',
         '_event_lifecycle_callback')


def imported_by(statement: str) -> set[str]:
    """Return which top-level modules a new process has afterwards."""
    output = subprocess.run(
        [sys.executable, '-c', f'{statement}\nimport sys\n'
         'print(*{name.split(".")[0] for name in sys.modules})'],
        check=True, stdout=subprocess.PIPE, text=True, timeout=60).stdout
    return set(output.split())


class ImportTest(base.TestCase):

    def test_driver_needs_no_heavy_library(self) -> None:
        found = imported_by('import nova_libvirt_driver.driver')

        self.assertIn('libvirt', found)
        for name in HEAVY:
            self.assertNotIn(name, found)

    def test_package_alone_imports_nothing_of_note(self) -> None:
        found = imported_by('import nova_libvirt_driver')

        for name in ('libvirt', 'oslo_config', *HEAVY):
            self.assertNotIn(name, found)

    def test_driver_is_found_in_the_package(self) -> None:
        self.assertIs(driver.LibvirtDriver,
                      nova_libvirt_driver.LibvirtDriver)
        self.assertTrue(issubclass(
            nova_libvirt_driver.LibvirtDriver, driver_base.ComputeDriver))

    def test_other_names_are_not(self) -> None:
        error = self.assertRaises(
            AttributeError, getattr, nova_libvirt_driver, 'NovaDriver')

        self.assertIn('NovaDriver', str(error))


class DriverTest(base.TestCase):

    def test_vocabulary_of_the_connection_is_there(self) -> None:
        for name in NAMES:
            self.assertTrue(
                hasattr(driver.LibvirtDriver, name), f'no {name}')

    def test_verbs_are_called_as_the_contract_says(self) -> None:
        for name, verb in vars(driver_base.ComputeDriver).items():
            if name.startswith('__') or not inspect.isfunction(verb):
                continue
            own = getattr(driver.LibvirtDriver, name)

            self.assertEqual(
                list(inspect.signature(verb).parameters.values()),
                list(inspect.signature(own).parameters.values()), name)


class DistributionTest(base.TestCase):

    def test_types_are_shipped(self) -> None:
        self.assertTrue((PACKAGE / 'py.typed').is_file())

    def test_every_folder_is_a_package(self) -> None:
        for path in PACKAGE.rglob('*.py'):
            self.assertTrue((path.parent / '__init__.py').is_file(),
                            f'{path.parent} has no __init__.py')

    def test_entry_points_lead_to_something(self) -> None:
        with open(ROOT / 'pyproject.toml', 'rb') as file:
            project = tomllib.load(file)['project']
        groups = [project['scripts'], *project['entry-points'].values()]
        for name, value in [item for group in groups
                            for item in group.items()]:
            point = importlib.metadata.EntryPoint(name, value, 'any')

            self.assertTrue(callable(point.load()), value)

    def test_version_is_known_or_said_to_be_unknown(self) -> None:
        self.assertTrue(version.version())
