# SPDX-License-Identifier: Apache-2.0

"""The table of protocols: a new one is one line here."""

from collections.abc import Callable
import dataclasses
import enum

from nova_libvirt_driver.spec import volume as volume_spec
from nova_libvirt_driver.volumes import backing
from nova_libvirt_driver.volumes import block
from nova_libvirt_driver.volumes import connection as connection_module
from nova_libvirt_driver.volumes import mounted
from nova_libvirt_driver.volumes import network
from nova_libvirt_driver.volumes import rbd


class HostPart(enum.Enum):
    """What the host has to do before QEMU can read a volume."""

    DEVICE = 'device'
    """Bring about a block device."""
    MOUNT = 'mount'
    """Mount the file system that the volume is a file of."""
    NOTHING = 'nothing'
    """QEMU connects by itself, or all is there already."""


@dataclasses.dataclass(frozen=True, slots=True)
class Protocol:
    """How volumes of one protocol get to a guest."""

    host_part: HostPart
    backing: Callable[
        [connection_module.VolumeConnection, volume_spec.VolumeSettings],
        backing.Backing]


PROTOCOLS = {
    'fibre_channel': Protocol(HostPart.DEVICE, block.scsi),
    'gpfs': Protocol(HostPart.NOTHING, mounted.plain),
    'http': Protocol(HostPart.NOTHING, network.http),
    'https': Protocol(HostPart.NOTHING, network.http),
    'iscsi': Protocol(HostPart.DEVICE, block.scsi),
    'iser': Protocol(HostPart.DEVICE, block.scsi),
    'lightos': Protocol(HostPart.DEVICE, block.device),
    'local': Protocol(HostPart.NOTHING, block.device),
    'nbd': Protocol(HostPart.NOTHING, network.nbd),
    'nfs': Protocol(HostPart.MOUNT, mounted.nfs),
    'nvmeof': Protocol(HostPart.DEVICE, block.device),
    'quobyte': Protocol(HostPart.MOUNT, mounted.quobyte),
    'rbd': Protocol(HostPart.NOTHING, rbd.image),
    'scaleio': Protocol(HostPart.DEVICE, block.native),
    'smbfs': Protocol(HostPart.MOUNT, mounted.written_back),
    'storpool': Protocol(HostPart.DEVICE, block.native),
    'vzstorage': Protocol(HostPart.MOUNT, mounted.written_back),
}


def of(connection: connection_module.VolumeConnection) -> Protocol:
    """Return how volumes of this kind get to a guest.

    :raises VolumeFailure: that is not known
    """
    found = PROTOCOLS.get(connection.protocol)
    if found is None:
        raise connection.failure(
            f'{connection.protocol!r} is none of the protocols that this '
            f'driver knows: {", ".join(PROTOCOLS)}')
    return found
