# SPDX-License-Identifier: Apache-2.0

"""Making and converting disk images.

Every call names the format of every file: the tool never looks for itself
(CVE-2013-1922, CVE-2026-24708). A file that is made must not exist before,
and goes when it cannot be made.
"""

from collections.abc import Callable
from collections.abc import Iterator
import contextlib
import dataclasses
import json
import os
import re
import struct

from nova_libvirt_driver import exception
from nova_libvirt_driver import ports
from nova_libvirt_driver.spec import image as image_spec
from nova_libvirt_driver.spec import policy as policy_spec
from nova_libvirt_driver.storage import tool as tool_module

_MODE = 0o640
_QCOW2_MAGIC = b'QFI\xfb'
# Magic, version, where the backing file's name is, its length, bits of a
# cluster, size.
_QCOW2_HEADER = struct.Struct('>4sIQIIQ')
_MIB = 1 << 20
_PERCENT = re.compile(r'\((\d+(?:\.\d+)?)/100%\)')
_RAW = image_spec.DiskFormat.RAW
_QCOW2 = image_spec.DiskFormat.QCOW2


@dataclasses.dataclass(frozen=True, slots=True)
class ImageInfo:
    """What is known of a disk's content."""

    virtual_size_bytes: int


class QemuImg:
    """Runs ``qemu-img`` where there is no way without."""

    def __init__(
            self, tool: tool_module.Tool,
            policy: policy_spec.StoragePolicy) -> None:
        self._tool = tool
        self._policy = policy

    def info(self, path: str, format: str) -> ImageInfo:
        """Look at a disk of that format.

        :raises StorageFailure: it cannot be read as such
        """
        word = _word(format)
        try:
            if word == _RAW:
                return ImageInfo(_length(path))
            if word == _QCOW2:
                return ImageInfo(_qcow2_size(path))
            return ImageInfo(int(json.loads(self._tool.run(
                ['qemu-img', 'info', '-f', word, '--output=json',
                 _absolute(path)]))['virtual-size']))
        except (OSError, ValueError, KeyError) as error:
            raise exception.StorageFailure(
                reason=f'{path} cannot be read as {format}: {error}',
                path=path) from error

    def create(self, path: str, format: str, size_bytes: int) -> None:
        """Make an empty disk that takes no room yet.

        :raises StorageFailure: it exists, or cannot be made
        """
        word = _word(format)
        with _new_file(path) as descriptor:
            if word == _RAW:
                os.ftruncate(descriptor, size_bytes)
            else:
                self._tool.run(['qemu-img', 'create', '-q', '-f', word,
                                _absolute(path), str(size_bytes)])

    def create_overlay(
            self, path: str, backing: str, backing_format: str,
            size_bytes: int) -> None:
        """Make a qcow2 disk over another, which stays as it is.

        :raises StorageFailure: it exists, or cannot be made
        """
        with _new_file(path):
            self._tool.run([
                'qemu-img', 'create', '-q', '-f', 'qcow2',
                '-b', _absolute(backing), '-F', _word(backing_format),
                _absolute(path), str(size_bytes)])

    def convert(
            self, source: str, source_format: str, target: str,
            target_format: str, *, compress: bool = False,
            progress: ports.Progress) -> None:
        """Copy a disk into a file of another format, or of the same.

        The copy has no backing file, and may not be on the disk yet. It
        takes no more room than a disk of that size may take.

        :raises StorageFailure: the target exists, or cannot be made
        """
        total = self.info(source, source_format).virtual_size_bytes
        with _new_file(target):
            self._tool.run(
                ['qemu-img', 'convert', '-p', *(['-c'] if compress else ()),
                 '-f', _word(source_format), '-O', _word(target_format),
                 _absolute(source), _absolute(target)],
                cpu_s=self._policy.tool_convert_cpu_s,
                file_bytes=_longest(total, target_format),
                on_line=_teller(progress, total))

    def flush(self, path: str) -> None:
        """Bring a file to the disk.

        In a process of its own: that may take long, and would stop all of
        an eventlet process.

        :raises StorageFailure: it cannot be written
        """
        self._tool.run(['sync', '--', _absolute(path)])

    def resize(self, path: str, format: str, size_bytes: int) -> None:
        """Give a disk another size; smaller ones are refused.

        :raises StorageFailure: that failed; the disk may be in use
        """
        self._tool.run(['qemu-img', 'resize', '-q', '-f', _word(format),
                        _absolute(path), str(size_bytes)])


def _word(format: str) -> str:
    try:
        known = image_spec.DiskFormat(format)
    except ValueError as error:
        raise exception.StorageFailure(
            reason=f'{format!r} is no format of a disk', path='') from error
    if known is image_spec.DiskFormat.ISO:
        return str(_RAW)
    return str(known)


def _longest(size_bytes: int, format: str) -> int:
    """Return how long the file of a disk can become, or a little more."""
    if format == _RAW:
        return -(-size_bytes // _MIB) * _MIB
    # Tables of clusters, and the last cluster.
    return size_bytes + size_bytes // 8 + 64 * _MIB


def _absolute(path: str) -> str:
    # What does not begin with a slash may be taken for an option, or for
    # the name of a protocol.
    if not os.path.isabs(path):
        raise ValueError(f'{path!r} is no absolute path')
    return path


def _length(path: str) -> int:
    with open(path, 'rb') as file:
        # A block device has a length, too, but stat() does not tell it.
        return file.seek(0, os.SEEK_END)


def _qcow2_size(path: str) -> int:
    with open(path, 'rb') as file:
        magic, version, _, _, _, size = _QCOW2_HEADER.unpack(
            file.read(_QCOW2_HEADER.size).ljust(_QCOW2_HEADER.size, b'\0'))
    if magic != _QCOW2_MAGIC or version not in (2, 3):
        raise ValueError('it has no such header')
    return int(size)


def _teller(
        progress: ports.Progress, total: int) -> Callable[[str], None]:
    def tell(line: str) -> None:
        found = _PERCENT.search(line)
        if found is not None:
            progress.advance(int(total * float(found[1]) / 100), total)
    return tell


@contextlib.contextmanager
def _new_file(path: str) -> Iterator[int]:
    """Make a file that none but QEMU's group may read, before it is filled.

    The tool keeps the mode of a file that exists, whatever the umask is.
    """
    try:
        descriptor = os.open(
            path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, _MODE)
        try:
            os.fchmod(descriptor, _MODE)
            yield descriptor
        except BaseException:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)
            raise
        finally:
            os.close(descriptor)
    except OSError as error:
        raise exception.StorageFailure(
            reason=f'cannot make {path}: {error.strerror or error}',
            path=os.path.dirname(path)) from error
