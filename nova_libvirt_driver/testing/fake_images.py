# SPDX-License-Identifier: Apache-2.0

"""A place for images in memory that fails when and how a test wants it."""

from collections.abc import Callable
import dataclasses
import hashlib
import os
import typing
import uuid

from nova_libvirt_driver import exception
from nova_libvirt_driver import ports
from nova_libvirt_driver.spec import image as image_spec

_CHUNK_BYTES = 64 * 1024


def _go_on() -> None:
    """Wait for nothing."""


@dataclasses.dataclass
class Faults:
    """What goes wrong, for every transfer that begins from now on."""

    download_fails_at: int | None = None
    """So many bytes are written before it fails; None: it does not."""
    upload_fails_at: int | None = None
    """So many bytes are read before it fails."""
    corrupt: bool = False
    """The first byte that is downloaded is a wrong one."""
    before_chunk: Callable[[], object] = _go_on
    """Called before each piece of a transfer; may block, or raise."""


class MemoryImages:
    """Keeps images in memory; see :class:`ports.ImageSource`.

    :ivar faults: may be changed at any time
    :ivar downloads: identifiers in the order in which they were asked for
    :ivar uploads: the same for uploads, failed ones included
    """

    def __init__(self) -> None:
        self.faults = Faults()
        self.downloads: list[str] = []
        self.uploads: list[str] = []
        self._images: dict[str, image_spec.Image] = {}
        self._contents: dict[str, bytes] = {}

    def add(
            self, content: bytes, *, disk_format: str = 'raw',
            **fields: typing.Any) -> image_spec.Image:
        """Keep an image.

        :param fields: of :class:`image_spec.Image`; identifier, length and
            checksum are right ones unless they are given
        """
        known: dict[str, typing.Any] = {
            'id': str(uuid.uuid4()), 'size_bytes': len(content),
            'checksum': hashlib.sha512(content).hexdigest(),
            'checksum_algorithm': 'sha512'}
        kept = image_spec.Image(
            disk_format=disk_format, **{**known, **fields})
        self._images[kept.id] = kept
        self._contents[kept.id] = content
        return kept

    def register(self, described: image_spec.Image) -> None:
        """Know of an image that has no bytes yet."""
        self._images[described.id] = described

    def content(self, image_id: str) -> bytes | None:
        """Return the bytes of an image, None when it has none."""
        return self._contents.get(image_id)

    @property
    def ids(self) -> list[str]:
        """Identifiers of all images that have bytes, sorted."""
        return sorted(self._contents)

    def show(self, image_id: str) -> image_spec.Image:
        """Describe an image."""
        if image_id not in self._images:
            raise exception.ImageNotFound(image=image_id)
        return self._images[image_id]

    def download(
            self, image_id: str, file: typing.BinaryIO,
            progress: ports.Progress) -> None:
        """Write the bytes of an image, or a part of them."""
        self.downloads.append(image_id)
        if image_id not in self._contents:
            raise exception.ImageNotFound(image=image_id)
        content = self._contents[image_id]
        if self.faults.corrupt and content:
            content = bytes((content[0] ^ 0xff,)) + content[1:]
        limit = self.faults.download_fails_at
        end = len(content) if limit is None else min(limit, len(content))
        for start in range(0, end, _CHUNK_BYTES):
            self.faults.before_chunk()
            file.write(content[start:min(start + _CHUNK_BYTES, end)])
            progress.advance(
                min(start + _CHUNK_BYTES, end), len(content))
        if limit is not None:
            raise exception.StorageFailure(
                reason=f'the transfer of image {image_id} broke off')

    def upload(
            self, described: image_spec.Image, file: typing.BinaryIO,
            progress: ports.Progress) -> None:
        """Keep the bytes of a file, all of them or none."""
        self.uploads.append(described.id)
        total = os.fstat(file.fileno()).st_size
        limit = self.faults.upload_fails_at
        content = bytearray()
        while chunk := file.read(_CHUNK_BYTES):
            self.faults.before_chunk()
            content += chunk
            if limit is not None and len(content) >= limit:
                raise exception.StorageFailure(
                    reason=f'the transfer of image {described.id} broke off')
            progress.advance(len(content), total)
        self._images[described.id] = dataclasses.replace(
            described, size_bytes=len(content))
        self._contents[described.id] = bytes(content)
