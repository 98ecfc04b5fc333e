# SPDX-License-Identifier: Apache-2.0

"""The way to one domain, which is looked up for every call; is it ours?

What carries Nova's metadata was made by this driver or by Nova. Several
services without Nova may use one libvirt, each with a folder of its own for
its instances: a guest belongs to the one whose folder its files are in.
"""

from collections.abc import Callable
from collections.abc import Collection
from collections.abc import Mapping
import contextlib
import dataclasses
import functools
import os
import time
import typing
from typing import TypeVar

import libvirt

from nova_libvirt_driver.calls import calls as calls_module
from nova_libvirt_driver.calls import protocol
from nova_libvirt_driver.connection import link as link_module
from nova_libvirt_driver.events import decode
from nova_libvirt_driver import exception
from nova_libvirt_driver.spec import instance as instance_spec
from nova_libvirt_driver.xmlmodel import domain as domain_model
from nova_libvirt_driver.xmlmodel import element

T = TypeVar('T')

_PREFIX = 'nova'

# How long a look at a folder may take, and how long it counts.
_LOOK_S = 3.0
_SEEN_S = 60.0

_FILES = ('devices/*/*/@file | devices/*/source/@path | '
          'os/kernel | os/initrd | os/nvram')

_State = instance_spec.PowerState

UP = frozenset((_State.RUNNING, _State.PAUSED, _State.SUSPENDED))
DOWN = frozenset((_State.SHUTDOWN, _State.CRASHED))


class GuestState(typing.NamedTuple):
    """How a guest is, and libvirt's word for why."""

    power: instance_spec.PowerState
    reason: str

    @classmethod
    def of(cls, domain: protocol.Domain) -> 'GuestState':
        """Ask for it, on a native thread."""
        number, reason = domain.state(0)[:2]
        return cls(decode.power_state(number),
                   decode.state_reason(number, reason))


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
        return self.look('ask for the state of the guest', GuestState.of)

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
    """What a domain says of the instance that it is."""

    display_name: str
    uuid: str = ''
    folders: frozenset[str] = frozenset()
    """Folders of instances that its files are in; empty if it is ours by
    what it says alone."""


@dataclasses.dataclass(frozen=True, slots=True)
class _Seen:
    """What was seen of a folder; nothing of one that does not answer."""

    at_s: float
    path: str = ''
    names: frozenset[str] | None = None


class _Unseen(Exception):
    """Folders have to be looked at, which no call into libvirt may do."""

    def __init__(self, folders: Collection[str]) -> None:
        self.folders = folders


class Ownership:
    """Tells our domains from those of others.

    Another service's folder may be on a file system that does not answer.

    :param instances_path: folder of the instances of this service; empty if
        the service itself knows its instances, wherever their files are
    :param calls: run looks at folders, on threads that libvirt does not need
    """

    def __init__(
            self, instances_path: str = '',
            calls: calls_module.Calls | None = None) -> None:
        self._path = os.path.normpath(instances_path) if instances_path else ''
        self._calls = calls
        # Replaced, never changed.
        self._seen: Mapping[str, _Seen] = {}

    def check(
            self, domain: protocol.Domain, *, uuid: str, host: str) -> str:
        """Refuse a domain that is not ours.

        Runs on a native thread, like :meth:`look`, within :meth:`knowing`.

        :returns: its XML as it is
        :raises ForeignDomain: it is another's
        :raises libvirt.libvirtError: as it comes
        """
        xml = domain.XMLDesc(0)
        mark = self.read(xml)
        if mark is None:
            raise exception.ForeignDomain(instance=uuid, host=host)
        folder = self._other(mark)
        if folder:
            raise exception.ForeignDomain(
                instance=uuid, host=host, folder=folder)
        return xml

    def knowing(self, ask: Callable[[], T]) -> T:
        """Return the answer to what checks domains.

        :param ask: makes the call into libvirt; again after a look at a
            folder that is another service's
        """
        try:
            return ask()
        except _Unseen as unseen:
            self._look_at(unseen.folders)
        return ask()

    def other_folder(self, mark: Mark | None) -> str:
        """Return the folder of the service that a guest belongs to.

        Not on a native thread: it may have to look at that folder.

        :returns: empty if it is ours, or no service has made it
        """
        return self.knowing(lambda: self._other(mark)) if mark else ''

    def look(self, domain: protocol.Domain) -> Mark | None:
        """Return what a domain says, None if no service has made it.

        One call.

        :raises libvirt.libvirtError: as it comes
        """
        return self.read(domain.XMLDesc(0))

    def read(self, xml: str) -> Mark | None:
        """Return the same from the XML of a domain."""
        instance, name, uuid, files = element.look_up(
            xml, domain_model.INSTANCE, domain_model.DISPLAY_NAME, 'uuid',
            _FILES)
        if not instance:
            return None
        found = frozenset(
            os.path.normpath(os.path.dirname(folder))
            for folder in map(os.path.dirname, files)
            if os.path.basename(folder) in uuid) if self._path else frozenset()
        # One without any file is as it is without services of that kind.
        return Mark(''.join(name[:1]), ''.join(uuid),
                    frozenset() if self._path in found else found)

    def _other(self, mark: Mark) -> str:
        if not mark.folders:
            return ''
        now_s = time.monotonic()
        wanted = {*mark.folders, self._path}
        seen = {folder: self._seen[folder] for folder in wanted
                if folder in self._seen
                and now_s - self._seen[folder].at_s < _SEEN_S}
        if len(seen) < len(wanted):
            raise _Unseen(wanted - seen.keys())
        ours = seen[self._path]
        for folder in sorted(mark.folders):
            there = seen[folder]
            # The state folder may have been moved since it was defined.
            if there.names is not None and ours.names is not None and (
                    there.path == ours.path or mark.uuid in ours.names
                    and mark.uuid not in there.names):
                return ''
        return min(mark.folders)

    def _look_at(self, folders: Collection[str]) -> None:
        for folder in folders:
            try:
                seen = self._calls.run(
                    functools.partial(_look, folder), timeout_s=_LOOK_S,
                    name=f'looking at {folder}') if self._calls else (
                        _look(folder))
            except (exception.CallTimeout, exception.CallBudgetExhausted):
                seen = _Seen(time.monotonic())
            self._seen = {**self._seen, folder: seen}


def _look(folder: str) -> _Seen:
    names: frozenset[str] = frozenset()
    with contextlib.suppress(OSError):
        names = frozenset(os.listdir(folder))
    return _Seen(time.monotonic(), os.path.realpath(folder), names)


def mark_in(xml: str) -> str | None:
    """Return the name that its user gave a guest, None if it is not ours.

    :param xml: of its domain
    """
    mark = Ownership().read(xml)
    return None if mark is None else mark.display_name


def set_display_name(domain: protocol.Domain, name: str) -> None:
    """Change the name in the metadata, of the guest that runs and the next.

    Runs on a native thread.

    :raises InvalidRequest: the name cannot be written as XML
    :raises libvirt.libvirtError: as it comes
    """
    kind = libvirt.VIR_DOMAIN_METADATA_ELEMENT
    namespace = domain_model.namespace_in(domain.XMLDesc(0))
    scopes = [libvirt.VIR_DOMAIN_AFFECT_CONFIG]
    if domain.isActive():
        scopes.append(libvirt.VIR_DOMAIN_AFFECT_LIVE)
    for scope in scopes:
        # Libvirt takes the namespace off, and puts it on again.
        text = domain.metadata(kind, namespace, scope)
        domain.setMetadata(
            kind, _with_name(text, name), _PREFIX, namespace, scope)


def _with_name(text: str, name: str) -> str:
    instance = domain_model.BareInstance.parse(text)
    try:
        instance.display_name = name
    except ValueError as error:
        raise exception.InvalidRequest(
            reason='a name has no control characters') from error
    # Libvirt indents what has no white space of its own.
    return instance.compact()
