# SPDX-License-Identifier: Apache-2.0

"""Brings every hostile image into the cache, as a process of its own.

usage: python -m tests.functional.import_images FOLDER TARGET SANDBOX

Prints counts by format as JSON. Each image goes the whole way into the cache.
In a sandbox one that names a file is then converted as if nothing had looked
at it before.
"""

import collections
from concurrent import futures
import contextlib
import json
import logging
import os
import pathlib
import sys
import tempfile
import threading

from nova_libvirt_driver import exception
from nova_libvirt_driver import ports
from nova_libvirt_driver.spec import image as image_spec
from nova_libvirt_driver.spec import policy as policy_spec
from nova_libvirt_driver.storage import image_cache
from nova_libvirt_driver.storage import qemu_img as qemu_img_module
from nova_libvirt_driver.storage import tool as tool_module
from nova_libvirt_driver.testing import fake_images
from tests import hostile_images

OUTCOMES = (
    'images', 'accepted', 'accepted by mistake', 'converted', 'refused')

_FORMATS = frozenset(map(str, image_spec.DiskFormat))

# A sandbox waits for the kernel for most of its time.
_THREADS = 12

_Counts = collections.Counter[tuple[str, str]]


class Import:
    """Brings images, and keeps count of what became of them.

    Threads may bring images at the same time.

    :ivar counts: how many images, by format and what became of them
    :ivar wrong: what should not have become of one
    """

    def __init__(self, folder: str, sandbox: str) -> None:
        policy = policy_spec.StoragePolicy(
            instances_path=folder, image_max_gib=1,
            tool_sandbox=policy_spec.ToolSandbox(sandbox))
        self._folder = folder
        self._qemu_img = qemu_img_module.QemuImg(
            tool_module.Tool(policy), policy)
        self._cache = image_cache.ImageCache(policy, self._qemu_img)
        self._lock = threading.Lock()
        self.counts: _Counts = collections.Counter()
        self.wrong: list[str] = []

    def bring(self, image: hostile_images.Hostile) -> None:
        """Bring one image into the cache."""
        images = fake_images.MemoryImages()
        image_id = images.add(
            image.content, disk_format=image.declared).id
        what = f'{image.format} {image.name!r}, declared {image.declared}'
        self._count(image, 'images')
        try:
            with self._cache.using(
                    image_id, images, ports.NullProgress()) as cached:
                path = cached.path
        except exception.ImageRefused as error:
            self._count(image, 'refused')
            if self._folder in f'{error} {error.next_step}':
                self.wrong.append(f'{what}: names a path: {error}')
            return
        except exception.DriverError as error:
            self.wrong.append(f'{what}: {error}')
            return
        os.unlink(path)
        self._count(image, 'accepted')
        if image.names_file:
            self._count(image, 'accepted by mistake')

    def convert(self, image: hostile_images.Hostile) -> None:
        """Convert an image without a look at it."""
        with tempfile.TemporaryDirectory(dir=self._folder) as folder:
            source, target = (os.path.join(folder, name)
                              for name in ('unseen', 'converted'))
            pathlib.Path(source).write_bytes(image.content)
            with contextlib.suppress(exception.StorageFailure):
                self._qemu_img.convert(
                    source, image.declared, target, 'raw',
                    progress=ports.NullProgress())
        self._count(image, 'converted')

    def _count(self, image: hostile_images.Hostile, what: str) -> None:
        with self._lock:
            self.counts[image.format, what] += 1


def main() -> None:
    folder, target, sandbox = sys.argv[1:]
    # The library tells in many words what it sees.
    logging.disable(logging.CRITICAL)
    run = Import(folder, sandbox)

    def work(image: hostile_images.Hostile) -> None:
        if sandbox == 'required' or image.names_file:
            run.bring(image)
        if sandbox == 'required' and image.names_file and (
                image.declared in _FORMATS - {'raw'}):
            run.convert(image)

    with futures.ThreadPoolExecutor(_THREADS) as pool:
        for _ in pool.map(work, hostile_images.images(target)):
            pass
    print(json.dumps({'wrong': run.wrong, 'counts': {
        format: {what: run.counts[format, what] for what in OUTCOMES}
        for format in sorted({format for format, _ in run.counts})}}))


if __name__ == '__main__':
    main()
