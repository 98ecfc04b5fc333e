# SPDX-License-Identifier: Apache-2.0

"""What an image really is, found out before any tool opens it.

A tool follows what an image says: to other files, to a size, to another
format than the declared one (CVE-2022-47951, CVE-2024-40767). So it gets
only images that are what they were declared to be, and name no other file.
"""

from collections.abc import Iterator
import contextlib
import dataclasses
import os
import re
import struct
import typing

from nova_libvirt_driver import exception
from nova_libvirt_driver.spec import image as image_spec
from nova_libvirt_driver.storage import failure
from nova_libvirt_driver.storage import image_file
from nova_libvirt_driver.storage import qcow2_header
from nova_libvirt_driver.storage import vdi_header
from nova_libvirt_driver.storage import vhd_header
from nova_libvirt_driver.storage import vhdx_header
from nova_libvirt_driver.storage import vmdk_header

if typing.TYPE_CHECKING:
    from oslo_utils.imageutils import format_inspector

# The library knows no extended L2 entries; qcow2_header has looked at that.
_FEATURES_CHECK = 'unknown_features'
_CHUNK_BYTES = 64 * 1024
_MIB = 1024 * 1024
# Headers and descriptors are in the first part; some have a copy at the end.
_HEAD_BYTES, _TAIL_BYTES = 8 * _MIB, _MIB
_FORMAT = image_spec.DiskFormat
# What the content may look like to be what it is declared to be, where that
# is more than the word itself. QEMU takes a hybrid ISO image, and anything
# with partitions, as raw bytes.
_ALLOWED: dict[image_spec.DiskFormat, frozenset[str]] = {
    _FORMAT.RAW: frozenset({'raw', 'gpt'}),
    _FORMAT.ISO: frozenset({'iso', 'gpt'}),
    _FORMAT.VHD: frozenset({'vhd'})}
# What a fixed VHD image may look like, whose footer is at its end.
_RAW_LIKE = frozenset({'raw', 'gpt', 'iso'})
_OTHER_WORDS = {'vhd': _FORMAT.VHD}
# An image whose header is broken in some way may look like nothing at all,
# yet a tool that looks for itself would take it for more than raw bytes.
_SIGNATURES = (
    b'QFI\xfb', b'QED\0', b'KDMV', b'COWD', b'# Disk DescriptorFile',
    b'conectix', b'vhdxfile', b'LUKS\xba\xbe', b'WithoutFreeSpace',
    b'WithouFreSpacExt', b'Bochs Virtual HD Image', b'json:')
# What QEMU takes for a VMDK descriptor, even without its first line.
_VMDK_TEXT = re.compile(
    rb'(?:#[^\n]*\n| +\r?\n)*version=[123]\r?\n')
_VDI_SIGNATURE, _VDI_OFFSET = b'\x7f\x10\xda\xbe', 64


@dataclasses.dataclass(frozen=True, slots=True)
class Facts:
    """What an image is."""

    format: image_spec.DiskFormat
    virtual_size_bytes: int


class _Header(typing.Protocol):
    """What is asked of the header of a format."""

    def refusal(self, file: image_file.ImageFile) -> str: ...

    def ends(self, file: image_file.ImageFile) -> Iterator[int]: ...


_HEADERS: dict[image_spec.DiskFormat, _Header] = {
    _FORMAT.QCOW2: qcow2_header,
    _FORMAT.VMDK: vmdk_header,
    _FORMAT.VHD: vhd_header,
    _FORMAT.VHDX: vhdx_header,
    _FORMAT.VDI: vdi_header}


def inspect(path: str, declared_format: str, *, image: str = '') -> Facts:
    """Find out what an image is; reads some 9 MiB of it.

    :param image: its identifier, for messages
    :raises ImageRefused: it is not what it is declared to be, or names
        another file
    :raises StorageFailure: it cannot be read
    """
    with _opened(path, image) as file:
        return _inspect(file, declared_format)


def check_complete(
        path: str, facts: Facts, *, image: str = '') -> None:
    """Refuse an image whose file ends before its data does.

    Reads the tables of an image that :func:`inspect` has passed: a part in
    eight thousand of what it holds.

    :raises ImageRefused: it is truncated
    :raises StorageFailure: it cannot be read
    """
    if facts.format not in _HEADERS:
        return
    with _opened(path, image) as file:
        missing_bytes = file.missing_bytes(_HEADERS[facts.format].ends(file))
        if missing_bytes:
            raise _Refusal(
                f'it is truncated: its data goes on for {missing_bytes} '
                f'bytes beyond the end of its file; upload it again')


def detect(path: str) -> frozenset[str]:
    """Return what a file looks like, in the words of the formats.

    :raises StorageFailure: it cannot be read
    """
    with _opened(path) as file:
        found = frozenset(str(one) for one in _detect(file))
        if found <= _RAW_LIKE and (
                vhd_header.fixed_size_bytes(file) is not None):
            return frozenset({str(_FORMAT.VHD)})
        return found


@contextlib.contextmanager
def _opened(path: str, image: str = '') -> Iterator[image_file.ImageFile]:
    try:
        with (failure.naming(f'cannot read {path}', path),
              image_file.opened(path) as file):
            yield file
    except _Refusal as refusal:
        raise exception.ImageRefused(
            image=image or os.path.basename(path),
            reason=str(refusal)) from None
    except struct.error:
        raise exception.ImageRefused(
            image=image or os.path.basename(path),
            reason='its header is cut off') from None


class _Refusal(Exception):
    """Why an image is refused."""


def _inspect(file: image_file.ImageFile, declared_format: str) -> Facts:
    try:
        declared = _FORMAT(_OTHER_WORDS.get(declared_format, declared_format))
    except ValueError:
        raise _Refusal(f'format {declared_format!r} is not supported') \
            from None
    found = _detect(file)
    names = {str(one) for one in found}
    if declared is _FORMAT.VHD and names <= _RAW_LIKE:
        size_bytes = vhd_header.fixed_size_bytes(file)
        if size_bytes is None:
            raise _Refusal('it has neither the header nor the footer of a '
                           'VHD image: it is truncated, or of another format')
        return Facts(declared, size_bytes)
    if not names <= _ALLOWED.get(declared, {str(declared)}) or (
            declared is _FORMAT.ISO and 'iso' not in names):
        raise _Refusal(f'it is declared to be {declared}, but looks like '
                       f'{" and ".join(sorted(names))}')
    if declared in _HEADERS:
        return Facts(declared, _checked_size(found[0], declared, file))
    _refuse_signature(file.read(0, _CHUNK_BYTES))
    return Facts(declared, file.length)


def _detect(
        file: image_file.ImageFile
) -> 'list[format_inspector.FileInspector]':
    # Imported when it is needed: most commands never do, and it is large.
    from oslo_utils.imageutils import format_inspector

    wrapper = format_inspector.InspectWrapper(
        typing.cast('typing.IO[bytes]', _chunks(file)))
    for _ in wrapper:
        # None as long as what comes may still matter.
        if wrapper.formats is not None:
            break
    return wrapper.formats or []


def _chunks(file: image_file.ImageFile) -> Iterator[bytes]:
    head = min(file.length, _HEAD_BYTES)
    for start, end in ((0, head), (
            max(head, file.length - _TAIL_BYTES), file.length)):
        for offset in range(start, end, _CHUNK_BYTES):
            yield file.read(offset, min(_CHUNK_BYTES, end - offset))


def _refuse_signature(head: bytes) -> None:
    if head.startswith(_SIGNATURES) or head.startswith(
            _VDI_SIGNATURE, _VDI_OFFSET) or _VMDK_TEXT.match(head):
        raise _Refusal('it begins like an image of another format')


def _checked_size(
        found: 'format_inspector.FileInspector',
        declared: image_spec.DiskFormat,
        file: image_file.ImageFile) -> int:
    from oslo_utils.imageutils import format_inspector

    if reason := _HEADERS[declared].refusal(file):
        raise _Refusal(reason)
    try:
        found.safety_check()
    except (format_inspector.ImageFormatError,
            format_inspector.SafetyCheckFailed) as error:
        if words := _words(error):
            raise _Refusal(f'it is not safe: {words}') from error
    size = (vhd_header.virtual_size_bytes(file)
            if declared is _FORMAT.VHD else found.virtual_size)
    if size <= 0:
        raise _Refusal('it does not say how large its disk is')
    return size


def _words(error: Exception) -> str:
    failures = getattr(error, 'failures', None)
    if failures:
        return '; '.join(str(one) for check, one in failures.items()
                         if check != _FEATURES_CHECK)
    return str(error)
