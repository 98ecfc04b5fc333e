# SPDX-License-Identifier: Apache-2.0

"""Checks of the machine itself: folders, names, clock; no libvirt."""

import ipaddress
import os
import pathlib
import pwd
import shutil
import socket
import stat
import time

import psutil

from nova_libvirt_driver.cli.doctor import checks

_INSTANCES = checks.Topic('instances_path')
_STATE = checks.Topic('state_path')
_HOST = checks.Topic('host name')
_ADDRESS = checks.Topic('my_ip')
_CLOCK = checks.Topic('clock')

_ACL = 'system.posix_acl_access'
_GIB = 1024 ** 3
_LOW_GIB = 10
_TOO_LOW_GIB = 1
_CLOCK_SLACK_S = 86400


def instances_path(path: str, qemu_uid: int | None = None) -> checks.Check:
    """Check the folder of the instances' disks, and its room.

    :param qemu_uid: user that QEMU runs as; None where it does not matter
    """
    bad = _not_writable(_INSTANCES, path) or _unreachable(path, qemu_uid)
    if bad is not None:
        return bad
    free_gib = shutil.disk_usage(_existing(path)).free / _GIB
    return room(path, free_gib)


def _unreachable(path: str, uid: int | None) -> checks.Check | None:
    """Say which folder on the way keeps QEMU from the disks, if one does."""
    if not uid:
        return None
    there = pathlib.Path(os.path.realpath(_existing(path)))
    name, groups = _groups(uid)
    for folder in (*reversed(there.parents), there):
        if not _may_enter(folder, uid, groups):
            return _INSTANCES.failure(
                f'{path}: QEMU runs as {name}, which may not enter {folder}',
                f'let it pass (chmod o+x {folder}), or set instances_path '
                'to a folder that it can reach')
    return None


def _groups(uid: int) -> tuple[str, list[int]]:
    try:
        user = pwd.getpwuid(uid)
    except KeyError:
        return f'user {uid}', []
    return f'user {user.pw_name}', os.getgrouplist(user.pw_name, user.pw_gid)


def _may_enter(
        folder: pathlib.Path, uid: int, groups: list[int]) -> bool:
    found = folder.stat()
    if _ACL in os.listxattr(folder):
        # Whom it lets in, only the system can say.
        return True
    if found.st_uid == uid:
        return bool(found.st_mode & stat.S_IXUSR)
    if found.st_gid in groups:
        return bool(found.st_mode & stat.S_IXGRP)
    return bool(found.st_mode & stat.S_IXOTH)


def room(path: str, free_gib: float) -> checks.Check:
    """Check the room of the instances' file system."""
    detail = f'{path}: {free_gib:.1f} GiB free'
    fix = 'make room, or set instances_path to a larger file system'
    if free_gib < _TOO_LOW_GIB:
        return _INSTANCES.failure(detail, fix)
    if free_gib < _LOW_GIB:
        return _INSTANCES.warning(detail, fix)
    return _INSTANCES.ok(detail)


def state_path(path: str) -> checks.Check:
    """Check the folder of what the service must remember."""
    return _not_writable(_STATE, path) or _STATE.ok(_described(path))


def host_name(host: str) -> checks.Check:
    """Check the name under which the service is known."""
    if not host or any(char.isspace() for char in host):
        return _HOST.failure(
            f'{host!r} cannot name a host', 'correct [DEFAULT] host')
    if host.partition('.')[0] == 'localhost':
        return _HOST.warning(
            f'{host}: every host has this name',
            'set [DEFAULT] host, or the name of the machine')
    return _HOST.ok(host)


def my_ip(address: str) -> checks.Check:
    """Check the address that other hosts get."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return _resolved(address)
    if parsed.is_loopback or parsed.is_unspecified:
        return _ADDRESS.warning(
            f'{address} leads no other host here',
            'set [DEFAULT] my_ip to an address of this machine')
    if address not in _own_addresses():
        return _ADDRESS.warning(
            f'{address} is not an address of this machine',
            'correct [DEFAULT] my_ip')
    return _ADDRESS.ok(address)


def clock() -> checks.Check:
    """Check that the clock is not behind the files it has dated."""
    behind_s = os.stat(__file__).st_mtime - time.time()
    if behind_s > _CLOCK_SLACK_S:
        return _CLOCK.failure(
            f'is {behind_s / 86400:.0f} days behind installed files',
            'set it, and keep it right with an NTP service')
    return _CLOCK.ok(time.strftime('%Y-%m-%d %H:%M:%S %z'))


def _resolved(name: str) -> checks.Check:
    try:
        found = socket.getaddrinfo(name, None)[0][4][0]
    except OSError as error:
        return _ADDRESS.failure(
            f'{name} cannot be resolved: {error.strerror or error}',
            'set [DEFAULT] my_ip to an address of this machine')
    return _ADDRESS.ok(f'{name} ({found})')


def _own_addresses() -> set[str]:
    return {
        address.address.partition('%')[0]
        for addresses in psutil.net_if_addrs().values()
        for address in addresses}


def _not_writable(topic: checks.Topic, path: str) -> checks.Check | None:
    there = _existing(path)
    if not os.path.isdir(there):
        return topic.failure(
            f'{there} is not a folder', f'correct [DEFAULT] {topic.name}')
    if os.access(there, os.W_OK | os.X_OK):
        return None
    return topic.warning(
        f'{path} cannot be written by this user',
        'run doctor as the user of the service; if that is what you did, '
        f'correct the owner of {there}')


def _existing(path: str) -> str:
    while not os.path.lexists(path):
        path = os.path.dirname(path)
    return path


def _described(path: str) -> str:
    return path if os.path.isdir(path) else f'{path}, not made yet'
