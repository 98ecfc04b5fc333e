# SPDX-License-Identifier: Apache-2.0

"""What an image really is, found out before any tool opens it.

A tool follows what an image says: to other files, to a size, to another
format than the declared one (CVE-2022-47951, CVE-2024-40767). So it gets
only images that are what they were declared to be, and name no other file.
"""

from collections.abc import Callable
from collections.abc import Iterator
import dataclasses
import os
import re
import struct
import typing

from nova_libvirt_driver import exception
from nova_libvirt_driver.spec import image as image_spec
from nova_libvirt_driver.storage import qcow2_header

if typing.TYPE_CHECKING:
    from oslo_utils.imageutils import format_inspector

_CHUNK_BYTES = 64 * 1024
_MIB = 1024 * 1024
# Headers and descriptors are in the first part; some have a copy at the end.
_HEAD_BYTES, _TAIL_BYTES = 8 * _MIB, _MIB
_FORMAT = image_spec.DiskFormat
# What the content may look like to be what it is declared to be. QEMU takes
# a hybrid ISO image, and anything with partitions, as raw bytes.
_ALLOWED: dict[image_spec.DiskFormat, frozenset[str]] = {
    _FORMAT.RAW: frozenset({'raw', 'gpt'}),
    _FORMAT.ISO: frozenset({'iso', 'gpt'}),
    _FORMAT.QCOW2: frozenset({'qcow2'}),
    _FORMAT.VMDK: frozenset({'vmdk'}),
    _FORMAT.VHD: frozenset({'vhd'}),
    _FORMAT.VHDX: frozenset({'vhdx'}),
    _FORMAT.VDI: frozenset({'vdi'})}
_OTHER_WORDS = {'vhd': _FORMAT.VHD}
# An image whose header is broken in some way may look like nothing at all,
# yet a tool that looks for itself would take it for more than raw bytes.
_SIGNATURES = (
    b'QFI\xfb', b'QED\0', b'KDMV', b'COWD', b'# Disk DescriptorFile',
    b'conectix', b'vhdxfile', b'LUKS\xba\xbe', b'WithoutFreeSpace',
    b'WithouFreSpacExt', b'Bochs Virtual HD Image', b'json:')
_VDI_SIGNATURE, _VDI_OFFSET = b'\x7f\x10\xda\xbe', 64


@dataclasses.dataclass(frozen=True, slots=True)
class Facts:
    """What an image is."""

    format: image_spec.DiskFormat
    virtual_size_bytes: int


@dataclasses.dataclass(frozen=True, slots=True)
class _Content:
    """Those parts of a file that say what it is."""

    length: int
    head: bytes
    tail: bytes


def inspect(path: str, declared_format: str, *, image: str = '') -> Facts:
    """Find out what an image is; reads 9 MiB of it at the most.

    :param image: its identifier, for messages
    :raises ImageRefused: it is not what it is declared to be, or names
        another file
    :raises StorageFailure: it cannot be read
    """
    try:
        content = _read(path)
    except OSError as error:
        raise exception.StorageFailure(
            reason=f'cannot read {path}: {error.strerror}',
            path=path) from error
    try:
        return _inspect(content, declared_format)
    except _Refusal as refusal:
        raise exception.ImageRefused(
            image=image or os.path.basename(path),
            reason=str(refusal)) from None


class _Refusal(Exception):
    """Why an image is refused."""


def _inspect(content: _Content, declared_format: str) -> Facts:
    try:
        declared = _FORMAT(_OTHER_WORDS.get(declared_format, declared_format))
    except ValueError:
        raise _Refusal(f'format {declared_format!r} is not supported') \
            from None
    found = _detect(content)
    names = {str(one) for one in found}
    if not names <= _ALLOWED[declared] or (
            declared is _FORMAT.ISO and 'iso' not in names):
        raise _Refusal(f'it is declared to be {declared}, but looks like '
                       f'{" and ".join(sorted(names))}')
    if declared in (_FORMAT.RAW, _FORMAT.ISO):
        _refuse_signature(content.head)
        return Facts(declared, content.length)
    return Facts(declared, _checked_size(found[0], declared, content))


def _detect(content: _Content) -> 'list[format_inspector.FileInspector]':
    # Imported when it is needed: most commands never do, and it is large.
    from oslo_utils.imageutils import format_inspector

    wrapper = format_inspector.InspectWrapper(
        typing.cast('typing.IO[bytes]', _chunks(content)))
    for _ in wrapper:
        # None as long as what comes may still matter.
        if wrapper.formats is not None:
            break
    return wrapper.formats or []


def _chunks(content: _Content) -> Iterator[bytes]:
    for data in (content.head, content.tail):
        for start in range(0, len(data), _CHUNK_BYTES):
            yield data[start:start + _CHUNK_BYTES]


def _read(path: str) -> _Content:
    with open(path, 'rb') as file:
        length = file.seek(0, os.SEEK_END)
        file.seek(0)
        head = file.read(_HEAD_BYTES)
        file.seek(max(len(head), length - _TAIL_BYTES))
        return _Content(length, head, file.read(_TAIL_BYTES))


def _refuse_signature(head: bytes) -> None:
    if head.startswith(_SIGNATURES) or head.startswith(
            _VDI_SIGNATURE, _VDI_OFFSET):
        raise _Refusal('it begins like an image of another format')


def _checked_size(
        found: 'format_inspector.FileInspector',
        declared: image_spec.DiskFormat, content: _Content) -> int:
    from oslo_utils.imageutils import format_inspector

    try:
        reason = _REFUSALS.get(declared, _no_refusal)(content)
        if reason:
            raise _Refusal(reason)
        found.safety_check()
        size = found.virtual_size
    except struct.error:
        raise _Refusal('its header is cut off') from None
    except (format_inspector.ImageFormatError,
            format_inspector.SafetyCheckFailed) as error:
        raise _Refusal(f'it is not safe: {_words(error)}') from error
    if size <= 0:
        raise _Refusal('it does not say how large its disk is')
    return size


def _words(error: Exception) -> str:
    failures = getattr(error, 'failures', None)
    if failures:
        return '; '.join(str(one) for one in failures.values())
    return str(error)


def _no_refusal(content: _Content) -> str:
    return ''


def _qcow2_refusal(content: _Content) -> str:
    return qcow2_header.refusal(content.head)


def _vmdk_refusal(content: _Content) -> str:
    head = content.head
    if not head.startswith(b'KDMV'):
        return 'its data is in other files'
    # Sectors of the descriptor: where, and how many.
    start, count = struct.unpack_from('<QQ', head, 28)
    text = head[start * 512:(start + count) * 512].partition(b'\0')[0]
    if re.search(rb'(?im)^\s*parentFileNameHint', text) or re.search(
            rb'(?im)^\s*parentCID\s*=\s*(?!f{8}\s*$)', text):
        return 'it has a parent'
    # A header at the end takes the place of that at the beginning.
    end = (head[-1024:] + content.tail)[-1024:-512]
    if struct.unpack_from('<Q', head, 56)[0] == (1 << 64) - 1 and (
            end[12:20] != head[12:20]):
        return 'it says two different sizes'
    return ''


def _vhd_refusal(content: _Content) -> str:
    # Kinds: 2 is fixed, 3 is dynamic, 4 has a parent.
    kind, = struct.unpack_from('>I', content.head, 60)
    return '' if kind in (2, 3) else 'it has a parent'


_REFUSALS: dict[image_spec.DiskFormat, Callable[[_Content], str]] = {
    _FORMAT.QCOW2: _qcow2_refusal,
    _FORMAT.VMDK: _vmdk_refusal,
    _FORMAT.VHD: _vhd_refusal}
