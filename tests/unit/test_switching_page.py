# SPDX-License-Identifier: Apache-2.0

import pathlib

import fixtures

from tests import base
from tests.cloud import page

PAGE = pathlib.Path(__file__).parents[2] / 'doc/source/admin/switching.rst'
TEXT = '''
Look:

.. exit 1: the host has another driver yet

.. code-block:: console

   $ look --at HOST \\
       --closely
   # touch it

.. code-block:: ini

   [DEFAULT]
   name = value

.. not run: the cloud has none

.. code-block:: console

   $ move SERVER

The ``end``.
'''


class SwitchingPageTest(base.TestCase):

    def page(self, text: str) -> pathlib.Path:
        folder = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        path = folder / 'page.rst'
        path.write_text(text)
        return path

    def test_commands_files_and_marks_are_read_in_their_order(self) -> None:
        self.assertEqual([
            page.Step('look --at HOST --closely', exits=1),
            page.Step('touch it', is_root=True, exits=1),
            page.Step('[DEFAULT]\nname = value', is_file=True),
            page.Step('move SERVER', not_run='the cloud has none'),
        ], page.steps(self.page(TEXT)))

    def test_a_command_within_a_sentence_is_found(self) -> None:
        with self.assertRaisesRegex(ValueError, 'openstack server list'):
            page.steps(self.page(f'{TEXT}\nSee ``openstack server list``.\n'))

    def test_the_page_has_the_way_there_and_back(self) -> None:
        found = page.steps(PAGE)

        self.assertEqual(
            ['nova_libvirt_driver.LibvirtDriver', 'libvirt.LibvirtDriver'],
            [step.text.rpartition(' = ')[2] for step in found
             if step.is_file and not step.not_run])
        self.assertEqual(
            2, [step.text for step in found].count(
                'systemctl restart nova-compute'))
