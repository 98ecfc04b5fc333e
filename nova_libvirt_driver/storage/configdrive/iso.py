# SPDX-License-Identifier: Apache-2.0

"""A config drive as a CD: ISO 9660 with Rock Ridge and Joliet.

Linux reads the names of Rock Ridge, Windows those of Joliet; those of plain
ISO 9660 are only numbers.
"""

from collections.abc import Mapping
import io
import typing

from nova_libvirt_driver import exception
from nova_libvirt_driver.storage.configdrive import limits

if typing.TYPE_CHECKING:
    import pycdlib

LABEL = 'config-2'


def fill(path: str, files: Mapping[str, bytes]) -> None:
    """Write an image into a file.

    :param files: contents by path, which :func:`limits.check` has allowed
    :raises OSError: there is no room
    :raises StorageFailure: the library cannot make it
    """
    # Imported when it is needed: most commands never do.
    import pycdlib
    from pycdlib import pycdlibexception

    image = pycdlib.PyCdlib()
    try:
        image.new(interchange_level=3, sys_ident='LINUX', vol_ident=LABEL,
                  app_ident_str='NOVA-LIBVIRT-DRIVER',
                  joliet=3, rock_ridge='1.09')
        _add(image, files)
        with open(path, 'wb') as file:
            image.write_fp(file)
        image.close()
    except pycdlibexception.PyCdlibException as error:
        raise exception.StorageFailure(
            reason=f'the config drive {path} cannot be made: {error}',
            path=path) from error


def _add(image: 'pycdlib.PyCdlib', files: Mapping[str, bytes]) -> None:
    numbered = {'': ''}
    for number, folder in enumerate(limits.folders(files)):
        parent, _, name = folder.rpartition('/')
        numbered[folder] = f'{numbered[parent]}/D{number:07}'
        image.add_directory(
            numbered[folder], rr_name=name, joliet_path=f'/{folder}')
    for number, (path, content) in enumerate(files.items()):
        parent, _, name = path.rpartition('/')
        image.add_fp(
            io.BytesIO(content), len(content),
            f'{numbered[parent]}/F{number:07}.;1', rr_name=name,
            joliet_path=f'/{path}')
