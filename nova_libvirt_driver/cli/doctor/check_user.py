# SPDX-License-Identifier: Apache-2.0

"""The checks of ``doctor`` that ask what the user of the service may do.

They are of this process's user: run doctor as the user of the service.
"""

from collections.abc import Callable
from collections.abc import Collection
import grp
import os

from nova_libvirt_driver.cli.doctor import check_connection
from nova_libvirt_driver.cli.doctor import checks
from nova_libvirt_driver import exception
from nova_libvirt_driver.host import host_capabilities
from nova_libvirt_driver.privileged import client

USER = checks.Topic('user')
GROUP = checks.Topic("QEMU's group")

_ROOT = 'root'


def privileges(
        link: check_connection.Link, *, name: str = '',
        start: Callable[[], object] = client.start) -> checks.Check:
    """Check that console logs and disks of guests can be read.

    :param name: user of this process; default is to ask
    :param start: starts the privileged process
    """
    name = name or client.user_name()
    if not _matters(link):
        return USER.skipped(f'{name}, and so is the hypervisor')
    if name == _ROOT:
        return USER.ok(f'{name}, who may read all that guests leave')
    try:
        start()
    except exception.PrivilegesMissing as error:
        return USER.warning(
            f'{name} cannot start the privileged process '
            f'({error.fields["reason"]}): console logs, and disks that '
            "libvirt leaves to root, can't be read", error.next_step)
    return USER.ok(f'{name}, and the privileged process can be started')


def group(
        link: check_connection.Link, virt_type: str, *, name: str = '',
        groups: Collection[int] | None = None) -> checks.Check:
    """Check that the user can share files with QEMU.

    :param groups: of this process; default is to ask
    """
    name = name or client.user_name()
    if not _matters(link) or name == _ROOT:
        return GROUP.skipped(f'not needed by {name}')
    _, gid = host_capabilities.qemu_user(link.capabilities, virt_type)
    if gid is None:
        return GROUP.skipped('libvirt does not say which it is')
    qemu = _group_name(gid)
    if gid in (os.getgroups() if groups is None else groups):
        return GROUP.ok(f'{name} is in {qemu}')
    return GROUP.warning(
        f'{name} is not in {qemu}: QEMU may not get at the disks of guests, '
        f'nor {name} at those that QEMU has',
        f'usermod --append --groups {qemu} {name}, then start the service '
        'again')


def _matters(link: check_connection.Link) -> bool:
    uri = link.status.uri
    return not (check_connection.is_in_process(uri)
                or check_connection.is_remote(uri)
                or link.facts.hypervisor_type != 'QEMU')


def _group_name(gid: int) -> str:
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)
