# SPDX-License-Identifier: Apache-2.0

"""Every hostile image, and each file that is opened because of it."""

import json
import os
import pathlib
import re
import subprocess
import sys
import typing
import uuid

import fixtures
from testtools import content

from tests import base
from tests.functional import import_images
from tests import hostile_images

ROOT = pathlib.Path(__file__).parents[2]
TIMEOUT_S = 600
OPENED = re.compile(
    r'(?:open|openat|openat2|creat)\((?:(?:AT_FDCWD|\d+)[^,]*, )?'
    r'"((?:[^"\\]|\\.)*)"')
# Programs, libraries, this interpreter, and what any process reads.
HARMLESS = tuple(f'{path}/' for path in (
    '/usr', '/bin', '/sbin', '/lib', '/lib64', '/etc', '/proc', '/sys',
    '/dev', '/newroot', '/oldroot', sys.prefix, sys.base_prefix, ROOT))


class HostileImageTest(base.TestCase):

    def setUp(self) -> None:
        super().setUp()
        self.folder = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        self.elsewhere = pathlib.Path(
            self.useFixture(fixtures.TempDir()).path)
        # Everybody may read it: it is not its mode that protects it.
        for path in (self.folder, self.elsewhere, self.folder.parent,
                     self.elsewhere.parent):
            path.chmod(0o755)
        self.target = self.elsewhere / f'secret-{uuid.uuid4().hex}'
        (self.folder / '_base').mkdir()
        for path in (self.target, self.folder / '_base' / self.target.name,
                     self.folder / self.target.name):
            path.write_bytes(b'# Disk DescriptorFile\n'.ljust(1 << 20, b's'))
            path.chmod(0o644)
        self.log = self.elsewhere / 'trace'

    def traced(self, *line: str) -> str:
        """Run a program, and keep which files were opened meanwhile."""
        done = subprocess.run(
            ['strace', '-f', '-qq', '-z', '--seccomp-bpf', '-s', '4096',
             '-e', 'trace=open,openat,openat2,creat', '-e', 'signal=none',
             '-o', str(self.log), *line],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            cwd=ROOT, timeout=TIMEOUT_S, check=False)
        self.addDetail('errors', content.text_content(done.stderr))
        return done.stdout

    def opened(self) -> list[str]:
        """Return what was opened and is not harmless."""
        found = set(OPENED.findall(
            self.log.read_text(encoding='utf-8', errors='replace')))
        return sorted(
            path for path in found if self.target.name in path
            or path.startswith('/') and not f'{path}/'.startswith(
                ('//', *HARMLESS, f'{self.folder}/')))

    def imported(self, sandbox: str) -> dict[str, typing.Any]:
        said = self.traced(
            sys.executable, '-m', 'tests.functional.import_images',
            str(self.folder), str(self.target), sandbox)
        found = json.loads(said)
        assert isinstance(found, dict)
        return found

    def test_nothing_but_the_image_is_opened(self) -> None:
        for sandbox in ('required', 'off'):
            found = self.imported(sandbox)

            outside = self.opened()
            for format, count in found['counts'].items():
                print(f'{format}: {count["images"]} images, '
                      f'{len(outside)} opened outside, '
                      f'{count["accepted by mistake"]} accepted that name '
                      f'another file ({count["refused"]} refused, '
                      f'{count["converted"]} converted unseen; sandbox '
                      f'{sandbox})', file=sys.stderr)
                self.assertEqual(0, count['accepted by mistake'])
                self.assertGreater(count['refused'], 0)
            self.assertEqual(([], []), (outside, found['wrong']))

    def test_those_that_name_nothing_are_taken(self) -> None:
        cache = import_images.Import(str(self.folder), 'required')

        for image in hostile_images.harmless():
            cache.bring(image)

        self.assertEqual([], cache.wrong)
        self.assertEqual(
            {format: 1 for format in ('qcow2', 'vmdk', 'vdi', 'vpc', 'vhdx')},
            {format: count for (format, what), count in cache.counts.items()
             if what == 'accepted'})

    def test_the_trace_shows_what_is_opened_without_protection(self) -> None:
        image = next(
            image for image in hostile_images.images(str(self.target))
            if (image.format, image.declared, image.name) == (
                'vmdk', 'vmdk', 'embedded monolithicFlat'))
        path = self.folder / 'image'
        path.write_bytes(image.content)

        self.traced('qemu-img', 'convert', '-f', 'vmdk', '-O', 'raw',
                    str(path), os.devnull)

        self.assertEqual([str(self.target)], self.opened())
