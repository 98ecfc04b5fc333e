# SPDX-License-Identifier: Apache-2.0

"""The devices in the XML of a domain.

Each is an element of the model, and keeps what the model does not know:
``to_xml`` gives it back to libvirt as it was read.
"""

from collections.abc import Iterable
from collections.abc import Iterator
import dataclasses
import itertools

from nova_libvirt_driver.xmlmodel.devices import character
from nova_libvirt_driver.xmlmodel.devices import devices as devices_model
from nova_libvirt_driver.xmlmodel.devices import disk as disk_model
from nova_libvirt_driver.xmlmodel import domain as domain_model


@dataclasses.dataclass(frozen=True, slots=True)
class Server:
    """Where a console answers; a port is None when there is none."""

    address: str
    port: int | None
    tls_port: int | None = None


def is_live(xml: str) -> bool:
    """Say whether it is the XML of a guest that is up."""
    return domain_model.Domain.parse(xml).id is not None


def read(xml: str) -> devices_model.Devices:
    """Return the devices of a domain."""
    return domain_model.Domain.parse(xml).devices


def source_of(disk: disk_model.Disk) -> str:
    """Return a file, a block device, the name of an export, or nothing."""
    return disk.source_file or disk.source_dev or disk.source_name or ''


def graphics(xml: str, kind: str) -> Server | None:
    """Return where the graphical console of a kind answers."""
    for found in read(xml).graphics:
        if found.type == kind:
            address = found.listen or next(
                (listen.address or '' for listen in found.listens), '')
            return Server(address, _port(found.port), _port(found.tls_port))
    return None


def serial_server(xml: str) -> Server | None:
    """Return where the first serial port with a TCP server answers."""
    devices = read(xml)
    return next(_servers(devices.serials, devices.consoles), None)


def serial_ports(xml: str) -> set[int]:
    """Return the TCP ports that serial ports of a guest are served on."""
    devices = read(xml)
    found = _servers(devices.serials, devices.consoles, devices.channels)
    return {server.port for server in found if server.port is not None}


def _servers(*kinds: Iterable[character.Character]) -> Iterator[Server]:
    for found in itertools.chain(*kinds):
        if found.type == 'tcp' and found.source_mode == 'bind':
            # Another domain may have the name of a service.
            port = found.source_service or ''
            yield Server(found.source_host or '',
                         _port(int(port) if port.isdecimal() else None))


def _port(number: int | None) -> int | None:
    # Libvirt says -1 for a port that it chooses at the next start.
    return number if number and number > 0 else None
