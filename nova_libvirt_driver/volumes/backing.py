# SPDX-License-Identifier: Apache-2.0

"""What each protocol answers: how QEMU gets at the bytes of a volume."""

import dataclasses

from nova_libvirt_driver.spec import disk as disk_spec


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Backing:
    """Where the bytes of a volume are, and how QEMU is to read them."""

    source: disk_spec.DiskSource
    format: str = 'raw'
    cache: str = 'none'
    """Cache mode where the host has none for this kind of source."""
    io: str = ''
    """I/O mode that suits it, empty for QEMU's own."""
    read_only: bool = False
