# SPDX-License-Identifier: Apache-2.0

from nova_libvirt_driver.compute import user_path
from tests import base


class StateTest(base.TestCase):

    def test_follows_the_base_directory_specification(self) -> None:
        for environ, expected in (
                ({}, '/home/me/.local/state/nova-libvirt'),
                ({'XDG_STATE_HOME': ''}, '/home/me/.local/state/nova-libvirt'),
                ({'XDG_STATE_HOME': '/state'}, '/state/nova-libvirt'),
                ({'XDG_STATE_HOME': 'relative'},
                 '/home/me/.local/state/nova-libvirt')):
            self.assertEqual(expected, user_path.state(environ, '/home/me'))
