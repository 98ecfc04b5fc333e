# SPDX-License-Identifier: Apache-2.0

"""Finds our guests and makes new ones; leaves other domains alone."""

import contextlib
import dataclasses

import libvirt

from nova_libvirt_driver.calls import errors
from nova_libvirt_driver.calls import protocol
from nova_libvirt_driver.connection import link as link_module
from nova_libvirt_driver.events import decode
from nova_libvirt_driver import exception
from nova_libvirt_driver.guest import handle
from nova_libvirt_driver.guest import reach
from nova_libvirt_driver.spec import instance as instance_spec


@dataclasses.dataclass(frozen=True, slots=True)
class Entry:
    """One domain of this host."""

    uuid: str
    name: str
    state: instance_spec.PowerState
    owned: bool
    """It is ours; what is not is never touched."""
    display_name: str
    """Name that its user gave it, empty when it is not ours."""


class Guests:
    """All domains of this host that are ours."""

    def __init__(self, link: link_module.Link) -> None:
        self._link = link

    def find(self, instance: instance_spec.Instance) -> handle.Guest:
        """Return the guest of an instance.

        :raises InstanceNotFound: no domain has its uuid
        :raises ForeignDomain: the domain of that uuid is not ours
        """
        guest = self.find_or_none(instance)
        if guest is None:
            raise exception.InstanceNotFound(
                instance=instance.uuid, host=self._link.host)
        return guest

    def find_or_none(
            self, instance: instance_spec.Instance) -> handle.Guest | None:
        """Return the guest of an instance, None when there is no domain.

        :raises ForeignDomain: the domain of that uuid is not ours
        """
        name = self._link.call(
            'find the guest', lambda connection: _own_name(
                connection, instance.uuid, self._link.host),
            instance=instance.uuid)
        return None if name is None else self._guest(instance.uuid, name)

    def define(
            self, xml: str, instance: instance_spec.Instance
    ) -> handle.Guest:
        """Define a persistent domain, or define it again.

        A failure leaves what was defined before as it was.

        :raises ForeignDomain: the domain of that uuid is not ours
        :raises InstanceExists: another domain has that name
        """
        def define(connection: protocol.Connection) -> str:
            _own_name(connection, instance.uuid, self._link.host)
            try:
                return _define(connection, xml).name()
            except libvirt.libvirtError as error:
                if errors.is_name_taken(error):
                    raise exception.InstanceExists(
                        instance=instance.name,
                        host=self._link.host) from error
                raise

        name = self._link.call(
            'define the guest', define, instance=instance.uuid)
        return self._guest(instance.uuid, name)

    def remove(
            self, instance: instance_spec.Instance, *,
            keep_state: bool = False) -> bool:
        """Stop the guest and remove its domain; there need not be one.

        :param keep_state: keep what firmware and TPM remember
        :returns: whether there was one
        :raises ForeignDomain: the domain is not ours
        """
        guest = self.find_or_none(instance)
        if guest is not None:
            # A transient one goes by itself.
            with contextlib.suppress(exception.InstanceNotFound):
                guest.destroy()
                guest.undefine(keep_state=keep_state)
        return guest is not None

    def name_owner(self, name: str) -> str | None:
        """Return the uuid of the domain of a name, None when it is free.

        The domain need not be ours.
        """
        def look(connection: protocol.Connection) -> str | None:
            try:
                return connection.lookupByName(name).UUIDString()
            except libvirt.libvirtError as error:
                if errors.is_not_found(error):
                    return None
                raise

        return self._link.call('look for a name', look)

    def listing(self) -> list[Entry]:
        """Return every domain, ours or not, sorted by name.

        One call for the states, and one or two for each domain.
        """
        entries = self._link.call('list the guests', _entries)
        return sorted(entries, key=lambda entry: entry.name)

    def definitions(self) -> list[str]:
        """Return the XML of every domain, ours or not, without secrets.

        Of one that is up, what runs and what will at its next start. Two or
        three calls for each domain.
        """
        return self._link.call('read all domains', _definitions)

    def is_test_driver(self) -> bool:
        """Say whether the guests are make-believe: libvirt's test driver."""
        return self._link.call(
            'ask for the kind of hypervisor',
            lambda connection: connection.getType()) == 'TEST'

    def _guest(self, uuid: str, name: str) -> handle.Guest:
        return handle.Guest(reach.Reach(self._link, uuid), name)


def _own_name(
        connection: protocol.Connection, uuid: str, host: str) -> str | None:
    """Return the name of the domain of a uuid, None when there is none."""
    try:
        domain = connection.lookupByUUIDString(uuid)
        mark = reach.mark_of(domain)
    except libvirt.libvirtError as error:
        if errors.is_not_found(error):
            return None
        raise
    if mark is None:
        raise exception.ForeignDomain(instance=uuid, host=host)
    return domain.name()


def _define(connection: protocol.Connection, xml: str) -> protocol.Domain:
    try:
        return connection.defineXMLFlags(
            xml, libvirt.VIR_DOMAIN_DEFINE_VALIDATE)
    except libvirt.libvirtError as error:
        if not errors.is_flag_unknown(error):
            raise
    return connection.defineXMLFlags(xml, 0)


def _definitions(connection: protocol.Connection) -> list[str]:
    found = []
    for domain in connection.listAllDomains(0):
        try:
            found.append(domain.XMLDesc(0))
            if domain.isActive():
                found.append(domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE))
        except libvirt.libvirtError as error:
            if not errors.is_not_found(error):
                raise
            # It went away since the list was made.
    return found


def _entries(connection: protocol.Connection) -> list[Entry]:
    found = []
    for domain, report in decode.domains(connection):
        try:
            mark = reach.mark_of(domain)
        except libvirt.libvirtError as error:
            if errors.is_not_found(error):
                # It went away since the list was made.
                continue
            raise
        found.append(Entry(
            report.uuid, report.name, report.state, owned=mark is not None,
            display_name='' if mark is None else mark.display_name))
    return found
