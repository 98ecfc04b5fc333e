# SPDX-License-Identifier: Apache-2.0

"""uWSGI, which runs the web services."""

from config import cloud as cloud_config

# Name, module, port, threads.
SERVICES = (
    ('keystone', 'keystone.wsgi.api', 5000, 4),
    ('placement', 'placement.wsgi.api', 8778, 4),
    ('neutron', 'neutron.wsgi.api', 9696, 8),
    ('nova-api', 'nova.wsgi.osapi_compute', 8774, 8),
    ('nova-metadata', 'nova.wsgi.metadata', 8775, 2),
    ('cinder-api', 'cinder.wsgi.api', 8776, 4),
)


def write(cloud: cloud_config.Cloud) -> None:
    """Write a file for each service."""
    for name, module, port, threads in SERVICES:
        section = {
            'module': f'{module}:application',
            'venv': cloud.venv,
            'http-socket': f'{cloud.address}:{port}',
            'master': True,
            'processes': 1,
            'threads': threads,
            'enable-threads': True,
            'lazy-apps': True,
            'die-on-term': True,
            'buffer-size': 65535,
            'socket-timeout': 60,
            'disable-logging': True,
            'need-app': True,
            'worker-reload-mercy': 5,
            'add-header': 'Connection: close',
            'start-time': '%t',
            'hook-master-start': 'unix_signal:15 gracefully_kill_them_all',
        }
        if name == 'cinder-api':
            section['pyargv'] = (
                f'--config-file {cloud.etc}/cinder/cinder.conf')
        cloud_config.write(
            cloud.etc / 'uwsgi' / f'{name}.ini', {'uwsgi': section})
