# SPDX-License-Identifier: Apache-2.0

"""The way to one domain, which is looked up for every call; is it ours?

Whether a domain is ours is said by the metadata that it carries.
"""

from collections.abc import Callable
from collections.abc import Collection
import dataclasses
import typing
from typing import TypeVar

import libvirt

from nova_libvirt_driver.calls import errors
from nova_libvirt_driver.calls import protocol
from nova_libvirt_driver.connection import link as link_module
from nova_libvirt_driver.events import decode
from nova_libvirt_driver import exception
from nova_libvirt_driver.spec import instance as instance_spec
from nova_libvirt_driver.xmlmodel import domain as domain_model
from nova_libvirt_driver.xmlmodel import metadata

T = TypeVar('T')

_PREFIX = 'nova'

_State = instance_spec.PowerState

UP = frozenset((_State.RUNNING, _State.PAUSED, _State.SUSPENDED))
DOWN = frozenset((_State.SHUTDOWN, _State.CRASHED))


class GuestState(typing.NamedTuple):
    """How a guest is, and libvirt's word for why."""

    power: instance_spec.PowerState
    reason: str


@dataclasses.dataclass(frozen=True, slots=True)
class Reach:
    """The way to one domain."""

    link: link_module.Link
    uuid: str

    def call(
            self, tried: str, function: Callable[[protocol.Domain], T], *,
            needs: Collection[instance_spec.PowerState] = (),
            timeout_s: float | None = None, own_wait_s: float = 0.0) -> T:
        """Return what *function* makes of the domain, by its monitor.

        :param tried: what it is for, as in "pause the guest"
        :param function: runs on a native thread, and must not log
        :param needs: states in which libvirt could do it; a failure in any
            other one is the fault of the state
        :param timeout_s: for what may take its time; otherwise the guest
            is unresponsive after ``call_timeout``
        :param own_wait_s: how long libvirt itself may wait for the guest
        :raises CallTimeout: the deadline passed; the call may go on
        :raises GuestUnresponsive: the guest does not answer
        :raises InstanceNotFound: the domain is gone
        :raises WrongState: the guest is in none of the needed states
        :raises DriverError: libvirt's error as one of ours
        """
        def on_domain(connection: protocol.Connection) -> T:
            return function(connection.lookupByUUIDString(self.uuid))

        try:
            if timeout_s is None:
                return self.link.visit(
                    tried, on_domain, instance=self.uuid,
                    own_wait_s=own_wait_s)
            self.link.quarantine.check(self.uuid, tried)
            return self.link.call(tried, on_domain, instance=self.uuid,
                                  timeout_s=timeout_s)
        except (exception.LibvirtFailure,
                exception.UnsupportedOperation) as failure:
            self._blame_state(tried, needs, failure)
            raise

    def look(
            self, tried: str, function: Callable[[protocol.Domain], T], *,
            timeout_s: float | None = None) -> T:
        """Return what *function* makes of the domain, without its monitor.

        Also of one that is in quarantine.

        :param timeout_s: default is ``look_timeout``
        :raises CallTimeout: the deadline passed; the call may go on
        :raises InstanceNotFound: the domain is gone
        :raises DriverError: libvirt's error as one of ours
        """
        return self.link.call(
            tried,
            lambda connection: function(
                connection.lookupByUUIDString(self.uuid)),
            instance=self.uuid,
            timeout_s=timeout_s or self.link.look_timeout_s)

    def state(self) -> GuestState:
        """Ask how the guest is."""
        number, reason = self.look(
            'ask for the state of the guest',
            lambda domain: domain.state(0)[:2])
        return GuestState(decode.power_state(number),
                          decode.state_reason(number, reason))

    def _blame_state(
            self, tried: str, needs: Collection[instance_spec.PowerState],
            failure: exception.DriverError) -> None:
        if not needs:
            return
        power = self.state().power
        if power not in needs:
            raise exception.WrongState(
                tried=tried, instance=self.uuid,
                state=power.name.lower()) from failure


@dataclasses.dataclass(frozen=True, slots=True)
class Mark:
    """What shows that a domain is ours."""

    display_name: str


def mark_of(domain: protocol.Domain) -> Mark | None:
    """Return the mark of a domain, None for one that is not ours.

    Runs on a native thread, like what follows.

    :raises libvirt.libvirtError: as it comes
    """
    try:
        text = domain.metadata(
            libvirt.VIR_DOMAIN_METADATA_ELEMENT, metadata.NAMESPACE, 0)
    except libvirt.libvirtError as error:
        if not errors.is_without_metadata(error):
            raise
        return mark_in(domain.XMLDesc(0))
    try:
        return Mark(metadata.BareInstance.parse(text).display_name or '')
    except ValueError:
        # Something else in Nova's namespace.
        return None


def mark_in(xml: str) -> Mark | None:
    """Return the mark in the XML of a domain, None when there is none."""
    instance = domain_model.Domain.parse(xml).instance
    return None if instance.peek() is None else Mark(
        instance.display_name or '')


def set_display_name(domain: protocol.Domain, name: str) -> None:
    """Change the name in the metadata, of the guest that runs and the next.

    :raises InvalidRequest: the name cannot be written as XML
    :raises libvirt.libvirtError: as it comes
    """
    kind = libvirt.VIR_DOMAIN_METADATA_ELEMENT
    namespace = metadata.namespace_in(domain.XMLDesc(0))
    scopes = [libvirt.VIR_DOMAIN_AFFECT_CONFIG]
    if domain.isActive():
        scopes.append(libvirt.VIR_DOMAIN_AFFECT_LIVE)
    for scope in scopes:
        # Libvirt takes the namespace off, and puts it on again.
        text = domain.metadata(kind, namespace, scope)
        domain.setMetadata(
            kind, _with_name(text, name), _PREFIX, namespace, scope)


def _with_name(text: str, name: str) -> str:
    instance = metadata.BareInstance.parse(text)
    try:
        instance.display_name = name
    except ValueError as error:
        raise exception.InvalidRequest(
            reason='a name has no control characters') from error
    # Libvirt indents what has no white space of its own.
    return instance.compact()
