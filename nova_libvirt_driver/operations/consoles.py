# SPDX-License-Identifier: Apache-2.0

"""Where the consoles of a guest answer now.

Every call reads the live XML: the port of a guest that is gone may be
another tenant's a moment later.
"""

from nova_libvirt_driver import exception
from nova_libvirt_driver.guest import devices
from nova_libvirt_driver.guest import guests as guests_module
from nova_libvirt_driver.spec import console as console_spec
from nova_libvirt_driver.spec import instance as instance_spec

_ANY_ADDRESS = ('', '0.0.0.0', '::')

_SERIAL = 'serial'


class Consoles:
    """Looks consoles up; changes nothing.

    :param my_address: address of this host, for consoles that listen on
        all of them
    """

    def __init__(
            self, guests: guests_module.Guests, *, my_address: str) -> None:
        self._guests = guests
        self._my_address = my_address

    def get_vnc_console(
            self, instance: instance_spec.Instance
    ) -> console_spec.ConsoleAddress:
        """Say where VNC answers.

        :raises ConsoleUnavailable: there is none, or the guest is stopped
        """
        return self._graphics(instance, console_spec.GraphicsKind.VNC)

    def get_spice_console(
            self, instance: instance_spec.Instance
    ) -> console_spec.ConsoleAddress:
        """Say where SPICE answers.

        :raises ConsoleUnavailable: there is none, or the guest is stopped
        """
        return self._graphics(instance, console_spec.GraphicsKind.SPICE)

    def get_serial_console(
            self, instance: instance_spec.Instance
    ) -> console_spec.ConsoleAddress:
        """Say where the first serial port with a TCP server answers.

        :raises ConsoleUnavailable: there is none, or the guest is stopped
        """
        xml = self._live_xml(instance, _SERIAL)
        return self._address(
            instance, _SERIAL, devices.serial_server(xml))

    def _graphics(
            self, instance: instance_spec.Instance,
            kind: console_spec.GraphicsKind) -> console_spec.ConsoleAddress:
        xml = self._live_xml(instance, kind)
        return self._address(instance, kind, devices.graphics(xml, kind))

    def _live_xml(self, instance: instance_spec.Instance, kind: str) -> str:
        xml = self._guests.find(instance).xml()
        if not devices.is_live(xml):
            raise exception.ConsoleUnavailable(
                instance=instance.uuid, kind=kind,
                reason='the guest is stopped')
        return xml

    def _address(
            self, instance: instance_spec.Instance, kind: str,
            server: devices.Server | None) -> console_spec.ConsoleAddress:
        if server is None:
            raise exception.ConsoleUnavailable(
                instance=instance.uuid, kind=kind,
                reason='it was not asked for')
        # One with encryption only has no other port.
        port = server.port or server.tls_port
        if port is None:
            raise exception.ConsoleUnavailable(
                instance=instance.uuid, kind=kind,
                reason='it has no port')
        address = (self._my_address if server.address in _ANY_ADDRESS
                   else server.address)
        return console_spec.ConsoleAddress(address, port, server.tls_port)
