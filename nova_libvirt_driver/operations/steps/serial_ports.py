# SPDX-License-Identifier: Apache-2.0

"""TCP ports for serial consoles: each start gets ports of its own.

A port is chosen long before QEMU listens on it. Meanwhile it is locked, for
other threads and for other processes; from then on the domain has it, whether
it is up or not, until it is given another one.
"""

from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Iterator
import contextlib
import dataclasses
import os
import socket

from nova_libvirt_driver import exception
from nova_libvirt_driver.filesystem import locking
from nova_libvirt_driver.guest import devices
from nova_libvirt_driver.guest import handle
from nova_libvirt_driver.spec import console as console_spec
from nova_libvirt_driver.spec import guest as guest_spec


class Reservation:
    """The ports of one guest, kept from others until it is closed.

    :param choose: returns a free port for an address, and locks it
    :param take: locks a port; False when another start has it
    """

    def __init__(
            self, choose: Callable[[str], int],
            take: Callable[[int], bool]) -> None:
        self._choose = choose
        self._take = take
        self._guest: handle.Guest | None = None
        self._ports: list[int] = []

    def prefer(self, guest: handle.Guest) -> None:
        """Let a guest that is about to be started again keep its ports.

        Ports that something else listens on while it is down are not kept.
        """
        self._guest = guest

    def filled(self, spec: guest_spec.GuestSpec) -> guest_spec.GuestSpec:
        """Return the spec with a port for each serial console over TCP.

        Asked again it gives the same ports.

        :raises InvalidRequest: no port is left
        """
        chosen = iter(self._ports.copy())
        serials = tuple(self._with_port(serial, chosen)
                        for serial in spec.consoles.serials)
        return dataclasses.replace(spec, consoles=dataclasses.replace(
            spec.consoles, serials=serials))

    def _with_port(
            self, serial: console_spec.SerialSpec,
            chosen: Iterator[int]) -> console_spec.SerialSpec:
        if serial.kind is not console_spec.SerialKind.TCP or serial.port:
            return serial
        port = next(chosen, None)
        if port is None:
            port = self._kept() or self._choose(serial.listen)
            self._ports.append(port)
        return dataclasses.replace(serial, port=port)

    def _kept(self) -> int | None:
        if self._guest is None:
            return None
        is_up = self._guest.is_active()
        own = sorted(devices.serial_ports(self._guest.xml(inactive=True)))
        return next((port for port in own if self._take(port)
                     and (is_up or is_free('', port))), None)


class SerialPorts:
    """Reserves ports of a range.

    :param instances_path: folder of the instances; the locks are in a folder
        below it that only its owner may enter
    :param definitions: returns the XML of all domains of the host
    """

    def __init__(
            self, ports: range, instances_path: str,
            definitions: Callable[[], Iterable[str]]) -> None:
        self._range = ports
        self._instances_path = instances_path
        self._definitions = definitions

    @contextlib.contextmanager
    def reservation(self) -> Iterator[Reservation]:
        """Keep ports until the context is left: by then QEMU has them."""
        with contextlib.ExitStack() as locks:
            yield Reservation(
                lambda listen: self._choose(listen, locks),
                lambda port: self._lock(port, locks))

    def _choose(self, listen: str, locks: contextlib.ExitStack) -> int:
        defined = {port for xml in self._definitions()
                   for port in devices.serial_ports(xml)}
        # A port of a guest that is down is better than none.
        for ports in ([port for port in self._range if port not in defined],
                      self._range):
            for port in ports:
                if self._lock(port, locks) and is_free(listen, port):
                    return port
        raise exception.InvalidRequest(
            reason='no TCP port is left for the serial console: enlarge '
            '[serial_console] port_range')

    def _lock(self, port: int, locks: contextlib.ExitStack) -> bool:
        if not os.path.isdir(self._instances_path):
            # XML is only shown: nothing was ever started here.
            return True
        try:
            path = locking.beside(self._instances_path, f'port-{port}')
            descriptor = locking.try_lock(path)
        except OSError as error:
            raise exception.StorageFailure(
                reason='cannot reserve a port for a serial console in '
                f'{self._instances_path}: {error.strerror}',
                path=self._instances_path) from error
        if descriptor is None:
            return False
        locks.callback(os.close, descriptor)
        locks.callback(_remove, path)
        return True


def _remove(path: str) -> None:
    with contextlib.suppress(OSError):
        os.unlink(path)


def is_free(
        address: str, port: int,
        kind: socket.SocketKind = socket.SOCK_STREAM) -> bool:
    """Say whether nothing on this host has a port."""
    family = socket.AF_INET6 if ':' in address else socket.AF_INET
    with socket.socket(family, kind) as sock:
        # As QEMU does, so that a port just left is free.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR,
                        kind is socket.SOCK_STREAM)
        try:
            sock.bind((address, port))
        except OSError:
            return False
    return True
