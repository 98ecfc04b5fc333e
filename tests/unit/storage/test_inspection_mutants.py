# SPDX-License-Identifier: Apache-2.0

"""Images with some bytes changed, held against what QEMU takes them for."""

import functools
import json
import os
import pathlib
import subprocess
import tempfile

import fixtures
import hypothesis
from hypothesis import strategies

from nova_libvirt_driver import exception
from nova_libvirt_driver.storage import inspection
from tests import base

KINDS = ('qcow2', 'vmdk', 'vdi', 'vhdx', 'vpc', 'qed')
CHANGES = strategies.lists(
    strategies.tuples(
        strategies.integers(0, 127), strategies.integers(0, 255)),
    max_size=4)
QUICKLY = hypothesis.settings(deadline=None, max_examples=150, database=None)
SLOWLY = hypothesis.settings(deadline=None, max_examples=40, database=None)


@functools.cache
def original(kind: str) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, 'image')
        subprocess.check_call(
            ['qemu-img', 'create', '-q', '-f', kind, path, '16M'])
        return pathlib.Path(path).read_bytes()[:1 << 20]


def mutant(kind: str, changes: list[tuple[int, int]]) -> bytes:
    content = bytearray(original(kind))
    for offset, value in changes:
        content[offset] = value
    return bytes(content)


def taken(path: str, content: bytes, format: str) -> bool:
    """Tell whether an image is taken; any other error goes on."""
    pathlib.Path(path).write_bytes(content)
    try:
        inspection.inspect(path, format)
    except exception.ImageRefused:
        return False
    return True


def seen(*arguments: str) -> dict[str, object]:
    """Return what QEMU says of an image, nothing when it refuses it."""
    done = subprocess.run(['qemu-img', 'info', '--output=json', *arguments],
                          capture_output=True)
    return dict(json.loads(done.stdout)) if done.returncode == 0 else {}


class MutantTest(base.TestCase):

    def setUp(self) -> None:
        super().setUp()
        # The library tells in many words what it sees.
        self.useFixture(fixtures.FakeLogger(
            'oslo_utils.imageutils.format_inspector'))

    @QUICKLY
    @hypothesis.given(strategies.sampled_from(KINDS), CHANGES,
                      strategies.integers(0, 1024))
    def test_nothing_but_a_refusal(
            self, kind: str, changes: list[tuple[int, int]],
            length: int) -> None:
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, 'image')
            content = mutant(kind, changes)

            taken(path, content, kind)
            taken(path, content[:length], kind)
            taken(path, content[:length], 'raw')

    @SLOWLY
    @hypothesis.given(strategies.sampled_from(KINDS), CHANGES)
    def test_what_is_taken_as_raw_is_raw_to_qemu(
            self, kind: str, changes: list[tuple[int, int]]) -> None:
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, 'image')

            if taken(path, mutant(kind, changes), 'raw'):
                self.assertEqual('raw', seen(path).get('format', 'raw'))

    @SLOWLY
    @hypothesis.given(CHANGES)
    def test_what_is_taken_as_qcow2_names_no_file(
            self, changes: list[tuple[int, int]]) -> None:
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, 'image')

            if taken(path, mutant('qcow2', changes), 'qcow2'):
                found = seen('-f', 'qcow2', path)
                self.assertNotIn('backing-filename', found)
                self.assertNotIn('data-file', str(found))
