# SPDX-License-Identifier: Apache-2.0

"""Glance, whose store is a folder."""

import shutil

from config import cloud as cloud_config


def write(cloud: cloud_config.Cloud) -> None:
    """Write its files."""
    folder = cloud.etc / 'glance'
    store = cloud.state / 'glance'
    for name in ('images', 'staging', 'tasks', 'tmp'):
        (store / name).mkdir(parents=True, exist_ok=True)
    cloud_config.write(folder / 'glance-api.conf', {
        'DEFAULT': {
            'enabled_backends': 'file:file',
            'enabled_import_methods':
                '[glance-direct,web-download,copy-image]',
            'show_multiple_locations': True,
            'node_staging_uri': f'file://{store}/tmp',
            'worker_self_reference_url': cloud.url(9292),
            'bind_host': cloud.address,
        },
        'glance_store': {'default_backend': 'file'},
        'file': {'filesystem_store_datadir': store / 'images'},
        'os_glance_staging_store': {
            'filesystem_store_datadir': store / 'staging'},
        'os_glance_tasks_store': {
            'filesystem_store_datadir': store / 'tasks'},
        'database': cloud.database('glance'),
        'keystone_authtoken': cloud.token('glance'),
        'paste_deploy': {'flavor': 'keystone'},
        'oslo_concurrency': cloud.locks('glance'),
    })
    shutil.copy(
        cloud.venv / 'etc' / 'glance' / 'glance-api-paste.ini', folder)
