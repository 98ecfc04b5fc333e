# SPDX-License-Identifier: Apache-2.0

"""What the header of a qcow2 image says; read without running any program.

A tool that opens an image opens the files its header names as well
(CVE-2011-3147, CVE-2024-32498, CVE-2024-4467).
"""

from collections.abc import Iterator
import struct

# Magic, version, backing file's offset and length, bits of a cluster, size,
# encryption.
_HEADER = struct.Struct('>4sIQIIQI')
# Incompatible features and, after other bits, the header's length.
_VERSION_3 = struct.Struct('>Q20xI')
_VERSION_3_OFFSET = 72
_VERSION_2_BYTES, _VERSION_3_BYTES = 72, 104
_EXTENSION = struct.Struct('>II')
_MAX_BYTES = 65536

_DIRTY, _DATA_FILE, _COMPRESSION = 1 << 0, 1 << 2, 1 << 3
_KNOWN = _DIRTY | _COMPRESSION
_DATA_FILE_NAME = 0x44415441


SIZE_WITHIN_BYTES = _HEADER.size
"""What :func:`virtual_size_bytes` needs of an image."""


def virtual_size_bytes(data: bytes) -> int:
    """Return the size of the disk that an image is of.

    :param data: the beginning of the image
    :raises ValueError: it is no such image
    """
    if len(data) < SIZE_WITHIN_BYTES or not data.startswith(b'QFI\xfb'):
        raise ValueError('not the beginning of a qcow2 image')
    return int(_HEADER.unpack_from(data)[5])


def refusal(data: bytes) -> str:
    """Say why an image with that beginning is refused, or nothing.

    :param data: at least 64 KiB, or all there is
    """
    try:
        return _refusal(data[:_MAX_BYTES])
    except struct.error:
        return 'its header is cut off'


def _refusal(data: bytes) -> str:
    magic, version, backing, backing_bytes, bits, _, encryption = (
        _HEADER.unpack_from(data))
    if magic != b'QFI\xfb' or version not in (2, 3):
        return 'it is no qcow2 image of version 2 or 3'
    if backing or backing_bytes:
        return 'it has a backing file'
    if encryption:
        return 'it is encrypted'
    if not 9 <= bits <= 21:
        return 'its clusters have an impossible size'
    length = _VERSION_2_BYTES
    if version == 3:
        features, length = _VERSION_3.unpack_from(data, _VERSION_3_OFFSET)
        if length < _VERSION_3_BYTES:
            return 'its header is too short'
        if features & _DATA_FILE:
            return 'it has an external data file'
        if features & ~_KNOWN:
            return 'it has features that are not known'
    if _DATA_FILE_NAME in _extensions(data, length):
        return 'it has an external data file'
    return ''


def _extensions(data: bytes, start: int) -> Iterator[int]:
    while start + _EXTENSION.size <= len(data):
        kind, length = _EXTENSION.unpack_from(data, start)
        if kind == 0:
            return
        yield kind
        start += _EXTENSION.size + (length + 7) // 8 * 8
