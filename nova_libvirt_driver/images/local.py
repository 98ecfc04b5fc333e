# SPDX-License-Identifier: Apache-2.0

"""Images in a folder of this host, for a service without image service.

Each image has two files, named by its uuid: its bytes, and what is said of
it. Nothing that a user names becomes the name of a file.
"""

from collections.abc import Mapping
from collections.abc import Sequence
import contextlib
import os
import stat
import typing
import uuid

from oslo_log import log as logging

from nova_libvirt_driver import exception
from nova_libvirt_driver.filesystem import records
from nova_libvirt_driver.images import description
from nova_libvirt_driver.images import detection
from nova_libvirt_driver.images import folder as folder_module
from nova_libvirt_driver.images import transfer
from nova_libvirt_driver import ports
from nova_libvirt_driver.spec import image as image_spec
from nova_libvirt_driver.storage import failure

LOG = logging.getLogger(__name__)

_NO_PROPERTIES: Mapping[str, str] = {}


class LocalImages:
    """Keeps images in a folder; see :class:`ports.ImageSource`.

    The folder is created with the first image. Several processes may use it
    at the same time.
    """

    def __init__(self, folder: str) -> None:
        self._folder = folder_module.ImageFolder(folder)

    def add(
            self, path: str, *, name: str, disk_format: str = '',
            properties: Mapping[str, str] = _NO_PROPERTIES,
            min_disk_gib: int = 0, min_ram_mib: int = 0,
            progress: ports.Progress = ports.NullProgress(),
            follow: bool = True) -> image_spec.Image:
        """Copy a file of the operator's into the folder.

        :param disk_format: empty to find out
        :param follow: also where the path is a symbolic link
        :raises InvalidRequest: it is not a plain file, or is badly
            described, or the name is taken
        :raises ImageRefused: no server could start from it
        :raises StorageFailure: there is no room, or no right to write
        """
        if not name:
            raise exception.InvalidRequest(reason='an image needs a name')
        with _open(path, follow=follow) as file:
            disk_format = detection.settle(path, disk_format)
            described = image_spec.Image(
                id=str(uuid.uuid4()), name=name, disk_format=disk_format,
                properties=dict(properties), min_disk_gib=min_disk_gib,
                min_ram_mib=min_ram_mib)
            description.check(described)
            progress.step('copy')
            return self._receive(described, file, progress)

    def sweep(self) -> None:
        """Remove what killed processes have left of images.

        :raises StorageFailure: something of it stays
        """
        self._folder.sweep()

    def list(self) -> list[image_spec.Image]:
        """Return all images by their names; damaged ones are left out."""
        found, errors = self._all()
        for error in errors:
            LOG.warning('Leaving out a damaged image: %s', error)
        return sorted(found, key=lambda one: (one.name, one.id))

    def find(self, wanted: str) -> image_spec.Image:
        """Return the image of an identifier, a name, or a start of one.

        :param wanted: identifier or name, or how just one identifier begins
        :raises ImageNotFound: there is none
        :raises InvalidRequest: there are several
        """
        if wanted in self._folder.ids():
            return self.show(wanted)
        images = self.list()
        found = ([one for one in images if one.name == wanted]
                 or [one for one in images if one.id.startswith(wanted)])
        if not found or not wanted:
            raise exception.ImageNotFound(image=wanted)
        if len(found) > 1:
            raise exception.InvalidRequest(
                reason=f'{wanted!r} is more than one image: '
                       f'{", ".join(sorted(one.id for one in found))}')
        return found[0]

    def check_name(self, name: str) -> None:
        """Refuse a name that a new image cannot have.

        :raises InvalidRequest: it is taken, or no name
        """
        description.check_name(name)
        # No log: this is also done under the lock of the folder.
        if name and any(one.name == name for one in self._all()[0]):
            raise exception.InvalidRequest(
                reason=f'there is an image {name!r} already; delete it '
                       f'first, or take another name')

    def delete(self, image_id: str) -> None:
        """Remove an image, also a damaged one; a download goes on.

        :raises ImageNotFound: there is none
        """
        description.check_id(image_id)
        if image_id not in self._folder.ids():
            raise exception.ImageNotFound(image=image_id)
        with self._folder.locked():
            if image_id not in self._folder.ids():
                raise exception.ImageNotFound(image=image_id)
            self._folder.remove(image_id)

    def show(self, image_id: str) -> image_spec.Image:
        """Describe an image.

        :raises ImageNotFound: there is none
        :raises InvalidRequest: the identifier is none
        :raises StorageFailure: it is damaged
        """
        description.check_id(image_id)
        path = self._folder.description(image_id)
        try:
            described = description.loads(records.read(path))
            self._compare(image_id, described)
        except FileNotFoundError as error:
            if not os.path.exists(path):
                raise exception.ImageNotFound(image=image_id) from error
            raise self._damaged(image_id, 'it has no bytes') from error
        except (OSError, ValueError) as error:
            raise self._damaged(image_id, str(error)) from error
        return described

    def download(
            self, image_id: str, file: typing.BinaryIO,
            progress: ports.Progress) -> None:
        """Write the bytes of an image to a file."""
        self.show(image_id)
        what = f'cannot download image {image_id}'
        with failure.naming(what, self._folder.path):
            source = open(self._folder.data(image_id), 'rb')
        with source:
            transfer.send(source, file, progress, what)

    def upload(
            self, described: image_spec.Image, file: typing.BinaryIO,
            progress: ports.Progress) -> None:
        """Keep the bytes of a file as the image that is described.

        :raises InvalidRequest: it is badly described, or the identifier or
            the name is taken
        """
        description.check(described)
        self._receive(described, file, progress)

    def _all(self) -> tuple[
            Sequence[image_spec.Image], Sequence[exception.StorageFailure]]:
        """Return the images, and what is wrong with the damaged ones."""
        found, errors = [], []
        for image_id in self._folder.ids():
            # It may be deleted by now.
            with contextlib.suppress(exception.ImageNotFound):
                try:
                    found.append(self.show(image_id))
                except exception.StorageFailure as error:
                    errors.append(error)
        return found, errors

    def _receive(
            self, described: image_spec.Image, file: typing.BinaryIO,
            progress: ports.Progress) -> image_spec.Image:
        # Before a long copy, and again when it counts.
        self._refuse_taken(described)
        with self._folder.temporary(described.id) as target:
            described = transfer.receive(described, file, target, progress)
            with self._folder.locked():
                self._refuse_taken(described)
                self._folder.keep(
                    described.id, description.dumps(described))
        return described

    def _refuse_taken(self, described: image_spec.Image) -> None:
        if described.id in self._folder.ids():
            raise exception.InvalidRequest(
                reason=f'there is an image {described.id} already')
        self.check_name(described.name)

    def _compare(self, image_id: str, described: image_spec.Image) -> None:
        size = os.stat(self._folder.data(image_id)).st_size
        if described.id != image_id or described.size_bytes != size:
            raise ValueError('the description is not that of the bytes')

    def _damaged(
            self, image_id: str, why: str) -> exception.StorageFailure:
        path = self._folder.description(image_id)
        return exception.StorageFailure(
            reason=f'image {image_id} is damaged, see {path}: {why}; delete '
                   f'it and add it again', path=path)


def _open(path: str, *, follow: bool) -> typing.BinaryIO:
    """Open a plain file; one that is not is not waited for."""
    more = os.O_NONBLOCK | os.O_CLOEXEC | (0 if follow else os.O_NOFOLLOW)
    try:
        file = open(path, 'rb', opener=lambda name, flags: os.open(
            name, flags | more))
    except (OSError, ValueError) as error:
        raise exception.InvalidRequest(
            reason=f'{path} cannot be read: '
                   f'{getattr(error, "strerror", None) or error}') from error
    status = os.fstat(file.fileno())
    if not stat.S_ISREG(status.st_mode) or not status.st_size:
        file.close()
        raise exception.InvalidRequest(
            reason=f'{path} is not an image: it is empty, or not a plain file')
    return file
