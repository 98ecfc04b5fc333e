# SPDX-License-Identifier: Apache-2.0

"""Runs the client inside the process of a test."""

import dataclasses
import io
import json
import logging
import pathlib
from typing import Any

import fixtures

from nova_libvirt_driver.cli import app
from nova_libvirt_driver.cli import sources
from nova_libvirt_driver.images import local as local_images
from nova_libvirt_driver import ports
from nova_libvirt_driver.testing import fake_guest_driver
from nova_libvirt_driver.testing import specs
from tests import base
from tests import output_schema

HOST = 'h1'
# What begins like a disk.
DISK = b'x' * 510 + b'\x55\xaa'


@dataclasses.dataclass(frozen=True)
class Result:
    """What one run of the client has left."""

    code: int
    stdout: str
    stderr: str

    @property
    def json(self) -> Any:
        """What stdout holds, which must be JSON."""
        return json.loads(self.stdout)


class Stream(io.StringIO):
    """A stream that says it is a terminal, or not."""

    def __init__(self, text: str = '', *, terminal: bool = False) -> None:
        super().__init__(text)
        self._terminal = terminal

    def isatty(self) -> bool:
        return self._terminal


class ClientTestCase(base.TestCase):
    """A test that types commands."""

    def setUp(self) -> None:
        super().setUp()
        root = logging.getLogger()
        self.addCleanup(root.setLevel, root.level)
        self.addCleanup(setattr, root, 'handlers', list(root.handlers))

    def run_client(
            self, *arguments: str, typed: str = '',
            terminal: bool = False) -> Result:
        """Run the client on the given arguments.

        :param typed: what is read from stdin
        :param terminal: stdin and stderr are a terminal
        """
        stdin = Stream(typed, terminal=terminal)
        stdout, stderr = io.StringIO(), Stream(terminal=terminal)
        client = app.Client(stdin=stdin, stdout=stdout, stderr=stderr)
        code = client.run(arguments)
        return Result(code, stdout.getvalue(), stderr.getvalue())


class ServerTestCase(ClientTestCase):
    """A test that types commands about servers, which are in memory.

    :ivar driver: the driver of every command
    :ivar images: the images of the host, in a folder of the test's
    """

    def setUp(self) -> None:
        super().setUp()
        self.folder = pathlib.Path(
            self.useFixture(fixtures.TempDir()).path)
        self.config_file = self.folder / 'a.conf'
        self.config_file.write_text(
            f'[DEFAULT]\nhost = {HOST}\nstate_path = {self.folder}\n'
            '[libvirt]\nconnection_uri = qemu:///system\n')
        self.images = local_images.LocalImages(str(self.folder / 'images'))
        self.driver = fake_guest_driver.GuestDriver(ports.VirtAPI(
            ports.NullNotifier(), ports.NullServiceState(), self.images))
        self.driver.hypervisor_uri = 'qemu:///system'
        self.useFixture(fixtures.MockPatchObject(
            sources, 'driver', self._driver))
        self.read_only: list[bool] = []

    def _driver(
            self, *, read_only: bool = True) -> fake_guest_driver.GuestDriver:
        self.read_only.append(read_only)
        return self.driver

    def type(self, *arguments: str, **streams: Any) -> Result:
        """Run a command with the configuration of the test."""
        return self.run_client(
            '--config-file', str(self.config_file), *arguments, **streams)

    def answer(self, *arguments: str) -> Any:
        """Run a command that must succeed; return its JSON."""
        result = self.type(*arguments, '-f', 'json')
        self.assertEqual((0, ''), (result.code, result.stderr))
        if '-c' not in arguments:
            output_schema.check(arguments, result.json)
        return result.json

    def have(self, *names: str) -> list[str]:
        """Make servers; return their ids."""
        made = [specs.guest_spec(name) for name in names]
        for spec in made:
            self.driver.spawn(spec)
        self.driver.verbs.clear()
        return [spec.uuid for spec in made]

    def file(self, name: str, content: bytes | str = DISK) -> str:
        """Write a file; return its path."""
        path = self.folder / name
        path.write_bytes(
            content.encode() if isinstance(content, str) else content)
        return str(path)

    def have_image(self, name: str, **properties: str) -> str:
        """Keep an image; return its id."""
        return self.images.add(
            self.file('some.raw'), name=name, disk_format='raw',
            properties=properties).id
