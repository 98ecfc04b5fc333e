# SPDX-License-Identifier: Apache-2.0

"""What runs with the rights of the privileged process.

Each function takes names out of fixed sets, and checks the file before it
opens it. Nothing is to be undone if this process, or the service, is killed
at any point: libvirt sets owner and group of all disks again at the next
start of a guest.
"""

import os
import stat

from nova_libvirt_driver.privileged import context
from nova_libvirt_driver.privileged import names
from nova_libvirt_driver.privileged import place

MAX_LOG_BYTES = 1 << 20

_ROOT_GID = 0


@context.CONTEXT.entrypoint
def read_log_end(
        instance: str, number: int, limit_bytes: int) -> tuple[
            bytes, tuple[int, int]]:
    """Return the end of a console log, and what tells it from others.

    Such a log is root's or that of QEMU's user.

    :param instance: name of the instance's folder
    :param number: -1 for the newest log, else the suffix of an older one
    :param limit_bytes: at most this much, and never more than 1 MiB
    :raises OSError: there is none, or it must not be read
    """
    if not names.is_instance(instance) or not (
            -1 <= number < names.OLD_LOGS):
        raise place.refusal('this is not the name of a console log')
    name = names.CONSOLE_LOG + (f'.{number}' if number >= 0 else '')
    limit_bytes = max(0, min(limit_bytes, MAX_LOG_BYTES))
    with place.opened(instance, name) as file:
        offset = max(0, file.status.st_size - limit_bytes)
        return (os.pread(file.descriptor, limit_bytes, offset),
                (file.status.st_dev, file.status.st_ino))


@context.CONTEXT.entrypoint
def let_read(folder: str, name: str) -> None:
    """Let the service read a disk that libvirt has given away.

    Only the group of the file changes, to that of the service. Its owner
    stays, so QEMU goes on with it.

    :param folder: of the disk, relative to that of the instances
    :raises OSError: it is not there, or must not be given
    """
    if not names.is_disk(folder, name):
        raise place.refusal('this is not the name of a disk')
    with place.opened(folder, name) as file:
        status = file.status
        if status.st_uid not in file.qemu_uids and (
                status.st_gid != _ROOT_GID):
            # QEMU may be let in by the group alone.
            raise place.refusal('its group may be the one that QEMU needs')
        if not status.st_mode & stat.S_IRGRP:
            raise place.refusal('its mode lets no group read it')
        os.fchown(file.descriptor, -1, file.service.pw_gid)


@context.CONTEXT.entrypoint
def give_back(instance: str, name: str) -> None:
    """Make the service the owner of its disk, which no process has open.

    This is what libvirt does itself when it remembers the owner.

    :param instance: name of the instance's folder
    :raises OSError: it is not there, or must not be given
    """
    if not names.is_instance(instance) or not names.is_disk(instance, name):
        raise place.refusal("this is not the name of an instance's disk")
    with place.opened(instance, name) as file:
        os.fchown(file.descriptor, file.service.pw_uid, file.service.pw_gid)
