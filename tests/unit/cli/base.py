# SPDX-License-Identifier: Apache-2.0

"""Runs the client inside the process of a test."""

import dataclasses
import io
import logging

from nova_libvirt_driver.cli import app
from tests import base


@dataclasses.dataclass(frozen=True)
class Result:
    """What one run of the client has left."""

    code: int
    stdout: str
    stderr: str


class ClientTestCase(base.TestCase):
    """A test that types commands."""

    def setUp(self) -> None:
        super().setUp()
        root = logging.getLogger()
        self.addCleanup(root.setLevel, root.level)
        self.addCleanup(setattr, root, 'handlers', list(root.handlers))

    def run_client(self, *arguments: str) -> Result:
        """Run the client on the given arguments."""
        stdout, stderr = io.StringIO(), io.StringIO()
        client = app.Client(stdout=stdout, stderr=stderr)
        code = client.run(arguments)
        return Result(code, stdout.getvalue(), stderr.getvalue())
