# SPDX-License-Identifier: Apache-2.0

"""What a volume service says of the way to a volume, read into types.

Only read: what connects the host gets the object of the
volume service itself, whole and unchanged.
"""

from collections.abc import Mapping
import dataclasses
from typing import Any

from nova_libvirt_driver import exception
from nova_libvirt_driver.spec import disk as disk_spec

_LIMITS = tuple(
    (f'{what}_{unit}_sec{maximum}', f'{what}_{ours}{maximum}')
    for what in ('total', 'read', 'write')
    for unit, ours in (('bytes', 'bytes_s'), ('iops', 'iops'))
    for maximum in ('', '_max')) + (('size_iops_sec', 'size_iops'),)
"""Limits as the volume service and as we call them."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class VolumeConnection:
    """The way to one volume."""

    protocol: str
    """For example ``iscsi`` or ``rbd``."""
    volume_id: str
    serial: str
    """What the guest sees as the disk's serial number. It stays the same
    when the volume is swapped for another one."""
    device_path: str = ''
    """Device or file on this host; empty before the host is connected."""
    shareable: bool = False
    """Several guests may have the volume at the same time."""
    encrypted: bool = False
    data: Mapping[str, Any] = dataclasses.field(repr=False)
    """All that was said, for each protocol in its own words. Keys and
    passwords may be among it."""

    @property
    def read_only(self) -> bool:
        """Whether the guest may only read.

        :raises VolumeFailure: that cannot be known
        """
        mode = self.data.get('access_mode') or 'rw'
        if mode not in ('ro', 'rw'):
            raise self.failure(
                f'its access mode {mode!r} is neither ro nor rw')
        return bool(mode == 'ro')

    @property
    def discard(self) -> bool:
        """Whether the guest may give back what it needs no more."""
        return self.data.get('discard') is True

    @property
    def logical_block_bytes(self) -> int | None:
        """Size of a block; VolumeFailure if it is not one."""
        return self._number(self.data, 'logical_block_size')

    @property
    def physical_block_bytes(self) -> int | None:
        """Size of a block; VolumeFailure if it is not one."""
        return self._number(self.data, 'physical_block_size')

    @property
    def iotune(self) -> disk_spec.IoTune | None:
        """Limits of front-end QoS; other words of it are not ours.

        :raises VolumeFailure: one is not a number
        """
        specs = self.data.get('qos_specs')
        if not isinstance(specs, Mapping):
            return None
        limits = {ours: self._number(specs, theirs)
                  for theirs, ours in _LIMITS
                  if str(specs.get(theirs) or 0) != '0'}
        return disk_spec.IoTune(**limits) if limits else None

    @property
    def info(self) -> dict[str, Any]:
        """Protocol and data, in the words of the volume service."""
        return {'driver_volume_type': self.protocol, 'data': self.data}

    def text(self, name: str) -> str:
        """Return a text that this protocol needs.

        :raises VolumeFailure: it is missing
        """
        value = self.data.get(name)
        if not isinstance(value, str) or not value:
            raise self.failure(
                f'its {self.protocol} connection lacks {name!r}')
        return value

    def failure(
            self, reason: str, **hint: str) -> exception.VolumeFailure:
        """Return an error about this volume.

        :param hint: what helps, if it is something unusual
        """
        return exception.VolumeFailure(
            volume=self.volume_id, reason=reason, **hint)

    def _number(self, data: Mapping[str, Any], name: str) -> int | None:
        value = data.get(name)
        if value is None:
            return None
        try:
            number = int(value)
        except (TypeError, ValueError):
            number = 0
        if number <= 0:
            raise self.failure(
                f'its {name} {value!r} is not a positive number')
        return number


def read(info: Mapping[str, Any]) -> VolumeConnection:
    """Return the typed form of connection information.

    :raises VolumeFailure: it says too little
    """
    data = info.get('data')
    volume_id = id_of(info)
    if not isinstance(data, Mapping) or not info.get('driver_volume_type'):
        raise exception.VolumeFailure(
            volume=volume_id or 'of unknown id',
            reason='the volume service has not said how to connect it')
    return VolumeConnection(
        protocol=str(info['driver_volume_type']), volume_id=volume_id,
        serial=str(info.get('serial') or volume_id),
        device_path=str(data.get('device_path') or ''),
        shareable=bool(info.get('multiattach')),
        encrypted=bool(data.get('encrypted')), data=data)


def id_of(info: Mapping[str, Any]) -> str:
    """Return the id of the volume that connection information is about.

    The serial number is that of the first volume after a swap, so it is
    asked last.
    """
    data = info.get('data')
    found = data.get('volume_id') if isinstance(data, Mapping) else None
    return str(found or info.get('volume_id') or info.get('serial') or '')
