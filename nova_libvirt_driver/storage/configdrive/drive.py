# SPDX-License-Identifier: Apache-2.0

"""Config drives as files on the host."""

from collections.abc import Mapping
import contextlib
import glob
import os
import shutil

from nova_libvirt_driver.spec import configdrive as configdrive_spec
from nova_libvirt_driver.storage import atomic
from nova_libvirt_driver.storage.configdrive import iso
from nova_libvirt_driver.storage.configdrive import limits
from nova_libvirt_driver.storage.configdrive import vfat
from nova_libvirt_driver.storage import tool as tool_module


def build(
        path: str, files: Mapping[str, bytes],
        format: configdrive_spec.ConfigDriveFormat,
        tool: tool_module.Tool) -> None:
    """Make a drive, or leave the one that was there; may take a second.

    For one path by one caller at a time: what is left of another that was
    killed is removed.

    :param files: contents by path below the root of the drive
    :param tool: makes a vfat; the other format takes no program
    :raises InvalidRequest: a path leads out of the drive, or it is too much
    :raises StorageFailure: there is no room, or a tool is missing
    """
    limits.check(files)
    _sweep(path)

    def fill(temporary: str) -> None:
        if format == configdrive_spec.ConfigDriveFormat.VFAT:
            vfat.fill(temporary, files, tool)
        else:
            iso.fill(temporary, files)

    atomic.make(path, fill)


def _sweep(path: str) -> None:
    folder, name = os.path.split(path)
    for left in glob.glob(f'.{glob.escape(name)}.*', root_dir=folder):
        place = os.path.join(folder, left)
        if os.path.isdir(place) and not os.path.islink(place):
            shutil.rmtree(place, ignore_errors=True)
        else:
            with contextlib.suppress(OSError):
                os.unlink(place)
