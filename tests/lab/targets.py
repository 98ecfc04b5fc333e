# SPDX-License-Identifier: Apache-2.0

"""Storage that the lab's own kernel serves, and connects itself to again."""

from collections.abc import Callable
import pathlib
import subprocess
from typing import Any
import uuid

import fixtures

from nova_libvirt_driver.testing import fake_ports
from tests.lab import base

DISK = '/dev/disk/by-id/virtio-spare'
SIZE_BYTES = 4 << 30
VOLUME = '6ca404f3-d844-4169-bb96-bc792f37de98'

_PORTALS = ('192.0.2.1', '192.0.2.2')
_IQN = 'iqn.2026-01.lab.test:target'
_INITIATOR = 'iqn.2026-01.lab.test:initiator'
_NQN = 'nqn.2026-01.lab.test:disk'
_USER, _PASSWORD = 'lab', 'twelve-or-more'
_NVMET = pathlib.Path('/sys/kernel/config/nvmet')
_MULTIPATH = '''\
defaults {
 user_friendly_names no
 find_multipaths no
}
blacklist {
 devnode "^(vd|nvme)"
}
'''


def write(path: str | pathlib.Path, content: bytes) -> None:
    """Write the begin of a disk or file, and make sure that it is there."""
    with open(path, 'r+b') as file:
        file.write(content)
        file.flush()
    base.run('sync')


class LogicalVolume(fixtures.Fixture):
    """A volume that can grow."""

    path = '/dev/lab/volume'

    def __init__(self, size_bytes: int) -> None:
        self._size_bytes = size_bytes

    def _setUp(self) -> None:
        base.run('vgcreate', '--yes', 'lab', '/dev/disk/by-id/virtio-lvm')
        self.addCleanup(base.run, 'vgremove', '--yes', '--force', 'lab')
        base.run('lvcreate', '--yes', '--wipesignatures', 'n', '--zero', 'y',
                 '--size', f'{self._size_bytes}b', '--name', 'volume', 'lab')


class Iscsi(fixtures.Fixture):
    """A disk behind two portals, with CHAP."""

    def __init__(
            self, *, device: str = DISK, multipath: bool = False) -> None:
        self._device = device
        self._multipath = multipath

    def _setUp(self) -> None:
        pathlib.Path('/etc/iscsi/initiatorname.iscsi').write_text(
            f'InitiatorName={_INITIATOR}\n')
        self.start()
        self.addCleanup(base.run, 'targetcli', 'clearconfig', 'confirm=True')
        self.configure(
            f'/backstores/block create name=disk dev={self._device}',
            f'/iscsi create {_IQN}',
            f'/iscsi/{_IQN}/tpg1/portals delete 0.0.0.0 3260',
            *(f'/iscsi/{_IQN}/tpg1/portals create {address}'
              for address in _PORTALS),
            f'/iscsi/{_IQN}/tpg1/luns create /backstores/block/disk',
            f'/iscsi/{_IQN}/tpg1 set attribute authentication=1',
            f'/iscsi/{_IQN}/tpg1/acls create {_INITIATOR}',
            f'/iscsi/{_IQN}/tpg1/acls/{_INITIATOR} set auth userid={_USER} '
            f'password={_PASSWORD}')
        base.run('systemctl', 'start', 'iscsid')
        if self._multipath:
            pathlib.Path('/etc/multipath.conf').write_text(_MULTIPATH)
            base.run('systemctl', 'start', 'multipathd')
            self.addCleanup(base.run, 'systemctl', 'stop', 'multipathd',
                            'multipathd.socket')

    def grow(self, size_bytes: int) -> None:
        """Let the logical volume behind it have another size."""
        base.run('lvextend', '--size', f'{size_bytes}b', self._device)

    def read(self) -> bytes:
        """Return the begin of what is behind it, past all caches."""
        return subprocess.run(
            ['dd', f'if={self._device}', 'bs=1M', 'count=1', 'iflag=direct'],
            check=True, capture_output=True).stdout

    def stop(self) -> None:
        """Answer none any more; the sessions stay, and wait."""
        for address in _PORTALS:
            base.run('ip', 'address', 'delete', f'{address}/32', 'dev', 'lo')

    def start(self) -> None:
        """Answer again."""
        for address in _PORTALS:
            base.run('ip', 'address', 'replace', f'{address}/32', 'dev', 'lo')

    @staticmethod
    def wait_state(wanted: str) -> None:
        """Wait until the kernel calls all sessions so, as LOGGED_IN."""
        fake_ports.wait_until(
            lambda: {path.read_text().strip() for path in pathlib.Path(
                '/sys/class/iscsi_session').glob('*/state')} == {wanted},
            wanted, timeout_s=120.0)

    @staticmethod
    def configure(*lines: str) -> None:
        """Tell the target to do something, in its own words."""
        subprocess.run(['targetcli'], input='\n'.join(lines) + '\n',
                       text=True, check=True, capture_output=True)

    @staticmethod
    def connection_info(**data: Any) -> dict[str, Any]:
        """Return what the volume service would say."""
        return {'driver_volume_type': 'iscsi', 'serial': VOLUME, 'data': {
            'volume_id': VOLUME, 'target_discovered': False,
            'encrypted': False, 'qos_specs': None, 'access_mode': 'rw',
            'target_iqn': _IQN, 'target_portal': f'{_PORTALS[0]}:3260',
            'target_lun': 0, 'target_iqns': [_IQN] * len(_PORTALS),
            'target_portals': [f'{one}:3260' for one in _PORTALS],
            'target_luns': [0] * len(_PORTALS), 'auth_method': 'CHAP',
            'auth_username': _USER, 'auth_password': _PASSWORD, **data}}

    @staticmethod
    def sessions() -> list[str]:
        """Return the portals to which the host is connected."""
        done = subprocess.run(['iscsiadm', '-m', 'session'],
                              capture_output=True, text=True)
        return sorted(line.split()[2].partition(':')[0]
                      for line in done.stdout.splitlines())


class Nfs(fixtures.Fixture):
    """A folder that is exported over NFS 4.2."""

    def _setUp(self) -> None:
        self.folder = pathlib.Path('/srv/nfs')
        self.folder.mkdir(exist_ok=True)
        self.folder.chmod(0o777)
        pathlib.Path('/etc/exports').write_text(
            f'{self.folder} 127.0.0.1(rw,no_root_squash,insecure,fsid=1)\n')
        settings = pathlib.Path('/etc/nfs.conf.d/lab.conf')
        settings.parent.mkdir(exist_ok=True)
        settings.write_text('[nfsd]\nvers3=n\nthreads=2\n'
                            '[mountd]\nmanage-gids=n\n')
        base.run('systemctl', 'start', 'nfs-server')
        self.addCleanup(base.run, 'systemctl', 'stop', 'nfs-server')

    def connection_info(self, name: str, **data: Any) -> dict[str, Any]:
        """Return what the volume service would say."""
        return {'driver_volume_type': 'nfs', 'serial': VOLUME, 'data': {
            'volume_id': VOLUME, 'export': f'127.0.0.1:{self.folder}',
            'name': name, 'options': None, 'format': 'raw', **data}}

    @staticmethod
    def mounts() -> list[str]:
        """Return what the host has mounted over NFS."""
        done = subprocess.run(
            ['findmnt', '--noheadings', '--output', 'source', '--types',
             'nfs4'], capture_output=True, text=True)
        return done.stdout.split()


class Nvme(fixtures.Fixture):
    """The spare disk over NVMe/TCP."""

    def _setUp(self) -> None:
        base.run('modprobe', '-a', 'nvmet_tcp', 'nvme_tcp')
        subsystem = _NVMET / 'subsystems' / _NQN
        namespace = subsystem / 'namespaces' / '1'
        port = _NVMET / 'ports' / '1'
        self.uuid = str(uuid.uuid4())
        for folder in (namespace, port):
            folder.mkdir(parents=True)
        self.addCleanup(self._remove, subsystem, namespace, port)
        for path, value in (
                (subsystem / 'attr_allow_any_host', '1'),
                (namespace / 'device_path',
                 str(pathlib.Path(DISK).resolve())),
                (namespace / 'device_uuid', self.uuid),
                (namespace / 'enable', '1'),
                (port / 'addr_trtype', 'tcp'), (port / 'addr_adrfam', 'ipv4'),
                (port / 'addr_traddr', '127.0.0.1'),
                (port / 'addr_trsvcid', '4420')):
            path.write_text(value)
        (port / 'subsystems' / _NQN).symlink_to(subsystem)

    @staticmethod
    def _remove(subsystem: pathlib.Path, namespace: pathlib.Path,
                port: pathlib.Path) -> None:
        (port / 'subsystems' / _NQN).unlink(missing_ok=True)
        for folder in (port, namespace, subsystem):
            folder.rmdir()

    def connection_info(self, **data: Any) -> dict[str, Any]:
        """Return what the volume service would say."""
        return {'driver_volume_type': 'nvmeof', 'serial': VOLUME, 'data': {
            'volume_id': VOLUME, 'target_nqn': _NQN, 'vol_uuid': self.uuid,
            'portals': [('127.0.0.1', '4420', 'tcp')], 'ns_id': 1, **data}}

    @staticmethod
    def controllers() -> list[str]:
        """Return the kernel's connections, by their names."""
        return sorted(
            one.name for one in pathlib.Path('/sys/class/nvme').glob('*')
            if (one / 'transport').read_text().strip() == 'tcp')


def wait_gone(look: Callable[[], list[str]]) -> None:
    """Wait until nothing is connected any more."""
    fake_ports.wait_until(
        lambda: not look(), 'nothing that is connected', timeout_s=60.0)
