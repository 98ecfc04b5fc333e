# SPDX-License-Identifier: Apache-2.0

"""Keystone."""

from config import cloud as cloud_config


def write(cloud: cloud_config.Cloud) -> None:
    """Write its file."""
    folder = cloud.etc / 'keystone'
    cloud_config.write(folder / 'keystone.conf', {
        'DEFAULT': {
            'debug': False,
            'log_file': cloud.state / 'log' / 'keystone-app.log',
            'max_token_size': 16384,
        },
        'database': cloud.database('keystone'),
        'token': {'provider': 'fernet', 'expiration': 86400},
        'fernet_tokens': {'key_repository': folder / 'fernet-keys'},
        'credential': {'key_repository': folder / 'credential-keys'},
        'cache': cloud.cache,
        'security_compliance': {'unique_last_password_count': 0},
        # As cheap as it allows: tempest makes many users.
        'identity': {
            'password_hash_rounds': 4,
            'password_hash_algorithm': 'bcrypt',
        },
    })
