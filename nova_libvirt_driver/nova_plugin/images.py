# SPDX-License-Identifier: Apache-2.0

"""Images in Nova's image service."""

from collections.abc import Iterator
import typing

from cryptography import exceptions as crypto_exceptions
from nova import exception as nova_exception
from nova.image import glance

from nova_libvirt_driver import exception
from nova_libvirt_driver import ports
from nova_libvirt_driver.spec import image as image_spec

_ACTIVE = 'active'
_CHUNK_BYTES = 1 << 20
# Kernels, ramdisks and file systems of Amazon's kind: nothing but bytes.
_BYTES = ('aki', 'ami', 'ari')
_RAW = 'raw'


class GlanceImages:
    """The image source of one request.

    Nova's image service checks the checksum, and the signature when it is
    told to.

    :param context: the request, whose rights count
    :param trusted_certs: certificates that may have signed an image
    """

    def __init__(
            self, context: typing.Any, trusted_certs: typing.Any = None
    ) -> None:
        self._context = context
        self._trusted_certs = trusted_certs
        self._api = glance.API()

    def show(self, image_id: str) -> image_spec.Image:
        """Describe an image, but for its size: that is Glance's to check.

        :raises ImageNotFound: there is none, or it is not to be seen
        """
        found = self._get(image_id)
        disk_format = str(found.get('disk_format') or '')
        return image_spec.Image(
            id=image_id,
            disk_format=_RAW if disk_format in _BYTES else disk_format,
            name=str(found.get('name') or ''),
            min_disk_gib=int(found.get('min_disk') or 0),
            min_ram_mib=int(found.get('min_ram') or 0),
            properties={name: str(value) for name, value
                        in (found.get('properties') or {}).items()})

    def download(
            self, image_id: str, file: typing.BinaryIO,
            progress: ports.Progress) -> None:
        """Write the bytes of an image to a file.

        :raises ImageNotFound: there is none
        :raises ImageRefused: the checksum or the signature is not that of
            the bytes; another host would get the same ones
        :raises StorageFailure: they cannot be had
        """
        total = int(self._get(image_id).get('size') or 0)
        try:
            self._api.download(
                self._context, image_id, data=_Watched(file, total, progress),
                trusted_certs=self._trusted_certs)
        except nova_exception.ImageNotFound as error:
            raise exception.ImageNotFound(image=image_id) from error
        except crypto_exceptions.InvalidSignature as error:
            raise exception.ImageRefused(
                image=image_id, reason='its signature is not valid'
            ) from error
        except BrokenPipeError as error:
            # What the client of Glance says of a checksum.
            raise exception.ImageRefused(
                image=image_id, reason='its bytes are not those that were '
                'uploaded, by their checksum') from error
        except (nova_exception.NovaException, OSError) as error:
            raise exception.StorageFailure(
                reason=f'image {image_id} cannot be downloaded: {error}'
            ) from error

    def upload(
            self, described: image_spec.Image, file: typing.BinaryIO,
            progress: ports.Progress) -> None:
        """Give a registered image its bytes.

        :raises StorageFailure: they cannot be kept
        """
        found = self._get(described.id)
        # What was asked for when it was registered stays: an image that is
        # a backup is found again by that.
        properties = {**described.properties,
                      **found.get('properties', {})}
        try:
            self._api.update(
                self._context, described.id, {
                    'status': _ACTIVE, 'name': found.get('name'),
                    'disk_format': described.disk_format,
                    'container_format': found.get('container_format')
                    or 'bare',
                    'properties': properties},
                data=_Watched(file, described.size_bytes or 0, progress),
                purge_props=False)
        except (nova_exception.NovaException, OSError) as error:
            raise exception.StorageFailure(
                reason=f'image {described.id} cannot be uploaded: {error}'
            ) from error

    def _get(self, image_id: str) -> dict[str, typing.Any]:
        try:
            found: dict[str, typing.Any] = self._api.get(
                self._context, image_id)
        except (nova_exception.ImageNotFound,
                nova_exception.ImageNotAuthorized) as error:
            raise exception.ImageNotFound(image=image_id) from error
        return found


class _Watched:
    """A file that tells how much was read from it, or written to it."""

    def __init__(
            self, file: typing.BinaryIO, total: int,
            progress: ports.Progress) -> None:
        self._file = file
        self._total = total
        self._done = 0
        self._progress = progress

    def write(self, data: bytes) -> None:
        self._file.write(data)
        self._advance(len(data))

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(size)
        self._advance(len(data))
        return data

    def __iter__(self) -> Iterator[bytes]:
        while data := self.read(_CHUNK_BYTES):
            yield data

    def __getattr__(self, name: str) -> typing.Any:
        return getattr(self._file, name)

    def _advance(self, number: int) -> None:
        self._done += number
        self._progress.advance(self._done, self._total)
