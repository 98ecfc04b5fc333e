# SPDX-License-Identifier: Apache-2.0

"""The example of the README, as it is shown there."""

import pathlib
import subprocess
import sys
import textwrap

import fixtures

from nova_libvirt_driver.testing import guests
from tests import base as tests_base
from tests.functional import base

EXAMPLE = pathlib.Path(__file__).with_name('stand_alone.py')
README = pathlib.Path(__file__).parents[2] / 'README.rst'
TIMEOUT_S = 300
IMAGE_BYTES = 1 << 20


class ExampleTest(base.PrivateHostTestCase):

    def test_it_makes_a_guest_and_removes_it(self) -> None:
        folder = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        image = folder / 'hello.raw'
        image.write_bytes(
            guests.boot_sector('hello').ljust(IMAGE_BYTES, b'\0'))

        done = subprocess.run(
            [sys.executable, EXAMPLE, self.host.uri, folder, image, 'hello'],
            capture_output=True, text=True, timeout=TIMEOUT_S, check=False)

        self.assertEqual((0, 'one says: hello\n'), (
            done.returncode, done.stdout), done.stderr)
        self.assertEqual([], list(folder.glob('instances/*-*-*-*-*')))
        self.assertEqual('', self.host.virsh(
            'list', '--all', '--name').strip())


class ReadmeTest(tests_base.TestCase):

    def test_it_shows_the_example(self) -> None:
        code = EXAMPLE.read_text().partition('"""\n\n')[2]

        self.assertIn(textwrap.indent(code, '   '), README.read_text())
