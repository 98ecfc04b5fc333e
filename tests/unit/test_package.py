# SPDX-License-Identifier: Apache-2.0

import functools
import importlib.metadata
import inspect
import pathlib
import re
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

HEAVY = frozenset((
    'nova', 'eventlet', 'oslo_messaging', 'oslo_service', 'futurist'))

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


@functools.cache
def heavy() -> frozenset[str]:
    """Return the libraries that the package does not load by itself."""
    # In the versions of 2025.1 these load eventlet where there is one.
    theirs = imported_by('import oslo_log.log, oslo_privsep.daemon')
    return HEAVY - (theirs & {'eventlet'})


class ImportTest(base.TestCase):

    def test_driver_needs_no_heavy_library(self) -> None:
        found = imported_by('import nova_libvirt_driver.driver')

        self.assertIn('libvirt', found)
        for name in heavy():
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


class LowerBoundTest(base.TestCase):

    def test_the_lowest_versions_are_those_that_are_tested(self) -> None:
        lines = (ROOT / 'lower-constraints.txt').read_text().splitlines()
        tested = dict(_plain(line).split('==') for line in lines
                      if not line.startswith('#'))
        bounds = dict(
            _plain(line).split('>=') for name in (
                'requirements.txt', 'metrics-requirements.txt')
            for line in (ROOT / name).read_text().splitlines()
            if not line.startswith('#'))

        self.assertIn('cliff', bounds)
        self.assertEqual(
            bounds, {name: tested.get(name) for name in bounds})


def _plain(line: str) -> str:
    """Return a requirement without extras and comment, its name normalized."""
    text = re.sub(r'\[.*\]', '', line.partition('#')[0]).strip()
    name, sign, number = re.split('(>=|==)', text)
    return re.sub('[-_.]+', '-', name).lower() + sign + number


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
