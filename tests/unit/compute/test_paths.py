# SPDX-License-Identifier: Apache-2.0

"""Where state is kept when nobody has said where."""

from nova_libvirt_driver.compute import paths
from tests import base


class UserStatePathTestCase(base.TestCase):

    def test_follows_the_base_directory_specification(self) -> None:
        for environ, expected in (
                ({}, '/home/me/.local/state/nova-libvirt'),
                ({'XDG_STATE_HOME': ''}, '/home/me/.local/state/nova-libvirt'),
                ({'XDG_STATE_HOME': '/state'}, '/state/nova-libvirt'),
                ({'XDG_STATE_HOME': 'relative'},
                 '/home/me/.local/state/nova-libvirt')):
            self.assertEqual(
                expected, paths.user_state_path(environ, '/home/me'))
