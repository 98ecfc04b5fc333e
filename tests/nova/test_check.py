# SPDX-License-Identifier: Apache-2.0

"""``nova-libvirt nova check`` beside a real Nova."""

import json
import os
import pathlib
import subprocess
import sys
import tempfile
from typing import Any
import unittest

from nova_libvirt_driver.xmlmodel import domain
from tests.nova import environments

COMMAND = [sys.executable, '-m', 'nova_libvirt_driver.cli', 'nova', 'check',
           '-f', 'json']
DRIVER = 'nova_libvirt_driver.LibvirtDriver'


class CheckTest(unittest.TestCase):

    def setUp(self) -> None:
        super().setUp()
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def check(
            self, text: str, *, arguments: tuple[str, ...] = (),
            **environ: str) -> tuple[int, dict[str, Any]]:
        """Return the exit code, and the row of each check."""
        path = self.folder / 'nova.conf'
        path.write_text(text)
        done = subprocess.run(
            [*COMMAND, '--config-file', str(path), *arguments], text=True,
            capture_output=True, timeout=environments.TIMEOUT_S,
            env={**os.environ, **environ})
        self.assertEqual('', done.stderr)
        return done.returncode, {
            row['Check']: row for row in json.loads(done.stdout)}

    def test_it_would_be_loaded(self) -> None:
        code, rows = self.check(f'[DEFAULT]\ncompute_driver = {DRIVER}\n')

        self.assertEqual(0, code, rows)
        self.assertIn(f'{environments.nova_release()}.',
                      rows['nova']['Detail'])
        for name in ('nova', 'finder', 'configuration', 'compute_driver',
                     'loading'):
            self.assertEqual('ok', rows[name]['Status'], rows)

    def test_it_follows_the_mode_of_nova_compute(self) -> None:
        code, rows = self.check(
            f'[DEFAULT]\ncompute_driver = {DRIVER}\n',
            OS_NOVA_DISABLE_EVENTLET_PATCHING='false')

        self.assertEqual(0, code, rows)
        self.assertIn('eventlet', rows['loading']['Detail'])

    def test_another_driver_is_configured(self) -> None:
        code, rows = self.check(
            '[DEFAULT]\ncompute_driver = libvirt.LibvirtDriver\n')

        self.assertEqual(1, code)
        self.assertIn(DRIVER, rows['compute_driver']['Fix'])
        self.assertEqual('ok', rows['loading']['Status'])

    def test_a_file_that_nova_cannot_read(self) -> None:
        code, rows = self.check('compute_driver\n')

        self.assertEqual(1, code)
        self.assertEqual('failure', rows['configuration']['Status'])
        self.assertIn('nova.conf', rows['configuration']['Detail'])

    def test_a_value_that_the_driver_refuses(self) -> None:
        code, rows = self.check(
            f'[DEFAULT]\ncompute_driver = {DRIVER}\n'
            '[libvirt]\nimages_type = rbd\n')

        self.assertEqual(1, code)
        self.assertIn('images_type', rows['loading']['Detail'])

    def test_strictly_an_option_without_effect_is_a_failure(self) -> None:
        for text, expected in (
                ('[spice]\nrequire_secure = true\n', 0),
                ('[pci]\nreport_in_placement = true\n', 1)):
            code, rows = self.check(
                f'[DEFAULT]\ncompute_driver = {DRIVER}\n{text}',
                arguments=('--strict',))

            self.assertEqual(expected, code, rows)

    def test_what_becomes_of_options_that_are_set(self) -> None:
        code, rows = self.check(
            f'[DEFAULT]\ncompute_driver = {DRIVER}\n'
            '[libvirt]\nvirt_type = qemu\ninject_key = true\n'
            'swtpm_user = tss\npmem_namespaces =\n'
            '[pci]\nreport_in_placement = true\n')

        self.assertEqual(0, code)
        self.assertEqual(
            {'virt_type': 'ok', 'inject_key': 'ok', 'pmem_namespaces': 'ok',
             'swtpm_user': 'ok', 'report_in_placement': 'warning'},
            {name.partition('] ')[2]: row['Status']
             for name, row in rows.items()
             if name.startswith(('[libvirt]', '[pci]'))})

    def test_an_option_with_which_the_service_does_not_start(self) -> None:
        code, rows = self.check(
            f'[DEFAULT]\ncompute_driver = {DRIVER}\n'
            '[libvirt]\ninject_partition = -1\n')

        self.assertEqual(1, code)
        self.assertIn(
            'config drive', rows['[libvirt] inject_partition']['Detail'])

    def test_guests_are_asked_for(self) -> None:
        text = f'[DEFAULT]\ncompute_driver = {DRIVER}\n[libvirt]\n'
        for uri, expected in (
                ('test:///default', 0),
                ('qemu+unix:///system?socket=/nowhere', 1)):
            code, rows = self.check(
                f'{text}connection_uri = {uri}\nvirt_type = qemu\n',
                arguments=('--guests',))

            self.assertEqual(expected, code, rows)
            self.assertIn('guests', rows)

    def test_guests_are_nova_s_wherever_their_files_are(self) -> None:
        uuid = '6d3a1a52-3f6c-4a5b-9c1e-0a1b2c3d4e5f'
        path = self.folder / 'host.xml'
        path.write_text(f"""
            <node><domain type='test'><name>one</name><uuid>{uuid}</uuid>
              <metadata>
                <nova:instance xmlns:nova='{domain.NAMESPACE}'/></metadata>
              <memory>65536</memory><os><type>hvm</type></os><devices>
              <disk type='file'><source file='/elsewhere/{uuid}/disk'/>
                <target dev='vda'/></disk>
              <disk type='block'><source dev='/dev/vg/data'/>
                <target dev='vdz'/></disk></devices></domain></node>""")

        _, rows = self.check(
            f'[DEFAULT]\ncompute_driver = {DRIVER}\n[libvirt]\n'
            f'connection_uri = test://{path}\nvirt_type = qemu\n',
            arguments=('--guests',))

        self.assertIn('vdz', rows['guest one']['Detail'])


class NotInstalledTest(unittest.TestCase):

    def test_a_package_on_the_path_only_has_no_finder(self) -> None:
        made = environments.Environment(
            'path-only', environments.libraries(), environments.nova_folder(),
            PYTHONPATH=str(environments.ROOT))
        path = made.configuration(DRIVER)

        done = subprocess.run(
            [made.python, *COMMAND[1:], '--config-file', path], text=True,
            capture_output=True, timeout=environments.TIMEOUT_S, cwd='/',
            env={**os.environ, 'PYTHONPATH': str(environments.ROOT)})

        rows = {row['Check']: row for row in json.loads(done.stdout)}
        self.assertEqual(1, done.returncode)
        self.assertIn(f'{made.python} -m pip', rows['finder']['Fix'])
        self.assertEqual('failure', rows['loading']['Status'])
