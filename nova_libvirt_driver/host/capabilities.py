# SPDX-License-Identifier: Apache-2.0

"""What libvirt can give guests, read once for each connection.

The answer differs by architecture, machine type and kind of
virtualization; each is asked for when it is first wanted.
"""

from collections.abc import Callable
import uuid

import libvirt

from nova_libvirt_driver.calls import errors
from nova_libvirt_driver.calls import protocol
from nova_libvirt_driver.calls import shared
from nova_libvirt_driver.connection import link as link_module
from nova_libvirt_driver import exception
from nova_libvirt_driver.host import cpu_features
from nova_libvirt_driver.host import facts as facts_module
from nova_libvirt_driver.host import host_capabilities
from nova_libvirt_driver.spec import capabilities as capabilities_spec
from nova_libvirt_driver.xmlmodel import capabilities as capabilities_model

_MACHINE_ID = '/etc/machine-id'

_REFUSED = (libvirt.VIR_ERR_INVALID_ARG, libvirt.VIR_ERR_CONFIG_UNSUPPORTED)

_Key = tuple[str, str, str]


class Capabilities:
    """Reads the capabilities and keeps them while the connection lives.

    :param machine_id: gives the identifier of the host's operating system,
        or an empty text
    """

    def __init__(
            self, link: link_module.Link, facts: facts_module.Facts,
            machine_id: Callable[[], str] | None = None) -> None:
        self._link = link
        self._facts = facts
        self._machine_id = machine_id or read_machine_id
        # What failed is not kept: anybody may ask for odd machine types.
        self._hosts: shared.Shared[
            dict[_Key, capabilities_spec.GuestHost]] = facts_module.once(
                link, dict)
        self._features: shared.Shared[
            dict[tuple[str, str], frozenset[str]]] = facts_module.once(
                link, dict)

    def get(
            self, arch: str = '', machine: str = '',
            virt_type: str = 'qemu') -> capabilities_spec.GuestHost:
        """Return what a guest of that kind can have.

        :param arch: empty for the host's
        :param machine: empty for the one that libvirt prefers
        :raises HypervisorUnavailable: there is no connection
        :raises UnsupportedOperation: libvirt runs no guests of that kind
        """
        # A lost connection is an error, whatever is remembered of it.
        self._link.connection()
        key = (arch, machine, virt_type)
        known = self._hosts.get().value
        if key not in known:
            known[key] = self._read(*key)
        return known[key]

    def features_of(self, arch: str, model: str) -> frozenset[str]:
        """Return the features of a CPU model.

        :raises HypervisorUnavailable: there is no connection
        """
        known = self._features.get().value
        if (arch, model) not in known:
            known[arch, model] = self._link.call(
                'read the features of a CPU',
                lambda conn: cpu_features.of_model(conn, arch, model))
        return known[arch, model]

    def _read(
            self, arch: str, machine: str,
            virt_type: str) -> capabilities_spec.GuestHost:
        facts = self._facts.get()
        said, found = self._link.call(
            'read what guests can have', lambda conn: (
                capabilities_model.Capabilities.parse(
                    conn.getCapabilities()),
                _domain_capabilities(
                    conn, arch or facts.arch, machine, virt_type,
                    facts.libvirt_version)))
        uid, gid = host_capabilities.qemu_user(said, virt_type)
        return capabilities_spec.GuestHost(
            hypervisor_type=facts.hypervisor_type,
            libvirt_version=facts.libvirt_version,
            hypervisor_version=facts.hypervisor_version,
            arch=facts.arch, capabilities=found, host_uuid=said.uuid or '',
            machine_id=self._machine_id(), qemu_uid=uid, qemu_gid=gid)


def _domain_capabilities(
        connection: protocol.Connection, arch: str, machine: str,
        virt_type: str,
        libvirt_version: int) -> capabilities_spec.DomainCapabilities:
    try:
        xml = connection.getDomainCapabilities(
            None, arch, machine or None, virt_type, 0)
    except libvirt.libvirtError as error:
        if errors.is_unsupported(error):
            # Libvirt's test driver, for one: everything goes.
            return capabilities_spec.DomainCapabilities(arch=arch)
        if error.get_error_code() in _REFUSED:
            kind = ' '.join(filter(None, (arch, machine, virt_type)))
            raise exception.UnsupportedOperation(
                tried=f'run guests of the kind {kind}',
                reason=errors.text(error)) from error
        raise
    return host_capabilities.of_domains(xml, libvirt_version)


def read_machine_id(path: str = _MACHINE_ID) -> str:
    """Return the identifier of this machine's operating system, or none."""
    try:
        with open(path, encoding='ascii') as file:
            return str(uuid.UUID(file.read().strip()))
    except (OSError, ValueError):
        return ''
