# SPDX-License-Identifier: Apache-2.0

"""Many guests that look as if Nova had made them, on a private host.

Both drivers take them for theirs: names, metadata, folders and records are
those of Nova. A few run; all have a root disk over an image and a volume.
"""

from collections.abc import Iterable
from collections.abc import Iterator
import json
import pathlib
import shutil
import subprocess
from typing import Any
import uuid

from lxml import etree

from nova_libvirt_driver.testing import guests
from nova_libvirt_driver.xmlmodel import domain as domain_model

RUNNING = 5
IMAGE_ID = '8a1c5f5e-3c0e-4b7e-9d62-1f4b7c2d9e10'
_MEMORY_MIB = 32
_VIRTUAL_BYTES = 64 << 20
_IMAGE_BYTES = 1 << 20
_VOLUME_BYTES = 1 << 16


def name_of(number: int) -> str:
    """Return the name of a guest; they are counted from 1."""
    return f'instance-{number:08x}'


def uuid_of(number: int) -> str:
    """Return the uuid of a guest."""
    return str(uuid.uuid5(uuid.NAMESPACE_OID, name_of(number)))


def volume_of(number: int) -> str:
    """Return the identifier of the volume of a guest."""
    return str(uuid.uuid5(uuid.NAMESPACE_OID, f'volume-{number}'))


class Herd:
    """The guests of one host; there are never fewer than before.

    :param connection: of libvirt's own
    :param instances: Nova's ``instances_path``; its parent gets the volumes
    :param image: raw disk that the guests boot from
    :param running: how many of them run
    """

    def __init__(
            self, connection: Any, instances: pathlib.Path, *,
            image: bytes = b'', memory_mib: int = _MEMORY_MIB,
            running: int = RUNNING) -> None:
        self._connection = connection
        self._instances = instances
        self._image = image or guests.boot_sector('up').ljust(
            _IMAGE_BYTES, b'\0')
        self._memory_mib = memory_mib
        self._running = running
        self._volumes = instances.parent / 'volumes'
        self.size = 0

    def grow(self, size: int) -> None:
        """Define guests until there are so many, and start the first few."""
        if not self.size:
            self._prepare()
        for number in range(self.size + 1, size + 1):
            made = self._connection.defineXML(self._make(number))
            if number <= self._running:
                made.create()
        self.size = max(self.size, size)

    def _prepare(self) -> None:
        base = self._instances / '_base' / 'image'
        base.parent.mkdir(parents=True)
        self._volumes.mkdir()
        base.write_bytes(self._image)
        subprocess.run(
            ['qemu-img', 'create', '-q', '-f', 'qcow2', '-b', str(base),
             '-F', 'raw', str(self._pattern), str(_VIRTUAL_BYTES)],
            check=True)

    @property
    def _pattern(self) -> pathlib.Path:
        return self._instances.parent / 'pattern'

    def _make(self, number: int) -> str:
        """Make the files of a guest; return its XML."""
        folder = self._instances / uuid_of(number)
        folder.mkdir()
        disk = folder / 'disk'
        shutil.copyfile(self._pattern, disk)
        (folder / 'disk.info').write_text(json.dumps({str(disk): 'qcow2'}))
        (folder / 'console.log').touch()
        volume = self._volumes / volume_of(number)
        volume.write_bytes(bytes(_VOLUME_BYTES))
        return etree.tostring(
            domain(
                number, folder, volume, memory_mib=self._memory_mib),
            encoding='unicode')


def domain(
        number: int, folder: pathlib.Path, *volumes: pathlib.Path,
        memory_mib: int = _MEMORY_MIB) -> etree._Element:
    """Return the XML of a guest.

    :param folder: of its files, except for its volumes
    """
    return _element(
        'domain', _element('name', name_of(number)),
        _element('uuid', uuid_of(number)),
        _element('metadata', _metadata(number, memory_mib)),
        _element('memory', str(memory_mib), unit='MiB'),
        _element('vcpu', '1'),
        _element('os', _element('type', 'hvm', arch='x86_64', machine='pc')),
        _element('features', _element('acpi'), _element(
            # QEMU would reserve a gigabyte for each.
            'tcg', _element('tb-cache', '32', unit='MiB'))),
        _element(
            'devices', _disk('vda', 'qcow2', folder / 'disk'),
            *(_disk(f'vd{letter}', 'raw', volume, volume.name)
              for letter, volume in zip('bcdefgh', volumes, strict=False)),
            *_console(folder / 'console.log'),
            _element('controller', type='usb', model='none')),
        type='qemu')


def _metadata(number: int, memory_mib: int) -> etree._Element:
    return _nova(
        'instance', _nova('package', version='34.0.0'),
        _nova('name', f'server-{number}'),
        _nova('creationTime', '2026-11-25 12:00:00'),
        _nova('flavor', _nova('memory', str(memory_mib)), _nova('disk', '0'),
              _nova('swap', '0'), _nova('ephemeral', '0'),
              _nova('vcpus', '1'), name='tiny'),
        _nova('owner', _nova('user', 'bench', uuid='b' * 32),
              _nova('project', 'bench', uuid='c' * 32)),
        _nova('root', type='image', uuid=IMAGE_ID))


def _disk(
        target: str, format: str, path: pathlib.Path,
        serial: str = '') -> etree._Element:
    return _element(
        'disk', _element('driver', name='qemu', type=format),
        _element('source', file=str(path)),
        _element('target', dev=target, bus='virtio'),
        *([_element('serial', serial)] if serial else ()),
        type='file', device='disk')


def _console(log: pathlib.Path) -> Iterator[etree._Element]:
    for kind in ('serial', 'console'):
        yield _element(kind, _element('log', file=str(log), append='off'),
                       _element('target', port='0'), type='pty')


def _nova(
        tag: str, /, *parts: etree._Element | str,
        **attributes: str) -> etree._Element:
    return _filled(etree.Element(
        f'{{{domain_model.NAMESPACE}}}{tag}', attributes,
        nsmap={'nova': domain_model.NAMESPACE}), parts)


def _element(
        tag: str, /, *parts: etree._Element | str,
        **attributes: str) -> etree._Element:
    return _filled(etree.Element(tag, attributes), parts)


def _filled(
        element: etree._Element,
        parts: Iterable[etree._Element | str]) -> etree._Element:
    for part in parts:
        if isinstance(part, str):
            element.text = part
        else:
            element.append(part)
    return element
