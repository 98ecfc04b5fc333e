# SPDX-License-Identifier: Apache-2.0

"""Bringing an image into the cache: download, check, convert."""

from collections.abc import Mapping
import hashlib
import io
import os
import secrets
import typing

from oslo_log import log as logging

from nova_libvirt_driver import exception
from nova_libvirt_driver.filesystem import locking
from nova_libvirt_driver import ports
from nova_libvirt_driver.spec import block_digest
from nova_libvirt_driver.spec import image as image_spec
from nova_libvirt_driver.spec import policy as policy_spec
from nova_libvirt_driver.storage import atomic
from nova_libvirt_driver.storage import inspection
from nova_libvirt_driver.storage import journal
from nova_libvirt_driver.storage import qemu_img as qemu_img_module

LOG = logging.getLogger(__name__)

PART_SUFFIX = '.part'
_GIB = 1 << 30
# How qemu-img begins what it says of an image that it cannot read.
_READING = 'error while reading'
# For each of them QEMU opens what it names, or would.
_BACKING = ('backing-filename', 'full-backing-filename')
_CHILD = 'file'
_DIGESTS = ('md5', 'sha1', 'sha224', 'sha256', 'sha384', 'sha512')
_ZEROS = bytes(1 << 20)
_MODE = 0o640
_RAW = image_spec.DiskFormat.RAW
_KEPT = frozenset({_RAW, image_spec.DiskFormat.ISO})
_OVERLAID = _KEPT | {image_spec.DiskFormat.QCOW2}


def part_end(host: str) -> str:
    """Return how names of a host's temporary files end."""
    return f'@{journal.quoted(host)}{PART_SUFFIX}'


class Fetch:
    """Brings one image into the cache.

    :param at_most_bytes: largest disk that is of any use, None for the
        host's limit
    """

    def __init__(
            self, policy: policy_spec.StoragePolicy,
            qemu_img: qemu_img_module.QemuImg, image: image_spec.Image,
            images: ports.ImageSource, progress: ports.Progress, *,
            at_most_bytes: int | None) -> None:
        self._policy = policy
        self._qemu_img = qemu_img
        self._image = image
        self._images = images
        self._progress = progress
        self._at_most_bytes = at_most_bytes
        # Another host need not see that it is locked, and must know it.
        self._end = part_end(policy.host)

    def run(self, path: str) -> tuple[str, inspection.Facts]:
        """Make a temporary file that is a checked image on the disk.

        :param path: its future place; the temporary file is beside it
        :returns: the temporary file, and what it is
        :raises ImageRefused: it is not what it is declared to be
        :raises FlavorTooSmall: its disk is larger than that
        """
        image = self._image
        part = f'{path}.{secrets.token_hex(8)}{self._end}'
        try:
            self._progress.step('download the image')
            self._download(part)
            facts = inspection.inspect(
                part, image.disk_format, image=image.id)
            self._check_size(facts.virtual_size_bytes)
            inspection.check_complete(part, facts, image=image.id)
            self._look(facts, part)
            if facts.format not in (
                    _KEPT if self._policy.force_raw_images else _OVERLAID):
                self._progress.step('convert the image')
                part, facts = self._convert(facts, part)
                self._check_size(facts.virtual_size_bytes)
            os.chmod(part, _MODE)
            self._qemu_img.flush(part)
            return part, facts
        except BaseException:
            atomic.discard(part)
            raise

    def _download(self, part: str) -> None:
        descriptor = locking.try_lock(part)
        assert descriptor is not None
        with open(descriptor, 'wb') as file:
            download(self._image, self._images, file, self._progress,
                     at_most_bytes=max(self._policy.image_max_gib * _GIB,
                                       self._at_most_bytes or 0))

    def _look(self, facts: inspection.Facts, part: str) -> None:
        """Have QEMU look at an image that it will read."""
        if facts.format in _KEPT:
            return
        try:
            report = self._qemu_img.examine(part, facts.format)
        except exception.ToolFailure as error:
            raise self._unreadable(facts, error) from error
        reason = report_refusal(report)
        if reason:
            raise exception.ImageRefused(image=self._image.id, reason=reason)
        # Some formats have their size in two places: that which the tool
        # goes by has to be a good one as well.
        self._check_size(int(report['virtual-size']))

    def _convert(
            self, facts: inspection.Facts,
            part: str) -> tuple[str, inspection.Facts]:
        raw = f'{part.removesuffix(self._end)}.raw{self._end}'
        try:
            self._qemu_img.convert(
                part, facts.format, raw, _RAW, progress=self._progress)
        except exception.ToolFailure as error:
            if _READING not in str(error):
                raise
            raise self._unreadable(facts, error) from error
        try:
            # Its content may look like a header of another format again.
            found = inspection.inspect(raw, _RAW, image=self._image.id)
            atomic.discard(part)
        except BaseException:
            atomic.discard(raw)
            raise
        return raw, found

    def _check_size(self, size_bytes: int) -> None:
        check_size(self._image.id, size_bytes, self._at_most_bytes,
                   self._policy.image_max_gib)

    def _unreadable(
            self, facts: inspection.Facts,
            error: exception.ToolFailure) -> exception.ImageRefused:
        # The tool's words name files of this host, and are not for the
        # tenant.
        LOG.warning('Image %s cannot be read as %s: %s', self._image.id,
                    facts.format, error)
        return exception.ImageRefused(
            image=self._image.id,
            reason=f'QEMU cannot read it as {facts.format}: it is damaged, '
            'or has sizes that QEMU does not take',
            hint='upload it again; the log of the compute service says what '
            'QEMU found')


def check_size(
        image_id: str, size_bytes: int, at_most_bytes: int | None,
        limit_gib: int) -> None:
    """Refuse a disk that is too large for those who decide that.

    :param at_most_bytes: size in the flavor, None without one
    :param limit_gib: largest disk without a size in the flavor
    :raises FlavorTooSmall: the flavor has a smaller size
    :raises ImageRefused: it is larger than the host's limit
    """
    if at_most_bytes is None:
        if size_bytes > limit_gib * _GIB:
            raise _too_large(image_id, size_bytes, limit_gib)
    elif size_bytes > at_most_bytes:
        raise exception.FlavorTooSmall(
            image=image_id, needed=gib(size_bytes), given=gib(at_most_bytes))


def report_refusal(report: Mapping[str, typing.Any]) -> str:
    """Say why an image is refused by QEMU's own report, or nothing.

    A second look, by other eyes, after the image's headers have been read
    here.

    :param report: what ``qemu-img info --output=json`` says
    """
    specific = report.get('format-specific') or {}
    data = specific.get('data') or {}
    own = report.get('filename')
    if any(report.get(key) for key in _BACKING):
        return 'QEMU finds that it has a backing file'
    if data.get('data-file'):
        return 'QEMU finds that it has an external data file'
    if any(extent.get('filename') != own for extent in data.get(
            'extents') or ()):
        return 'QEMU finds that an extent of it is in another file'
    # Told since QEMU 8.1.
    if any(child.get('name') != _CHILD for child in report.get(
            'children') or ()):
        return 'QEMU finds that it consists of several files'
    if report.get('encrypted'):
        return 'it is encrypted'
    if data.get('corrupt'):
        return 'it is marked as corrupt'
    return ''


def download(
        image: image_spec.Image, images: ports.ImageSource,
        file: typing.BinaryIO, progress: ports.Progress, *,
        at_most_bytes: int) -> None:
    """Write the bytes of an image, and see that they are those declared.

    What they mean is not looked at. After a failure some are written.

    :raises ImageNotFound: there is none
    :raises ImageRefused: they are other ones, or too many
    :raises StorageFailure: they cannot be had
    :raises OSError: they cannot be written
    """
    if (image.size_bytes or 0) > at_most_bytes:
        raise _too_large(image.id, image.size_bytes or 0,
                         at_most_bytes // _GIB)
    sink = _Sink(file, image, at_most_bytes)
    images.download(image.id, typing.cast(typing.BinaryIO, sink), progress)
    sink.verify()


def _too_large(
        image_id: str, size_bytes: int,
        limit_gib: int) -> exception.ImageRefused:
    """Return the error for an image that no flavor has a size for."""
    return exception.ImageRefused(
        image=image_id, reason=f'it has {gib(size_bytes)}, and without a '
        f'size in the flavor this host takes up to {limit_gib} GiB',
        hint='choose a flavor with a root disk of that size, or raise '
        '[nova_libvirt_driver] image_max_size')


class _Sink(io.RawIOBase):
    """Takes the bytes of an image, as long as there are not too many."""

    def __init__(
            self, file: typing.BinaryIO, image: image_spec.Image,
            limit: int) -> None:
        super().__init__()
        self._file = file
        self._image = image
        self._limit = limit
        self._count = 0
        self._digest = _digest(image)

    def writable(self) -> bool:
        return True

    def write(self, data: typing.Any) -> int:
        count = memoryview(data).nbytes
        self._count += count
        if self._count > self._limit:
            raise _too_large(
                self._image.id, self._count, self._limit // _GIB)
        # Zeros become a hole: an image may be little else.
        if data == _ZEROS[:count]:
            self._file.seek(count, os.SEEK_CUR)
        else:
            self._file.write(data)
        if self._digest is not None:
            self._digest.update(data)
        return count

    def verify(self) -> None:
        self._file.truncate(self._count)
        if self._image.size_bytes not in (None, self._count):
            raise self._refused(
                f'it has {self._count} bytes instead of '
                f'{self._image.size_bytes}')
        if self._digest is not None and (
                self._digest.hexdigest() != self._image.checksum.lower()):
            raise self._refused('its checksum is not the declared one')

    def _refused(self, reason: str) -> exception.ImageRefused:
        return exception.ImageRefused(
            image=self._image.id, reason=reason, hint='upload it again')


def gib(size_bytes: int) -> str:
    """Return a size for messages."""
    number = size_bytes / _GIB
    return f'{number:.0f} GiB' if number >= 100 else f'{number:.3g} GiB'


def _digest(
        image: image_spec.Image,
) -> 'hashlib._Hash | block_digest.BlockDigest | None':
    if not image.checksum:
        return None
    if image.checksum_algorithm == block_digest.ALGORITHM:
        return block_digest.BlockDigest()
    # The only digest that a service gives without its name is this one.
    name = image.checksum_algorithm or 'md5'
    if name not in _DIGESTS:
        raise exception.ImageRefused(
            image=image.id,
            reason=f'its checksum is of an unknown kind: {name!r}')
    return hashlib.new(name, usedforsecurity=False)
