# SPDX-License-Identifier: Apache-2.0

"""Finds our guests and makes new ones; leaves other domains alone."""

from collections.abc import Callable
import contextlib
import typing
from typing import TypeVar

import libvirt

from nova_libvirt_driver.calls import errors
from nova_libvirt_driver.calls import protocol
from nova_libvirt_driver.connection import link as link_module
from nova_libvirt_driver import exception
from nova_libvirt_driver.guest import handle
from nova_libvirt_driver.guest import migration
from nova_libvirt_driver.guest import reach
from nova_libvirt_driver.spec import instance as instance_spec


T = TypeVar('T')


class Found(typing.NamedTuple):
    """A guest, and what libvirt has just said of it, as XML."""

    guest: handle.Guest
    defined: str
    """Of its next start."""
    now: str
    """Of the domain as it is."""


class Guests:
    """All domains of this host that are ours."""

    def __init__(
            self, link: link_module.Link,
            ownership: reach.Ownership) -> None:
        self._link = link
        self._ownership = ownership

    def find(self, instance: instance_spec.Instance) -> handle.Guest:
        """Return the guest of an instance.

        :raises InstanceNotFound: no domain has its uuid
        :raises ForeignDomain: the domain of that uuid is not ours
        """
        return self._there(instance, self.find_or_none(instance))

    def find_or_none(
            self, instance: instance_spec.Instance) -> handle.Guest | None:
        """Return the guest of an instance, None when there is no domain.

        :raises ForeignDomain: the domain of that uuid is not ours
        """
        name = self._ownership.knowing(lambda: self._link.call(
            'find the guest', lambda connection: self._own_name(
                connection, instance.uuid),
            instance=instance.uuid))
        return None if name is None else self._guest(instance.uuid, name)

    def read(self, instance: instance_spec.Instance) -> Found:
        """Return the guest of an instance with its XML, in one call.

        :raises InstanceNotFound: no domain has its uuid
        :raises ForeignDomain: the domain of that uuid is not ours
        """
        return self._there(instance, self.read_or_none(instance))

    def read_or_none(
            self, instance: instance_spec.Instance) -> Found | None:
        """Return the same, None when there is no domain.

        :raises ForeignDomain: the domain of that uuid is not ours
        """
        return self._look(instance, lambda domain, xml: Found(
            self._guest(instance.uuid, domain.name()),
            domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE), xml))

    def xml(self, instance: instance_spec.Instance) -> str:
        """Return the XML of a domain as it is.

        :raises InstanceNotFound: no domain has its uuid
        :raises ForeignDomain: the domain of that uuid is not ours
        """
        return self._there(instance, self._look(
            instance, lambda domain, xml: xml))

    def definition(self, instance: instance_spec.Instance) -> str:
        """Return the XML of the next start of a guest, see :meth:`read`."""
        return self.read(instance).defined

    def define(
            self, xml: str, instance: instance_spec.Instance
    ) -> handle.Guest:
        """Define a persistent domain, or define it again.

        A failure leaves what was defined before as it was.

        :raises ForeignDomain: the domain of that uuid is not ours
        :raises InstanceExists: another domain has that name
        """
        def define(connection: protocol.Connection) -> str:
            self._own_name(connection, instance.uuid)
            try:
                return _define(connection, xml).name()
            except libvirt.libvirtError as error:
                if errors.is_name_taken(error):
                    raise exception.InstanceExists(
                        instance=instance.name,
                        host=self._link.host) from error
                raise

        name = self._ownership.knowing(lambda: self._link.call(
            'define the guest', define, instance=instance.uuid))
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

    def migration(
            self, instance: instance_spec.Instance) -> migration.Migration:
        """Return the handle of a move of a guest; it need not exist."""
        return migration.Migration(self._link, instance.uuid)

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

    def _look(
            self, instance: instance_spec.Instance,
            function: Callable[[protocol.Domain, str], T]) -> T | None:
        """Return what *function* makes of a domain and its XML, if any."""
        def look(connection: protocol.Connection) -> T | None:
            own = self._own(connection, instance.uuid)
            return None if own is None else function(*own)

        return self._ownership.knowing(lambda: self._link.call(
            'read the XML of the guest', look, instance=instance.uuid,
            timeout_s=self._link.look_timeout_s))

    def _there(
            self, instance: instance_spec.Instance, found: T | None) -> T:
        if found is None:
            raise exception.InstanceNotFound(
                instance=instance.uuid, host=self._link.host)
        return found

    def _guest(self, uuid: str, name: str) -> handle.Guest:
        return handle.Guest(reach.Reach(self._link, uuid), name)

    def _own_name(
            self, connection: protocol.Connection, uuid: str) -> str | None:
        """Return the name of the domain of a uuid, None without one."""
        own = self._own(connection, uuid)
        return None if own is None else own[0].name()

    def _own(
            self, connection: protocol.Connection,
            uuid: str) -> tuple[protocol.Domain, str] | None:
        """Return a domain of ours and its XML, None without one."""
        try:
            domain = connection.lookupByUUIDString(uuid)
            return domain, self._ownership.check(
                domain, uuid=uuid, host=self._link.host)
        except libvirt.libvirtError as error:
            if errors.is_not_found(error):
                return None
            raise


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
