# SPDX-License-Identifier: Apache-2.0

"""Mounts the file systems that volumes are files of.

Each has a folder of its own below the folder that Nova has for its kind,
named as Nova's own driver names it, so that each finds what the other has
mounted. Which volumes use a mount is counted by the caller.
"""

from collections.abc import Callable
from collections.abc import Mapping
import dataclasses
import errno
import os
import re
from typing import Any

from nova.privsep import fs
from nova.privsep import libvirt as privsep_libvirt
from nova.privsep import path as privsep_path
from nova import utils
from os_brick import initiator
from os_brick.initiator import connector
from os_brick.privileged import rootwrap
from oslo_log import log as logging
from oslo_utils import fileutils

import nova.conf
from nova_libvirt_driver.volumes import connection as connection_module

CONF = nova.conf.CONF
LOG = logging.getLogger(__name__)

_USER = re.compile(r'(user(?:name)?)=(?:[^ ,]+\\)?([^ ,]+)')
_PASS = re.compile(r'\bpass(?:wd)?=')
_VZ_SHARE = re.compile(r'(?:\S+:/)?([a-zA-Z0-9_-]+)(?::\S+)?')
_SYSTEMD = '/run/systemd/system'
_SERVED = 'fuse'


@dataclasses.dataclass(frozen=True, slots=True)
class _Kind:
    """One kind of file system."""

    base: str
    """Option that names the folder of the mounts."""
    types: tuple[str, ...]
    """What the kernel calls such a file system."""
    mount: Callable[
        [connection_module.VolumeConnection, str, dict[str, Any]], None]


def mount(
        connection: connection_module.VolumeConnection,
        info: dict[str, Any]) -> str:
    """Mount the file system of a volume, and return the path of its file.

    :raises VolumeFailure: something else is there, or nothing
    """
    kind, folder = _KINDS[connection.protocol], folder_of(connection)
    if _is_dead(folder):
        LOG.info('The program that served %s has ended; it is mounted again',
                 folder)
        # Lazily: the guests that use it, whose disks fail until they are
        # started again, would keep it there.
        rootwrap.execute_root('umount', '--lazy', folder)
    if not _type_at(folder):
        kind.mount(connection, folder, info)
    # Not what a program says of it: images would be written into the bare
    # folder, on the disk of the host.
    found = _type_at(folder)
    if found not in kind.types:
        raise connection.failure(
            f'its file system is not mounted at {folder}, where there is '
            f'{found or "nothing"}')
    return os.path.join(folder, os.path.basename(connection.text('name')))


def unmount(connection: connection_module.VolumeConnection) -> None:
    """Unmount the file system of a volume, which no volume uses; idempotent.

    :raises ProcessExecutionError: something else uses it
    """
    folder = folder_of(connection)
    if connection.protocol == 'vzstorage' or not _type_at(folder):
        # Nova's own driver leaves Virtuozzo Storage mounted, too.
        return
    if connection.protocol == 'quobyte' and not os.path.isdir(_SYSTEMD):
        privsep_libvirt.unprivileged_umount(folder)
    else:
        fs.umount(folder)
    privsep_path.rmdir(folder)


def folder_of(connection: connection_module.VolumeConnection) -> str:
    """Return where the file system of a volume is mounted."""
    export = connection.text('export').removeprefix('quobyte://')
    return os.path.join(
        str(CONF.libvirt[_KINDS[connection.protocol].base]),
        utils.get_hash_str(export))


def _nfs(
        connection: connection_module.VolumeConnection, folder: str,
        info: Mapping[str, Any]) -> None:
    options = []
    if CONF.libvirt.nfs_mount_options:
        options += ['-o', CONF.libvirt.nfs_mount_options]
    options += str(connection.data.get('options') or '').split()
    fileutils.ensure_tree(folder)
    fs.mount('nfs', connection.text('export'), folder, options)


def _smbfs(
        connection: connection_module.VolumeConnection, folder: str,
        info: Mapping[str, Any]) -> None:
    options = ' '.join((str(connection.data.get('options') or ''),
                        CONF.libvirt.smbfs_mount_options or ''))
    if _USER.search(options):
        # The kernel wants the domain elsewhere.
        options = _USER.sub(r'\1=\2', options)
    else:
        options += ' -o username=guest'
    # The longer word is one that logs mask.
    options = _PASS.sub('password=', options)
    fileutils.ensure_tree(folder)
    fs.mount('cifs', connection.text('export'), folder,
             options.strip(', ').split())


def _quobyte(
        connection: connection_module.VolumeConnection, folder: str,
        info: Mapping[str, Any]) -> None:
    # A process that systemd does not start for it would end with the service.
    run = (privsep_libvirt.systemd_run_qb_mount if os.path.isdir(_SYSTEMD)
           else privsep_libvirt.unprivileged_qb_mount)
    fileutils.ensure_tree(folder)
    run(connection.text('export').removeprefix('quobyte://'), folder,
        cfg_file=CONF.libvirt.quobyte_client_cfg)


def _vzstorage(
        connection: connection_module.VolumeConnection, folder: str,
        info: dict[str, Any]) -> None:
    libvirt = CONF.libvirt
    share = _VZ_SHARE.fullmatch(connection.text('export'))
    if share is None:
        # It is not quoted: there may be a password in it.
        raise connection.failure('its share is not of the form '
                                 '[server[,server...]:/]cluster[:password]')
    named = {'cluster_name': share[1]}
    options = ['-u', libvirt.vzstorage_mount_user,
               '-g', libvirt.vzstorage_mount_group,
               '-m', libvirt.vzstorage_mount_perms,
               '-l', libvirt.vzstorage_log_path % named]
    if libvirt.vzstorage_cache_path:
        options += ['-C', libvirt.vzstorage_cache_path % named]
    info['data']['options'] = ' '.join(
        [*options, *libvirt.vzstorage_mount_opts])
    connector.InitiatorConnector.factory(
        initiator.VZSTORAGE, utils.get_root_helper(),
        vzstorage_mount_point_base=libvirt.vzstorage_mount_point_base,
    ).connect_volume(info['data'])


def _is_dead(folder: str) -> bool:
    """Say whether a mount is left of a program that has ended.

    Only of those that a program serves: a server that is down would not
    answer.
    """
    if not _type_at(folder).startswith(_SERVED):
        return False
    try:
        os.stat(folder)
    except OSError as error:
        return error.errno == errno.ENOTCONN
    return False


def _type_at(folder: str) -> str:
    """Return the type of the file system mounted at a folder, or nothing."""
    found = ''
    # Not of the folder itself: a server that is down would not answer.
    folder = os.path.join(
        os.path.realpath(os.path.dirname(folder)), os.path.basename(folder))
    with open('/proc/self/mountinfo', encoding='utf-8',
              errors='surrogateescape') as file:
        for line in file:
            before, _, after = line.partition(' - ')
            if before.split(' ')[4] == folder:
                # The last one is on top.
                found = after.split(' ')[0]
    return found


_KINDS = {
    'nfs': _Kind('nfs_mount_point_base', ('nfs', 'nfs4'), _nfs),
    'quobyte': _Kind(
        'quobyte_mount_point_base', ('fuse.quobyte', 'fuse'), _quobyte),
    'smbfs': _Kind('smbfs_mount_point_base', ('cifs', 'smb3'), _smbfs),
    'vzstorage': _Kind(
        'vzstorage_mount_point_base', ('fuse.vstorage', 'fuse.pstorage',
                                       'fuse'), _vzstorage),
}
