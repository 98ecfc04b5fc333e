# SPDX-License-Identifier: Apache-2.0

"""What the files of all services have in common."""

import dataclasses
import pathlib
from typing import Any

Section = dict[str, Any]
Sections = dict[str, Section]

# Logs of Nova and Cinder are at the level of debug, but for these.
LOG_LEVELS = ','.join((
    'amqp=WARN', 'oslo.messaging=INFO', 'oslo_messaging=INFO',
    'keystonemiddleware=WARN', 'urllib3=WARN', 'stevedore=WARN',
    'taskflow=WARN', 'keystoneauth=WARN', 'oslo.cache=INFO',
    'oslo_policy=INFO', 'oslo_concurrency=INFO', 'ovsdbapp=INFO', 'ovs=INFO',
    'routes.middleware=INFO',
))

DATABASE_POOL = {
    'max_pool_size': 5, 'max_overflow': 20, 'connection_recycle_time': 600}


@dataclasses.dataclass(frozen=True)
class Cloud:
    """The choices that ``up`` made."""

    state: pathlib.Path
    venv: pathlib.Path
    compute_venv: pathlib.Path
    address: str
    password: str
    region: str
    hosts: int
    compute_driver: str
    """Of all hosts, or of each, with spaces between."""

    virt_type: str
    concurrency: str
    compute_options: str
    """More of nova-compute: SECTION.NAME=VALUE, with spaces between."""

    rbd_secret: str
    """Empty in a cloud without volumes."""

    @property
    def etc(self) -> pathlib.Path:
        """Where the files go."""
        return self.state / 'etc'

    @property
    def host_names(self) -> list[str]:
        """The compute hosts."""
        return [f'h{n}' for n in range(1, self.hosts + 1)]

    @property
    def broker(self) -> str:
        """The transport URL."""
        return f'rabbit://guest:guest@{self.address}:5672/'

    @property
    def cache(self) -> Section:
        """The section of a service that caches."""
        return {
            'enabled': True,
            'backend': 'dogpile.cache.memcached',
            'memcache_servers': f'{self.address}:11211',
        }

    def url(self, port: int) -> str:
        """Return the address of a service."""
        return f'http://{self.address}:{port}'

    def database(self, name: str) -> Section:
        """Return the section of a service with a database."""
        socket = self.state / 'mysql' / 'mysqld.sock'
        return DATABASE_POOL | {
            'connection': f'mysql+pymysql://root@localhost/{name}'
            f'?unix_socket={socket}&charset=utf8mb4'}

    def auth(self, user: str) -> Section:
        """Return how a service proves who it is."""
        return {
            'auth_url': self.url(5000) + '/v3',
            'auth_type': 'password',
            'username': user,
            'password': self.password,
            'project_name': 'service',
            'user_domain_id': 'default',
            'project_domain_id': 'default',
            'region_name': self.region,
        }

    def token(self, user: str) -> Section:
        """Return how a service checks who asks."""
        return self.auth(user) | {
            'www_authenticate_uri': self.url(5000) + '/v3',
            'memcached_servers': f'{self.address}:11211',
            'service_token_roles': 'service',
            'service_token_roles_required': True,
        }

    def key_manager(self, service: str) -> Section:
        """Return the section of the keys of encrypted volumes.

        There is one key for all of them, in the place of Barbican.
        """
        return {
            'backend': f'{service}.keymgr.conf_key_mgr.ConfKeyManager',
            'fixed_key': '0' * 64}

    def locks(self, name: str) -> Section:
        """Return the section of a service's lock files."""
        return {'lock_path': self.state / 'lock' / name}


def write(path: pathlib.Path, sections: Sections) -> None:
    """Write a file in the format of oslo.config."""
    lines = []
    for name, section in sections.items():
        lines.append(f'[{name}]')
        lines += [f'{key} = {_text(section[key])}' for key in section]
        lines.append('')
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text('\n'.join(lines))


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
