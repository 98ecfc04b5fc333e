# SPDX-License-Identifier: Apache-2.0

"""Where state is kept when nobody has said where."""

import os
import pathlib

import fixtures
from oslo_config import cfg

from nova_libvirt_driver.compute import paths
from nova_libvirt_driver import conf as package_conf
from tests import base


class ClientTestCase(base.TestCase):

    def setUp(self) -> None:
        super().setUp()
        self.folder = self.useFixture(fixtures.TempDir()).path
        self.file = os.path.join(self.folder, 'my service.conf')
        pathlib.Path(self.file).write_text('[DEFAULT]\n')

    def client(self, *arguments: str) -> str:
        conf = cfg.ConfigOpts()
        conf.register_cli_opt(cfg.StrOpt('state-path', default='/state'))
        package_conf.register_opts(conf)
        conf(arguments, default_config_files=[])
        return paths.client(
            conf, os.path.join(self.folder, 'service'), 'test:///default')

    def test_it_has_what_the_service_was_told(self) -> None:
        self.assertEqual(
            f"nova-libvirt --config-file '{self.file}' --uri test:///default",
            self.client('--config-file', self.file))

    def test_it_has_the_same_state_path(self) -> None:
        self.assertEqual(
            f"nova-libvirt --config-file '{self.file}' --state-path '/a b' "
            '--uri test:///default',
            self.client('--config-file', self.file, '--state-path', '/a b'))

    def test_it_is_the_one_beside_the_service(self) -> None:
        program = pathlib.Path(self.folder, 'nova-libvirt')
        program.touch()

        self.assertEqual(f'{program} --uri test:///default', self.client())


class StateTest(base.TestCase):

    def test_follows_the_base_directory_specification(self) -> None:
        for environ, expected in (
                ({}, '/home/me/.local/state/nova-libvirt'),
                ({'XDG_STATE_HOME': ''}, '/home/me/.local/state/nova-libvirt'),
                ({'XDG_STATE_HOME': '/state'}, '/state/nova-libvirt'),
                ({'XDG_STATE_HOME': 'relative'},
                 '/home/me/.local/state/nova-libvirt')):
            self.assertEqual(expected, paths.of_user(environ, '/home/me'))
