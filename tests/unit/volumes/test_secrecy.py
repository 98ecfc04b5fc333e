# SPDX-License-Identifier: Apache-2.0

import json
from typing import Any

from nova_libvirt_driver.volumes import secrecy
from tests import base

# As the volume service says them, of each protocol that has any.
SAID: dict[str, dict[str, Any]] = {
    'iscsi': {'target_lun': 1, 'auth_method': 'CHAP', 'auth_username': 'u',
              'auth_password': 'S3CRET', 'discovery_auth_password': 'S3CRET'},
    'rbd': {'name': 'p/i', 'secret_type': 'ceph', 'secret_uuid': '1-2',
            'keyring': 'S3CRET'},
    'scaleio': {'serverIP': '192.0.2.1', 'serverPassword': 'S3CRET',
                'serverToken': 'S3CRET', 'scaleIO_volname': 'v'},
    'nvmeof': {'nqn': 'nqn.x', 'dhchap': 'S3CRET', 'portals': [
        {'address': '192.0.2.1', 'dhchap_key': 'S3CRET', 'psk': 'S3CRET'}]},
    'smbfs': {'export': '//server/x', 'name': 'v',
              'options': '-o username=u,password=S3CRET,vers=3'},
    'vzstorage': {'export': '192.0.2.1:/cluster:S3CRET', 'name': 'v'},
    'quobyte': {'export': 'quobyte://server/x', 'config': {
        'access_credentials': ['S3CRET'], 'user_passphrase': 'S3CRET'}},
}


class SecrecyTest(base.TestCase):

    def test_what_is_kept_has_no_secret(self) -> None:
        for protocol, data in SAID.items():
            kept = secrecy.without(
                {'driver_volume_type': protocol, 'data': data})

            self.assertNotIn('S3CRET', json.dumps(kept))

    def test_what_is_no_secret_is_kept(self) -> None:
        for protocol, names in (
                ('iscsi', ('target_lun', 'auth_method', 'auth_username')),
                ('rbd', ('name', 'secret_type', 'secret_uuid')),
                ('scaleio', ('serverIP', 'scaleIO_volname')),
                ('smbfs', ('export', 'name'))):
            kept = secrecy.without({
                'driver_volume_type': protocol, 'data': SAID[protocol]})

            self.assertEqual([SAID[protocol][name] for name in names],
                             [kept['data'][name] for name in names])

    def test_what_is_told_has_no_secret(self) -> None:
        for protocol, data in SAID.items():
            info = {'driver_volume_type': protocol, 'data': data}

            told = secrecy.masked('mount --with S3CRET failed', info)

            self.assertEqual('mount --with *** failed', told)

    def test_nor_do_options_of_the_host(self) -> None:
        self.assertEqual('mount -o username=u,pass=***,vers=3', secrecy.masked(
            'mount -o username=u,pass=S3CRET,vers=3',
            {'driver_volume_type': 'smbfs', 'data': {}}))
