# SPDX-License-Identifier: Apache-2.0

"""Placement."""

from config import cloud as cloud_config


def write(cloud: cloud_config.Cloud) -> None:
    """Write its file."""
    cloud_config.write(cloud.etc / 'placement' / 'placement.conf', {
        'DEFAULT': {'debug': False},
        'api': {'auth_strategy': 'keystone'},
        'placement_database': cloud.database('placement'),
        'keystone_authtoken': cloud.token('placement'),
    })
