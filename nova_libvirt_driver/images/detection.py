# SPDX-License-Identifier: Apache-2.0

"""Which format a file of the operator's has, and whether it is a disk at all.

Only for a file that its owner hands over: what a tenant has sent is
compared with what it is declared to be, and never believed.
"""

from oslo_log import log as logging

from nova_libvirt_driver import exception
from nova_libvirt_driver.spec import image as image_spec
from nova_libvirt_driver.storage import failure
from nova_libvirt_driver.storage import inspection

LOG = logging.getLogger(__name__)

_RAW = image_spec.DiskFormat.RAW
# By the inspector's words, where they differ. A raw disk may begin with a
# partition table.
_OTHER_WORDS = {'gpt': _RAW, 'vhd': image_spec.DiskFormat.VHD}
_HEAD_BYTES = 72 * 1024
_UNPACK = 'is compressed with {}; unpack it and add what it holds'
_ARCHIVE = 'is an archive ({}); unpack it and add the disk that it holds'
# Where the sign is, the sign, and what the file is.
_FOREIGN = (
    (0, b'\xfd7zXZ\0', _UNPACK.format('xz')),
    (0, b'\x1f\x8b', _UNPACK.format('gzip')),
    (0, b'BZh', _UNPACK.format('bzip2')),
    (0, b'\x28\xb5\x2f\xfd', _UNPACK.format('zstd')),
    (0, b'\x04\x22\x4d\x18', _UNPACK.format('lz4')),
    (0, b'PK\3\4', _ARCHIVE.format('zip')),
    (0, b'7z\xbc\xaf\x27\x1c', _ARCHIVE.format('7z')),
    (0, b'Rar!', _ARCHIVE.format('rar')),
    (257, b'ustar', _ARCHIVE.format('tar, or ova')),
    (0, b'\x7fELF', 'is a program'))
# What a disk begins with: boot sector, partition tables, file systems.
_DISKS = (
    (510, b'\x55\xaa'), (512, b'EFI PART'), (4096, b'EFI PART'),
    (512, b'LABELONE'), (0, b'ER'), (508, b'\xda\xbe'),
    (512, b'WEV\x82'), (1080, b'\x53\xef'), (0, b'XFSB'), (0, b'hsqs'),
    (65600, b'_BHRfS_M'), (4086, b'SWAPSPACE2'), (1024, b'\x10\x20\xf5\xf2'),
    (65588, b'ReIsEr'), (1040, b'\x7f\x13'), (1040, b'\x8f\x13'))
_ADVICE = ('take --disk-format raw if it is to be kept as it is')


def settle(path: str, told: str) -> str:
    """Return the format of a file, which a server could start from.

    :param told: the format that its owner names, empty to find out; a raw
        file is then kept whatever it looks like
    :raises InvalidRequest: it has one that cannot be used, or two at once,
        or is not a disk
    :raises ImageRefused: it is damaged or names another file
    :raises StorageFailure: it cannot be read
    """
    if told == _RAW:
        doubt = _doubt(path)
        if doubt:
            LOG.warning('%s %s. Keeping it as raw, as requested.',
                        path, doubt)
        return told
    format = told or detect(path).value
    if format in list(image_spec.DiskFormat):
        facts = inspection.inspect(path, format)
        inspection.check_complete(path, facts)
    return format


def detect(path: str) -> image_spec.DiskFormat:
    """Return the format of a file.

    :raises InvalidRequest: it has one that cannot be used, or two at once,
        or is not a disk
    :raises StorageFailure: it cannot be read
    """
    found = inspection.detect(path)
    if len(found) != 1:
        raise exception.InvalidRequest(
            reason=f'the format of {path} cannot be told: it looks like '
                   f'{" and ".join(sorted(found))}; name it')
    name, = found
    try:
        format = image_spec.DiskFormat(_OTHER_WORDS.get(name, name))
    except ValueError:
        raise exception.InvalidRequest(
            reason=f'{path} has the format {name}, which cannot be used; '
                   f'convert it to qcow2') from None
    doubt = _doubt(path) if format is _RAW else ''
    if doubt:
        raise exception.InvalidRequest(reason=f'{path} {doubt}; {_ADVICE}')
    return format


def _doubt(path: str) -> str:
    """Say why a raw file is not a disk, or nothing."""
    with failure.naming(f'cannot read {path}', path), open(
            path, 'rb') as file:
        head = file.read(_HEAD_BYTES)
    for offset, sign, what in _FOREIGN:
        if head.startswith(sign, offset):
            return what
    if any(head.startswith(sign, offset) for offset, sign in _DISKS) or (
            not any(head)):
        return ''
    return ('does not begin like a disk: there is no boot sector, no '
            'partition table and no file system')
