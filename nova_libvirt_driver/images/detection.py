# SPDX-License-Identifier: Apache-2.0

"""Which format a file of the operator's has.

Only for a file that its owner hands over: what a tenant has sent is
compared with what it is declared to be, and never believed.
"""

from nova_libvirt_driver import exception
from nova_libvirt_driver.spec import image as image_spec

# By the inspector's words. A raw disk may begin with a partition table.
_FORMATS = {
    'raw': image_spec.DiskFormat.RAW,
    'gpt': image_spec.DiskFormat.RAW,
    'qcow2': image_spec.DiskFormat.QCOW2,
    'vmdk': image_spec.DiskFormat.VMDK,
    'vhd': image_spec.DiskFormat.VHD,
    'vhdx': image_spec.DiskFormat.VHDX,
    'vdi': image_spec.DiskFormat.VDI,
    'iso': image_spec.DiskFormat.ISO,
}


def detect(path: str) -> image_spec.DiskFormat:
    """Return the format of a file.

    :raises InvalidRequest: it has one that cannot be used, or two at once
    :raises OSError: it cannot be read
    """
    # Imported when it is needed: it loads much, for encrypted images.
    from oslo_utils.imageutils import format_inspector

    try:
        found = str(format_inspector.detect_file_format(path))
    except format_inspector.ImageFormatError as error:
        raise exception.InvalidRequest(
            reason=f'the format of {path} cannot be told: {error}; name it'
        ) from error
    if found not in _FORMATS:
        raise exception.InvalidRequest(
            reason=f'{path} has the format {found}, which cannot be used; '
                   f'convert it to qcow2')
    return _FORMATS[found]
