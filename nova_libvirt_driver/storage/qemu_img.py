# SPDX-License-Identifier: Apache-2.0

"""Making and converting disk images.

Every call names the format of every file: the tool never looks for itself
(CVE-2013-1922, CVE-2026-24708). What is read is opened as a tree of nodes
that names each file below it, or none: whatever an image says, QEMU opens
no other. A file that it creates must not exist before, and goes when it cannot
be made.
"""

from collections.abc import Iterator
from collections.abc import Sequence
import contextlib
import dataclasses
import functools
import json
import os
import re
import typing

from nova_libvirt_driver import exception
from nova_libvirt_driver import ports
from nova_libvirt_driver.privileged import client
from nova_libvirt_driver.spec import image as image_spec
from nova_libvirt_driver.spec import policy as policy_spec
from nova_libvirt_driver.storage import atomic
from nova_libvirt_driver.storage import backing as backing_module
from nova_libvirt_driver.storage import failure
from nova_libvirt_driver.storage import image_file
from nova_libvirt_driver.storage import qcow2_header
from nova_libvirt_driver.storage import tool as tool_module

_MODE = 0o640
_MIB = 1 << 20
_PERCENT = re.compile(r'\((\d+(?:\.\d+)?)/100%\)')
_RAW = image_spec.DiskFormat.RAW
_QCOW2 = image_spec.DiskFormat.QCOW2
# QEMU may take the size of a VHD image from its geometry, which is rounded.
_OPEN_OPTIONS = {image_spec.DiskFormat.VHD: {
    'force_size_calc': 'current_size'}}
_Node = dict[str, typing.Any]


class QemuImg:
    """Runs ``qemu-img`` where there is no way without."""

    def __init__(
            self, tool: tool_module.Tool,
            policy: policy_spec.StoragePolicy) -> None:
        self._tool = tool
        self._policy = policy

    def virtual_size_bytes(self, path: str, format: str) -> int:
        """Return the size of a disk of that format, as its guest sees it.

        :raises StorageFailure: it cannot be read as such
        """
        word = _word(format)
        try:
            if word not in (_RAW, _QCOW2):
                return int(self.examine(path, word)['virtual-size'])
            with image_file.opened(path) as file:
                return (file.length if word == _RAW
                        else qcow2_header.virtual_size_bytes(file))
        except (OSError, ValueError, KeyError) as error:
            raise exception.StorageFailure(
                reason=f'{path} cannot be read as {format}: {error}',
                path=path) from error

    def examine(self, path: str, format: str) -> dict[str, typing.Any]:
        """Return what QEMU itself says of an image; opens no other file.

        :raises ToolFailure: QEMU refuses it, or says more than is kept of
            what a program prints
        :raises StorageFailure: it cannot be looked at
        """
        said = self._tool.run(
            ['qemu-img', 'info', '--output=json',
             _filename(_node(_absolute(path), _word(format)))],
            reads=[path])
        try:
            found = json.loads(said)
        except ValueError as error:
            # An image may have tens of thousands of snapshots of its own.
            raise exception.ToolFailure(
                reason='qemu-img says too much of it to be read: '
                f'{error}', path=path) from error
        assert isinstance(found, dict)
        return found

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
                                _absolute(path), str(size_bytes)],
                               writes=[path])

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
                _absolute(path), str(size_bytes)],
                reads=[backing], writes=[path])

    def convert(
            self, source: str, source_format: str, target: str,
            target_format: str, *, compress: bool = False,
            progress: ports.Progress) -> None:
        """Copy an image into a file of another format, or of the same.

        No other file is read, even when the image names one. The copy may
        not be on the disk yet. It takes no more room than a disk of that
        size may take.

        :raises StorageFailure: the target exists, or cannot be made
        """
        client.ensure_readable(source)
        layer = backing_module.Base(_absolute(source), _word(source_format))
        self._convert((layer,), target, target_format, compress, progress)

    def flatten(
            self, source: str, source_format: str, target: str,
            target_format: str, *, compress: bool = False,
            progress: ports.Progress) -> None:
        """Copy a disk that this host made, with what it is based on.

        Otherwise like :meth:`convert`.

        :raises StorageFailure: the target exists, or cannot be made
        """
        client.ensure_readable(source)
        self._convert(_layers(source, source_format), target, target_format,
                      compress, progress)

    def _convert(
            self, layers: Sequence[backing_module.Base], target: str,
            target_format: str, compress: bool,
            progress: ports.Progress) -> None:
        top = layers[0]
        total = self.virtual_size_bytes(top.path, top.format)
        report = _Report(progress, total)
        with _new_file(target):
            self._tool.run(
                ['qemu-img', 'convert', '-p', *(['-c'] if compress else ()),
                 '-O', _word(target_format), _filename(_tree(layers)),
                 _absolute(target)],
                reads=[layer.path for layer in layers], writes=[target],
                cpu_s=self._policy.tool_convert_cpu_s,
                file_bytes=_longest(total, target_format),
                on_line=report.read, watch=report.repeat)

    def flush(self, path: str) -> None:
        """Write a file through to the disk.

        In a process of its own: that may take long, and would stop all of
        an eventlet process.

        :raises StorageFailure: it cannot be written
        """
        self._tool.run(['sync', '--', _absolute(path)], reads=[path])

    def resize(self, path: str, format: str, size_bytes: int) -> None:
        """Give a disk another size; smaller ones are refused.

        :raises StorageFailure: that failed; the disk may be in use
        """
        client.ensure_writable(path)
        below = _layers(path, format)[1:]
        self._tool.run(['qemu-img', 'resize', '-q', '-f', _word(format),
                        path, str(size_bytes)],
                       reads=[layer.path for layer in below], writes=[path])

    def files_below(self, path: str) -> list[str]:
        """Return the files that a qcow2 disk is based on, the top one first.

        :raises StorageFailure: one of them cannot be read, or its format is
            not known
        """
        return [layer.path for layer in _known_layers(path)[1:]]

    def merge(
            self, path: str, lower: str, upper: str,
            progress: ports.Progress) -> None:
        """Merge files of a qcow2 disk that nothing has open.

        All of them are in one folder, and name each other without it. On
        failure, and when this is killed, the disk has all that it had.

        :param lower: the file that stays below, empty for none
        :param upper: is taken in by *lower*; empty: the disk takes in what
            is above *lower*
        :raises StorageFailure: they could not be merged
        """
        layers = _known_layers(path)
        places = [layer.path for layer in layers]
        base = layers[places.index(lower)] if lower else None
        over = layers[places.index(upper) - 1].path if upper else path
        sizes = [self.virtual_size_bytes(layer.path, layer.format)
                 for layer in layers]
        if upper and sizes[places.index(upper)] < min(
                sizes[places.index(lower)], sizes[places.index(over)]):
            raise exception.StorageFailure(
                reason=f'{upper} is smaller than the files below and above '
                'it, which would show what it hides', path=upper)
        run = functools.partial(
            self._merge_tool, reads=places,
            report=_Report(progress, sizes[0]))
        to = ([_beside(base.path), '-F', _word(base.format)] if base else [''])
        if upper:
            # What is taken in stays as it is, should the next step fail.
            run(['commit', '-p', '-d', '-f', _QCOW2, '-b', lower, upper],
                [lower, upper])
        run(['rebase', *(['-u'] if upper else ['-p']), '-f', _QCOW2, '-b',
             *to, over], [over])

    def _merge_tool(
            self, words: Sequence[str], written: Sequence[str], *,
            reads: Sequence[str], report: '_Report') -> None:
        for place in written:
            client.ensure_writable(place)
        # A file may hold more than the disk, such as snapshots of its own.
        longest = max(map(os.path.getsize, written))
        self._tool.run(
            ['qemu-img', *words], reads=reads, writes=written,
            cpu_s=self._policy.tool_convert_cpu_s,
            file_bytes=longest + _longest(report.total, _QCOW2),
            on_line=report.read, watch=report.repeat)


def _layers(path: str, format: str) -> tuple[backing_module.Base, ...]:
    with failure.naming(f'{path} cannot be read', path):
        return backing_module.layers(_absolute(path), _word(format))


def _known_layers(path: str) -> tuple[backing_module.Base, ...]:
    """Return the files of a qcow2 disk, none of which QEMU has to look at."""
    layers = _layers(path, _QCOW2)
    if not layers[-1].format:
        raise exception.StorageFailure(
            reason=f'{layers[-1].path} is below a file that does not say '
            'which format it has: start the server, and try again',
            path=layers[-1].path)
    for layer in layers:
        client.ensure_readable(layer.path)
    return layers


def _node(path: str, format: str) -> _Node:
    """Return what QEMU is to open, and nothing below it."""
    return {'driver': format,
            'file': {'driver': 'file', 'filename': path},
            'backing': None, **_OPEN_OPTIONS.get(_format(format), {})}


def _tree(layers: Sequence[backing_module.Base]) -> _Node:
    top, *below = layers
    node = _node(top.path, _word(top.format))
    if below and below[0].format:
        node['backing'] = _tree(below)
    elif below:
        # An old disk, that does not say what its base is: QEMU looks itself.
        del node['backing']
    return node


def _filename(node: _Node) -> str:
    return f'json:{json.dumps(node)}'


def _beside(path: str) -> str:
    """Return how a file of the same folder names another."""
    name = os.path.basename(path)
    # What is before a colon would be a protocol.
    return f'./{name}' if ':' in name else name


def _word(format: str) -> str:
    known = _format(format)
    return str(_RAW if known is image_spec.DiskFormat.ISO else known)


def _format(format: str) -> image_spec.DiskFormat:
    try:
        return image_spec.DiskFormat(format)
    except ValueError as error:
        raise exception.StorageFailure(
            reason=f'{format!r} is not a disk format', path='') from error


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
        raise ValueError(f'{path!r} is not an absolute path')
    return path


@dataclasses.dataclass(slots=True)
class _Report:
    """How much of a conversion is done, as the program says."""

    progress: ports.Progress
    total: int
    done: int = 0

    def read(self, line: str) -> None:
        """Take what it says in a line."""
        found = _PERCENT.search(line)
        if found is not None:
            self.done = int(self.total * float(found[1]) / 100)
            self.repeat()

    def repeat(self) -> None:
        """Say it once more; raises when the conversion is to end."""
        self.progress.advance(self.done, self.total)


@contextlib.contextmanager
def _new_file(path: str) -> Iterator[int]:
    """Make a file that none but QEMU's group may read, before it is filled.

    The tool keeps the mode of a file that exists, whatever the umask is.
    """
    with failure.naming(f'cannot make {path}', os.path.dirname(path)):
        descriptor = os.open(
            path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, _MODE)
        try:
            os.fchmod(descriptor, _MODE)
            yield descriptor
        except BaseException:
            atomic.discard(path)
            raise
        finally:
            os.close(descriptor)
