# SPDX-License-Identifier: Apache-2.0

"""What a guest reads from its config drive."""

import base64
from collections.abc import Mapping
import dataclasses
import enum


class ConfigDriveFormat(enum.StrEnum):
    """File system of a config drive."""

    ISO9660 = 'iso9660'
    VFAT = 'vfat'


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class InjectedFile:
    """A file the guest is asked to put into place."""

    path: str
    content_base64: str

    @property
    def content(self) -> bytes:
        """The bytes of the file."""
        return base64.b64decode(self.content_base64)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ConfigDriveSpec:
    """Content of a config drive; the driver adds nothing of its own."""

    hostname: str = ''
    user_data: str = dataclasses.field(default='', repr=False)
    """Text for cloud-init, handed on as it is; bytes that are not UTF-8 are
    lone surrogates, as ``surrogateescape`` makes them."""
    vendor_data: str = dataclasses.field(default='', repr=False)
    """JSON text of the operator's, empty for none."""
    public_keys: Mapping[str, str] = dataclasses.field(default_factory=dict)
    files: tuple[InjectedFile, ...] = ()
    meta: Mapping[str, str] = dataclasses.field(default_factory=dict)
    availability_zone: str = ''
    project_id: str = ''
    admin_password: str = dataclasses.field(default='', repr=False)
    """Told to the guest, and kept nowhere else."""
    prebuilt: Mapping[str, str] = dataclasses.field(
        default_factory=dict, repr=False)
    """Paths below the root and base64 texts; instead of all the above, for
    a service that has a builder of its own."""
    format: ConfigDriveFormat | None = None
    """None takes the host's policy."""
    device: str = 'cdrom'
    """``cdrom`` or ``disk``."""
