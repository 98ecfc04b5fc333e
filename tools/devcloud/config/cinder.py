# SPDX-License-Identifier: Apache-2.0

"""Cinder, whose only back end is the Ceph of the cloud."""

import shutil

from config import cloud as cloud_config

# Cinder runs "sudo cinder-rootwrap FILE COMMAND"; it is root already.
SUDO = '''#!/bin/sh
[ "$1" != cinder-rootwrap ] || shift 2
exec "$@"
'''

# QEMU measures the processor for the key of an encrypted image, and fails when
# it gets too little of it.
QEMU_IMG = '''#!/bin/sh
PATH=${PATH#*:}
case "$*" in
create*'-f luks '*)
    for try in 1 2 3 4 5 6 7 8 9; do
        qemu-img "$@" && exit
    done
esac
exec qemu-img "$@"
'''


def write(cloud: cloud_config.Cloud) -> None:
    """Write its files, unless the cloud has no volumes."""
    if not cloud.rbd_secret:
        return
    folder = cloud.etc / 'cinder'
    shutil.copytree(cloud.venv / 'etc' / 'cinder', folder,
                    dirs_exist_ok=True)
    programs = cloud.state / 'cinder' / 'bin'
    programs.mkdir(parents=True, exist_ok=True)
    for name, text in (('sudo', SUDO), ('qemu-img', QEMU_IMG)):
        (programs / name).write_text(text)
        (programs / name).chmod(0o755)
    cloud_config.write(folder / 'cinder.conf', {
        'DEFAULT': _default(cloud),
        'ceph': _ceph(cloud),
        'database': cloud.database('cinder'),
        'keystone_authtoken': cloud.token('cinder'),
        'service_user': cloud.auth('cinder') | {
            'send_service_user_token': True},
        'key_manager': cloud.key_manager('cinder'),
        'nova': cloud.auth('nova') | {'interface': 'public'},
        'coordination': {
            'backend_url': f'file://{cloud.state}/cinder/coordination'},
        'oslo_concurrency': cloud.locks('cinder'),
    })


def _default(cloud: cloud_config.Cloud) -> cloud_config.Section:
    folder = cloud.etc / 'cinder'
    return {
        'transport_url': cloud.broker,
        'my_ip': cloud.address,
        'host': 'h1',
        'state_path': cloud.state / 'cinder',
        'auth_strategy': 'keystone',
        'debug': True,
        'default_log_levels': cloud_config.LOG_LEVELS,
        'api_paste_config': folder / 'api-paste.ini',
        'resource_query_filters_file': folder / 'resource_filters.json',
        'rootwrap_config': folder / 'rootwrap.conf',
        'enabled_backends': 'ceph',
        'image_conversion_dir': cloud.state / 'cinder' / 'conversion',
        'volume_clear': 'none',
        'enable_force_upload': True,
        'public_endpoint': cloud.url(8776),
    }


def _ceph(cloud: cloud_config.Cloud) -> cloud_config.Section:
    return {
        'volume_driver': 'cinder.volume.drivers.rbd.RBDDriver',
        'volume_backend_name': 'ceph',
        'rbd_pool': 'volumes',
        'rbd_user': 'cinder',
        'rbd_ceph_conf': cloud.state / 'ceph' / 'ceph.conf',
        'rbd_secret_uuid': cloud.rbd_secret,
        'rbd_exclusive_cinder_pool': True,
        'rados_connect_timeout': 10,
        'report_discard_supported': True,
    }
