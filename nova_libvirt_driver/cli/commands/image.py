# SPDX-License-Identifier: Apache-2.0

"""``nova-libvirt image``: the images that servers of this host start from.

They are files in a folder below ``state_path``; libvirt is not asked.
"""

import argparse
from collections.abc import Iterator
import contextlib
import os
import tempfile
from typing import Any
from typing import BinaryIO
from typing import TYPE_CHECKING

from nova_libvirt_driver.cli import arguments as kinds
from nova_libvirt_driver.cli.commands import base
from nova_libvirt_driver.cli import configuration
from nova_libvirt_driver.cli import confirmation
from nova_libvirt_driver.cli import errors
from nova_libvirt_driver.cli import naming
from nova_libvirt_driver.cli.output import cells
from nova_libvirt_driver.cli.output import progress
from nova_libvirt_driver.cli import sources
from nova_libvirt_driver import exception
from nova_libvirt_driver.spec import image as image_spec
from nova_libvirt_driver.spec import instance as instance_spec

if TYPE_CHECKING:
    from nova_libvirt_driver.images import local as local_images

Shown = tuple[tuple[str, ...], tuple[Any, ...]]
Listed = tuple[tuple[str, ...], list[tuple[Any, ...]]]

_COLUMNS = ('ID', 'Name', 'Format', 'Size MiB')
_BYTES_PER_MIB = 1 << 20


class ImageAdd(base.Lister):
    """Keep a file as an image, or each file of a folder as one.

    The format is the one that is found in the file, unless --disk-format says
    which one it has to be. A file that is not a disk is kept only with
    --disk-format raw.

    Example: nova-libvirt image add ./debian-12.qcow2 --name debian
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        parser.add_argument(
            'path', metavar='FILE', help='file, or folder of such files')
        parser.add_argument(
            '--name', help='by default that of the file, without its ending')
        parser.add_argument(
            '--disk-format', metavar='FORMAT', default='',
            choices=[kind.value for kind in image_spec.DiskFormat],
            help='raw, qcow2, vmdk, vpc, vhdx, vdi or iso')
        parser.add_argument(
            '--property', action='append', type=kinds.pair, default=[],
            dest='properties', metavar='NAME=VALUE',
            help='for example hw_disk_bus=scsi; may be repeated')
        parser.add_argument(
            '--min-disk', type=kinds.number, default=0, metavar='GIB',
            help='root disk that a server needs to start from it')
        parser.add_argument(
            '--min-ram', type=kinds.number, default=0, metavar='MIB',
            help='memory that a server needs to start from it')
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Listed:
        images = sources.images(
            configuration.load(base.arguments_of(self)))
        rows: list[tuple[Any, ...]] = []
        for path, name in _files(parsed_args.path, parsed_args.name):
            with errors.state(_kept('added', rows)):
                rows.append(_row(self._add(images, path, name, parsed_args)))
        return _COLUMNS, rows

    def _add(
            self, images: 'local_images.LocalImages', path: str, name: str,
            parsed_args: argparse.Namespace) -> image_spec.Image:
        check_free(images, name)
        quiet = not base.arguments_of(self).verbose_level
        with progress.shown(
                self.app.stderr, f'adding {name}', quiet=quiet) as line:
            return images.add(
                path, name=name, disk_format=parsed_args.disk_format,
                properties=dict(parsed_args.properties),
                min_disk_gib=parsed_args.min_disk,
                min_ram_mib=parsed_args.min_ram, progress=line,
                # Only the path that was given is the caller's: what is in a
                # folder may have become a link since it was listed.
                follow=not os.path.isdir(parsed_args.path))


class ImageList(base.Lister):
    """List the images of this host.

    Example: nova-libvirt image list -f json
    """

    def take_action(self, parsed_args: argparse.Namespace) -> Listed:
        images = sources.images(
            configuration.load(base.arguments_of(self)))
        return _COLUMNS, [_row(image) for image in images.list()]


class ImageDelete(base.Lister):
    """Delete images; servers that were made from them go on.

    Example: nova-libvirt image delete debian --yes
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        parser.add_argument(
            'images', nargs='+', metavar='NAME', help='name or id')
        confirmation.add_option(parser)
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Listed:
        images = sources.images(
            configuration.load(base.arguments_of(self)))
        found = {image.id: image for image in (
            _find_damaged(images, word) for word in parsed_args.images)}
        names = ', '.join(image.name for image in found.values())
        confirmation.obtain(
            self.app, f'delete image {names}', yes=parsed_args.yes)
        rows: list[tuple[Any, ...]] = []
        for image in found.values():
            with errors.state(_kept('deleted', rows)):
                images.delete(image.id)
            rows.append(_row(image))
        return _COLUMNS, rows


class ImageDownload(base.ShowOne):
    """Write an image to a file, such as a snapshot that is to go elsewhere.

    Example: nova-libvirt image download web1-monday ./web1.qcow2
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        parser.add_argument('image', metavar='NAME', help='name or id')
        parser.add_argument('path', metavar='FILE', help='file to write')
        parser.add_argument(
            '--force', action='store_true',
            help='also if there is such a file already')
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Shown:
        arguments = base.arguments_of(self)
        images = sources.images(configuration.load(arguments))
        image = find(images, parsed_args.image)
        path = os.path.abspath(os.path.expanduser(parsed_args.path))
        if os.path.lexists(path) and not parsed_args.force:
            raise errors.Conflict(
                f'{path} is there already', 'name another file, or add '
                '--force to replace it')
        with (progress.shown(
                self.app.stderr, f'downloading {image.name}',
                quiet=not arguments.verbose_level) as line,
              errors.state(f'{path} is as it was'),
              _replacing(path) as file):
            line.step('copy')
            images.download(image.id, file, line)
        return ('id', 'name', 'format', 'size_bytes', 'path'), (
            image.id, cells.Text(image.name), image.disk_format,
            cells.Number(image.size_bytes), cells.Text(path))


@contextlib.contextmanager
def _replacing(path: str) -> Iterator[BinaryIO]:
    """Lend a file that takes the place of another one when it is complete."""
    descriptor, part = tempfile.mkstemp(
        prefix='.', suffix='.part', dir=os.path.dirname(path))
    try:
        with open(descriptor, 'wb') as file:
            yield file
            file.flush()
            os.fsync(descriptor)
        os.rename(part, path)
    except BaseException:
        os.unlink(part)
        raise


def find(
        images: 'local_images.LocalImages', word: str) -> image_spec.Image:
    """Return the image that is meant.

    :param word: its name or its id
    :raises NotFound: there is none
    """
    try:
        return images.find(word)
    except exception.ImageNotFound as error:
        raise errors.NotFound(str(error), naming.advice(
            word, [image.name for image in images.list()],
            'nova-libvirt image list')) from error


def check_free(images: 'local_images.LocalImages', name: str) -> None:
    """See whether a new image can have a name.

    :raises Conflict: another one has it
    """
    if any(image.name == name for image in images.list()):
        raise errors.Conflict(
            f'there is an image {name} already',
            'take another --name, or delete it: nova-libvirt image delete '
            f'{name}')


def shown(image: image_spec.Image) -> Shown:
    """Return the fields of an image."""
    fields = {
        'id': image.id, 'name': cells.Text(image.name),
        'format': image.disk_format,
        'size_bytes': cells.Number(image.size_bytes),
        'min_disk_gib': image.min_disk_gib,
        'min_ram_mib': image.min_ram_mib,
        'checksum': image.checksum,
        'properties': cells.Pairs(dict(image.properties)),
    }
    return tuple(fields), tuple(fields.values())


def _files(path: str, name: str | None) -> list[tuple[str, str]]:
    """Return the paths of what is added, with the names of the images."""
    path = os.path.abspath(os.path.expanduser(path))
    if not os.path.isdir(path):
        return [(path, name or _stem(path))]
    if name:
        raise errors.UsageError(
            f'{path} is a folder, whose files are named one by one',
            'leave --name out')
    files = sorted(entry.path for entry in os.scandir(path)
                   if entry.is_file(follow_symlinks=False)
                   and not entry.name.startswith('.'))
    if not files:
        raise errors.UsageError(
            f'there is no file in {path}', 'name a file')
    return [(file, _stem(file)) for file in files]


def _stem(path: str) -> str:
    return os.path.splitext(os.path.basename(path))[0]


def _find_damaged(
        images: 'local_images.LocalImages', word: str) -> image_spec.Image:
    """Return the image that is meant, also one that cannot be read."""
    try:
        return find(images, word)
    except exception.StorageFailure:
        if not instance_spec.is_uuid(word):
            raise
        return image_spec.Image(id=word, name=word, disk_format='')


def _kept(done: str, rows: list[tuple[Any, ...]]) -> str:
    names = ', '.join(row[1].human_readable() for row in rows)
    return f'{done}: {names}' if names else 'nothing was changed'


def _row(image: image_spec.Image) -> tuple[Any, ...]:
    size = image.size_bytes
    return (cells.Id(image.id), cells.Text(image.name), image.disk_format,
            cells.Number(None if size is None else size // _BYTES_PER_MIB))
