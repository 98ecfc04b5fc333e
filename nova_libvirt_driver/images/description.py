# SPDX-License-Identifier: Apache-2.0

"""The text that describes one image in a folder of images."""

import json

from nova_libvirt_driver import exception
from nova_libvirt_driver.filesystem import records
from nova_libvirt_driver.spec import image as image_spec
from nova_libvirt_driver.spec import instance as instance_spec

MAX_NAME = 255

_VERSION = 1


def dumps(described: image_spec.Image) -> str:
    """Return the text that describes an image."""
    return json.dumps({'version': _VERSION, **records.converter().unstructure(
        described)}, indent=1)


def loads(text: bytes | str) -> image_spec.Image:
    """Read the text; what a later version knows more is left out.

    :raises ValueError: it describes no image
    """
    described = records.structure(records.parse(text), image_spec.Image)
    if described.size_bytes is None:
        raise ValueError('size_bytes is missing')
    return described


def check(described: image_spec.Image) -> None:
    """Refuse what would describe an image badly.

    :raises InvalidRequest: says which part
    """
    check_id(described.id)
    check_name(described.name)
    formats = [known.value for known in image_spec.DiskFormat]
    if described.disk_format not in formats:
        raise _refused(f'there is no disk format {described.disk_format!r}; '
                       f'there are {", ".join(formats)}')
    if described.min_disk_gib < 0 or described.min_ram_mib < 0:
        raise _refused('the least disk and memory of an image are not below '
                       '0')
    for name, value in described.properties.items():
        if not name or not (name + value).isprintable():
            raise _refused(f'{name!r}={value!r} is not a property of an '
                           'image: it is empty or cannot be printed')


def check_id(image_id: str) -> None:
    """Refuse what names no file of a folder.

    :raises InvalidRequest: it is not a uuid in its usual form
    """
    if not instance_spec.is_uuid(image_id):
        raise _refused(f'{image_id!r} is not an identifier of an image, which '
                       f'is a uuid in small letters')


def check_name(name: str) -> None:
    """Refuse a name that would mislead; the empty one is none.

    :raises InvalidRequest: says why
    """
    if len(name) > MAX_NAME or not name.isprintable():
        raise _refused(f'{name[:MAX_NAME]!r} is not a name for an image: it '
                       f'is longer than {MAX_NAME}, or cannot be printed')
    if instance_spec.is_uuid(name):
        raise _refused(f'{name!r} is not a name for an image: it looks like '
                       f'an identifier')


def _refused(reason: str) -> exception.InvalidRequest:
    return exception.InvalidRequest(reason=reason)
