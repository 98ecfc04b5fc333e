# SPDX-License-Identifier: Apache-2.0

"""Bringing an image into the cache: download, check, convert."""

import contextlib
import dataclasses
import hashlib
import io
import os
import secrets
import typing

from nova_libvirt_driver import exception
from nova_libvirt_driver import ports
from nova_libvirt_driver.spec import image as image_spec
from nova_libvirt_driver.spec import policy as policy_spec
from nova_libvirt_driver.storage import file_lock
from nova_libvirt_driver.storage import inspection
from nova_libvirt_driver.storage import qemu_img as qemu_img_module

PART_SUFFIX = '.part'
_GIB = 1 << 30
_DIGESTS = ('md5', 'sha1', 'sha224', 'sha256', 'sha384', 'sha512')
_MODE = 0o640
_RAW = image_spec.DiskFormat.RAW
_KEPT = frozenset({_RAW, image_spec.DiskFormat.ISO})
_OVERLAID = _KEPT | {image_spec.DiskFormat.QCOW2}


class Fetch:
    """Brings one image at a time to a place in the cache."""

    def __init__(
            self, policy: policy_spec.StoragePolicy,
            qemu_img: qemu_img_module.QemuImg) -> None:
        self._policy = policy
        self._qemu_img = qemu_img

    def run(
            self, image: image_spec.Image, images: ports.ImageSource,
            path: str, progress: ports.Progress, *,
            at_most_bytes: int | None) -> tuple[str, inspection.Facts]:
        """Make a temporary file that is a checked image on the disk.

        :param path: its future place; the temporary file is beside it
        :param at_most_bytes: largest disk that is of any use
        :returns: the temporary file, and what it is
        :raises ImageRefused: it is not what it is declared to be
        :raises FlavorTooSmall: its disk is larger than that
        """
        part = f'{path}.{secrets.token_hex(8)}{PART_SUFFIX}'
        try:
            progress.step('download the image')
            self._download(image, images, part, progress)
            facts = inspection.inspect(
                part, image.disk_format, image=image.id)
            self._check(image, facts, at_most_bytes)
            if facts.format not in (
                    _KEPT if self._policy.force_raw_images else _OVERLAID):
                progress.step('convert the image')
                part, facts = self._convert(
                    image, facts, part, progress, at_most_bytes)
                self._check(image, facts, at_most_bytes)
            os.chmod(part, _MODE)
            self._qemu_img.flush(part)
            return part, facts
        except BaseException:
            _remove(part)
            raise

    def _download(
            self, image: image_spec.Image, images: ports.ImageSource,
            part: str, progress: ports.Progress) -> None:
        descriptor = file_lock.try_lock(part)
        assert descriptor is not None
        with open(descriptor, 'wb') as file:
            download(image, images, file, progress,
                     at_most_gib=self._policy.image_max_gib)

    def _convert(
            self, image: image_spec.Image, facts: inspection.Facts,
            part: str, progress: ports.Progress,
            at_most_bytes: int | None) -> tuple[str, inspection.Facts]:
        raw = f'{part.removesuffix(PART_SUFFIX)}.raw{PART_SUFFIX}'
        # Some formats have their size in two places: that which the tool
        # goes by has to be a good one as well.
        size = self._qemu_img.info(part, facts.format).virtual_size_bytes
        self._check(image, dataclasses.replace(
            facts, virtual_size_bytes=size), at_most_bytes)
        self._qemu_img.convert(
            part, facts.format, raw, _RAW, progress=progress)
        try:
            # Its content may look like a header of another format again.
            found = inspection.inspect(raw, _RAW, image=image.id)
            _remove(part)
        except BaseException:
            _remove(raw)
            raise
        return raw, found

    def _check(
            self, image: image_spec.Image, facts: inspection.Facts,
            at_most_bytes: int | None) -> None:
        size = facts.virtual_size_bytes
        if size > self._policy.image_max_gib * _GIB:
            raise _too_large(image, size, self._policy.image_max_gib)
        if at_most_bytes is not None and size > at_most_bytes:
            raise exception.FlavorTooSmall(
                image=image.id, needed=gib(size), given=gib(at_most_bytes))


def download(
        image: image_spec.Image, images: ports.ImageSource,
        file: typing.BinaryIO, progress: ports.Progress, *,
        at_most_gib: int) -> None:
    """Write the bytes of an image, and see that they are those declared.

    What they mean is not looked at. After a failure some are written.

    :raises ImageNotFound: there is none
    :raises ImageRefused: they are other ones, or too many
    :raises StorageFailure: they cannot be had
    :raises OSError: they cannot be written
    """
    limit = at_most_gib * _GIB
    if (image.size_bytes or 0) > limit:
        raise _too_large(image, image.size_bytes or 0, at_most_gib)
    sink = _Sink(file, image, limit)
    images.download(image.id, typing.cast(typing.BinaryIO, sink), progress)
    sink.verify()


def _too_large(
        image: image_spec.Image, size_bytes: int,
        at_most_gib: int) -> exception.ImageRefused:
    return exception.ImageRefused(
        image=image.id, reason=f'it has {gib(size_bytes)}, and this host '
        f'takes no more than {at_most_gib} GiB')


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
            raise self._refused('more bytes come than this host takes')
        self._file.write(data)
        if self._digest is not None:
            self._digest.update(data)
        return count

    def verify(self) -> None:
        if self._image.size_bytes not in (None, self._count):
            raise self._refused(
                f'it has {self._count} bytes instead of '
                f'{self._image.size_bytes}')
        if self._digest is not None and (
                self._digest.hexdigest() != self._image.checksum.lower()):
            raise self._refused('its checksum is not the declared one')

    def _refused(self, reason: str) -> exception.ImageRefused:
        return exception.ImageRefused(image=self._image.id, reason=reason)


def gib(size_bytes: int) -> str:
    """Return a size for messages."""
    return f'{size_bytes / _GIB:.3g} GiB'


def _digest(image: image_spec.Image) -> 'hashlib._Hash | None':
    if not image.checksum:
        return None
    # The only digest that a service gives without its name is this one.
    name = image.checksum_algorithm or 'md5'
    if name not in _DIGESTS:
        raise exception.ImageRefused(
            image=image.id,
            reason=f'its checksum is of an unknown kind: {name!r}')
    return hashlib.new(name, usedforsecurity=False)


def _remove(path: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
