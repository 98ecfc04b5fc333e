# SPDX-License-Identifier: Apache-2.0

"""From the spec of a guest to its domain."""

import dataclasses
import socket

from nova_libvirt_driver.configurators import builder
from nova_libvirt_driver.configurators import inputs as inputs_module
from nova_libvirt_driver.configurators import machine as machine_module
from nova_libvirt_driver import exception
from nova_libvirt_driver.guest import guests as guests_module
from nova_libvirt_driver.guest import handle
from nova_libvirt_driver.host import capabilities as capabilities_module
from nova_libvirt_driver.spec import console as console_spec
from nova_libvirt_driver.spec import disk as disk_spec
from nova_libvirt_driver.spec import guest as guest_spec
from nova_libvirt_driver.spec import instance as instance_spec
from nova_libvirt_driver.spec import policy as policy_spec
from nova_libvirt_driver.xmlmodel import domain as domain_model


class Domains:
    """Builds, defines and removes domains.

    :param serial_ports: TCP ports for serial consoles
    """

    def __init__(
            self, guests: guests_module.Guests,
            capabilities: capabilities_module.Capabilities,
            policy: policy_spec.GuestPolicy, serial_ports: range) -> None:
        self.guests = guests
        self.policy = policy
        self._capabilities = capabilities
        self._serial_ports = serial_ports

    def settle(self, spec: guest_spec.GuestSpec) -> guest_spec.GuestSpec:
        """Return the spec with what is to be decided once and for all.

        That is the machine type, in full: a later QEMU must not give the
        guest other hardware.
        """
        if spec.boot.machine:
            return spec
        host = self._capabilities.get(
            spec.boot.arch, virt_type=self.policy.virt_type)
        wanted = machine_module.wanted(spec, self.policy, host.arch)
        host = self._capabilities.get(
            spec.boot.arch, wanted, self.policy.virt_type)
        return dataclasses.replace(spec, boot=dataclasses.replace(
            spec.boot, machine=host.capabilities.machine or wanted))

    def group_id(self) -> int | None:
        """Return the group of QEMU, None when libvirt does not say."""
        return self._capabilities.get(
            virt_type=self.policy.virt_type).qemu_gid

    def build(
            self, spec: guest_spec.GuestSpec,
            disks: tuple[disk_spec.DiskSpec, ...],
            console_log: str) -> domain_model.Domain:
        """Return the domain of a guest; makes nothing.

        A port is chosen for each serial console over TCP.

        :raises InvalidRequest: the spec contradicts itself
        :raises UnsupportedOperation: this host cannot run such a guest
        """
        host = self._capabilities.get(
            spec.boot.arch, spec.boot.machine, self.policy.virt_type)
        return builder.build(inputs_module.Inputs(
            spec=self._with_ports(spec), host=host, policy=self.policy,
            disks=disks, console_log=console_log))

    def remove(
            self, instance: instance_spec.Instance, *,
            keep_state: bool = False) -> None:
        """Stop the guest and remove its domain; there need not be one.

        :param keep_state: keep what firmware and TPM remember
        :raises ForeignDomain: the domain is not ours
        """
        guest = self.guests.find_or_none(instance)
        if guest is None:
            return
        try:
            guest.destroy()
            guest.undefine(keep_state=keep_state)
        except exception.InstanceNotFound:
            # A transient one goes by itself.
            return

    def restore(self, instance: instance_spec.Instance, xml: str) -> None:
        """Define the domain as it was before."""
        self.guests.define(xml, instance)

    def existing_machine(self, guest: handle.Guest) -> str:
        """Return the machine type that a guest was defined with."""
        model = domain_model.Domain.parse(guest.xml(inactive=True))
        return model.os.machine or ''

    def _with_ports(self, spec: guest_spec.GuestSpec) -> guest_spec.GuestSpec:
        if all(serial.kind is not console_spec.SerialKind.TCP or serial.port
               for serial in spec.consoles.serials):
            return spec
        taken: set[int] = set()
        serials = tuple(self._with_port(serial, taken)
                        for serial in spec.consoles.serials)
        return dataclasses.replace(spec, consoles=dataclasses.replace(
            spec.consoles, serials=serials))

    def _with_port(
            self, serial: console_spec.SerialSpec,
            taken: set[int]) -> console_spec.SerialSpec:
        if serial.kind is not console_spec.SerialKind.TCP or serial.port:
            return serial
        for port in self._serial_ports:
            if port not in taken and _is_free(serial.listen, port):
                taken.add(port)
                return dataclasses.replace(serial, port=port)
        raise exception.InvalidRequest(
            reason='no TCP port is left for the serial console: enlarge '
            '[serial_console] port_range')


def _is_free(address: str, port: int) -> bool:
    family = socket.AF_INET6 if ':' in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as sock:
        # As QEMU does, so that a port just left is free.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind((address, port))
        except OSError:
            return False
    return True
