# SPDX-License-Identifier: Apache-2.0

"""What a server has printed, as Nova takes it."""

import pathlib
import uuid

from nova import exception as nova_exception

from tests.nova import test_attached_volumes
from tests.nova import test_translate

CONF = test_translate.CONF


class ConsoleOutputTest(test_attached_volumes.VerbsTestCase):

    def output(self) -> str:
        found: str = self.driver.get_console_output(
            self.context, self.instance)
        return found

    def test_each_byte_is_a_character(self) -> None:
        pathlib.Path(
            CONF.instances_path, self.instance.uuid, 'console.log'
        ).write_bytes(b'login\xff')

        self.assertEqual('login\xff', self.output())

    def test_a_server_that_has_printed_nothing_yet(self) -> None:
        # It came here while it was stopped, for example.
        self.assertEqual('', self.output())

    def test_a_server_that_is_not_here(self) -> None:
        self.instance.uuid = str(uuid.uuid4())

        self.assertRaises(nova_exception.InstanceNotFound, self.output)
