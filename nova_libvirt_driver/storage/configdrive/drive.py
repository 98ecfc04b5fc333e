# SPDX-License-Identifier: Apache-2.0

"""Config drives as files on the host.

As a CD it is ISO 9660 with Rock Ridge and Joliet: Linux reads the names of
Rock Ridge, Windows those of Joliet; those of plain ISO 9660 are only numbers.
As a disk it is one vfat file system, made without a mount.
"""

from collections.abc import Mapping
import contextlib
import dataclasses
import glob
import io
import os
import re
import secrets
import shutil
import tempfile
import typing

from nova_libvirt_driver import exception
from nova_libvirt_driver.spec import configdrive as configdrive_spec
from nova_libvirt_driver.spec import guest as guest_spec
from nova_libvirt_driver.spec import policy as policy_spec
from nova_libvirt_driver.storage import atomic
from nova_libvirt_driver.storage.configdrive import content
from nova_libvirt_driver.storage import tool as tool_module

if typing.TYPE_CHECKING:
    import pycdlib

MAX_MIB = 64
MAX_FILES = 1000
# What both ISO 9660 with its extensions and vfat can hold.
_MAX_NAME = 64
_MAX_DEPTH = 8
_NAME = re.compile(rf'[A-Za-z0-9._-]{{1,{_MAX_NAME}}}')

_BYTES = MAX_MIB * 1024 * 1024
_LABEL = 'config-2'

# Of vfat.
_SECTORS_PER_CLUSTER = 4
_CLUSTER_BYTES = _SECTORS_PER_CLUSTER * 512
_RESERVED_BYTES = 1024 * 1024
"""For both tables and the root folder."""
_ROOT_ENTRIES = 512
# A name of 64 letters takes 6 entries, of 32 bytes each.
_NAME_BYTES = 6 * 32


@dataclasses.dataclass(frozen=True, slots=True)
class ConfigDrives:
    """Makes the drives of guests."""

    policy: policy_spec.StoragePolicy
    tool: tool_module.Tool

    def make(self, spec: guest_spec.GuestSpec, path: str) -> None:
        """Make the drive of a guest that has one; see :func:`build`."""
        assert spec.config_drive is not None
        files = content.files(
            spec, random_seed=secrets.token_bytes(content.SEED_BYTES))
        build(path, files, spec.config_drive.format
              or self.policy.config_drive_format, self.tool)


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
    check(files)
    _sweep(path)

    def fill(temporary: str) -> None:
        if format == configdrive_spec.ConfigDriveFormat.VFAT:
            _fill_vfat(temporary, files, tool)
        else:
            _fill_iso(temporary, files)

    atomic.make(path, fill)


def check(files: Mapping[str, bytes]) -> None:
    """Refuse what no drive can hold, and paths that lead out of it.

    :raises InvalidRequest: says which path, or how much it is
    """
    if len(files) > MAX_FILES:
        raise _refused(f'{len(files)} files, of {MAX_FILES} at most')
    size = sum(map(len, files.values()))
    if size > _BYTES:
        raise _refused(f'{size} bytes, of {MAX_MIB} MiB at most')
    taken: dict[str, str] = {}
    for path in files:
        _check_path(path)
        for name in (*_parents(path), path):
            _claim(taken, name)
    inner = {parent for path in files for parent in _parents(path)}
    for path in sorted(inner & set(files)):
        raise _refused(f'{path!r} as a file and as a folder')


def _check_path(path: str) -> None:
    names = path.split('/')
    if len(names) > _MAX_DEPTH or not all(
            _NAME.fullmatch(name) and name.strip('.') for name in names):
        raise _refused(
            f'the path {path!r}; a path is relative, of {_MAX_DEPTH} names at '
            f'the most, and a name of letters, digits, dot, dash and '
            f'underscore')


def _claim(taken: dict[str, str], name: str) -> None:
    """Remember a name; vfat tells no small letters from capitals."""
    other = taken.setdefault(name.lower(), name)
    if other != name:
        raise _refused(f'{other!r} and {name!r}: they differ in case only')


def _parents(path: str) -> tuple[str, ...]:
    """Return the folders of a path, the outermost first."""
    names = path.split('/')
    return tuple('/'.join(names[:end]) for end in range(1, len(names)))


def _folders(files: Mapping[str, bytes]) -> list[str]:
    """Return all folders of some files, each after the one it is in."""
    return sorted({parent for path in files for parent in _parents(path)})


def _refused(what: str) -> exception.InvalidRequest:
    return exception.InvalidRequest(
        reason=f'a config drive cannot hold {what}')


def _sweep(path: str) -> None:
    folder, name = os.path.split(path)
    for left in glob.glob(f'.{glob.escape(name)}.*', root_dir=folder):
        place = os.path.join(folder, left)
        if os.path.isdir(place) and not os.path.islink(place):
            shutil.rmtree(place, ignore_errors=True)
        else:
            with contextlib.suppress(OSError):
                os.unlink(place)


def _fill_iso(path: str, files: Mapping[str, bytes]) -> None:
    """Write an image into a file.

    :param files: contents by path, which :func:`check` has allowed
    :raises OSError: there is no room
    :raises StorageFailure: the library cannot make it
    """
    # Imported when it is needed: most commands never do.
    import pycdlib
    from pycdlib import pycdlibexception

    image = pycdlib.PyCdlib()
    try:
        image.new(interchange_level=3, sys_ident='LINUX', vol_ident=_LABEL,
                  app_ident_str='NOVA-LIBVIRT-DRIVER',
                  joliet=3, rock_ridge='1.09')
        _add_to_iso(image, files)
        with open(path, 'wb') as file:
            image.write_fp(file)
        image.close()
    except pycdlibexception.PyCdlibException as error:
        raise exception.StorageFailure(
            reason=f'the config drive {path} cannot be made: {error}',
            path=path) from error


def _add_to_iso(image: 'pycdlib.PyCdlib', files: Mapping[str, bytes]) -> None:
    numbered = {'': ''}
    for number, folder in enumerate(_folders(files)):
        parent, _, name = folder.rpartition('/')
        numbered[folder] = f'{numbered[parent]}/D{number:07}'
        image.add_directory(
            numbered[folder], rr_name=name, joliet_path=f'/{folder}')
    for number, (path, data) in enumerate(files.items()):
        parent, _, name = path.rpartition('/')
        image.add_fp(
            io.BytesIO(data), len(data),
            f'{numbered[parent]}/F{number:07}.;1', rr_name=name,
            joliet_path=f'/{path}')


def _fill_vfat(
        path: str, files: Mapping[str, bytes],
        tool: tool_module.Tool) -> None:
    """Write a file system into a file.

    A folder with a copy of the files is beside it for the time this takes;
    its name begins with that of the file.

    :param files: contents by path, which :func:`check` has allowed
    :raises InvalidRequest: they do not fit
    :raises OSError: there is no room
    :raises StorageFailure: a tool is missing, or failed
    """
    _check_room(files)
    os.truncate(path, _BYTES)
    tool.run(['mkfs.vfat', '-F', '16', '-n', _LABEL,
              '-s', str(_SECTORS_PER_CLUSTER), '-r', str(_ROOT_ENTRIES),
              path], writes=[path])
    with tempfile.TemporaryDirectory(
            prefix=f'{os.path.basename(path)}.',
            dir=os.path.dirname(path)) as folder:
        _copy(folder, files)
        tops = sorted(os.listdir(folder))
        if tops:
            # Without -b: mtools 4.0.32 fails with it on a disk of this size.
            tool.run(['mcopy', '-Q', '-s', '-i', path,
                      *(os.path.join(folder, top) for top in tops), '::/'],
                     reads=[folder], writes=[path])


def _check_room(files: Mapping[str, bytes]) -> None:
    folders = _folders(files)
    entries = (len(files) + 3 * len(folders)) * _NAME_BYTES
    needed = _RESERVED_BYTES + entries + len(folders) * _CLUSTER_BYTES + sum(
        -(-len(data) // _CLUSTER_BYTES) * _CLUSTER_BYTES
        for data in files.values())
    tops = {path.partition('/')[0] for path in files}
    if needed > _BYTES or len(tops) * _NAME_BYTES > (_ROOT_ENTRIES - 1) * 32:
        raise exception.InvalidRequest(
            reason=f'the files do not fit on a config drive with vfat, of '
                   f'{MAX_MIB} MiB; take iso9660')


def _copy(folder: str, files: Mapping[str, bytes]) -> None:
    for name in _folders(files):
        os.mkdir(os.path.join(folder, name), 0o700)
    for path, data in files.items():
        with open(os.path.join(folder, path), 'xb') as file:
            file.write(data)
