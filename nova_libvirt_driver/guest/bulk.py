# SPDX-License-Identifier: Apache-2.0

"""Questions about all guests at once, although one of them may hang.

Libvirt's bulk statistics enter the monitor of each guest that is up, unless
only states are asked for. One that hangs holds up the answer for all.
"""

from collections.abc import Callable
import threading
from typing import Any
from typing import TypeVar

import libvirt
from oslo_log import log as logging

from nova_libvirt_driver.calls import errors
from nova_libvirt_driver.calls import protocol
from nova_libvirt_driver.connection import link as link_module
from nova_libvirt_driver import exception

LOG = logging.getLogger(__name__)

T = TypeVar('T')

Records = list[tuple[protocol.Domain, dict[str, Any]]]
"""Each domain with its statistics by their dotted names."""

STATES = libvirt.VIR_DOMAIN_STATS_STATE
"""What enters no monitor."""

SIZES = (STATES | libvirt.VIR_DOMAIN_STATS_VCPU
         | libvirt.VIR_DOMAIN_STATS_BALLOON)

FIGURES = (SIZES | libvirt.VIR_DOMAIN_STATS_BLOCK
           | libvirt.VIR_DOMAIN_STATS_INTERFACE)

# How often the monitors are asked for one answer, and how many such calls may
# hang: each keeps a thread.
_TRIES = 2
_HUNG_MAX = 3

_PATIENCE = 3


class Bulk:
    """Asks, and does without the guests that do not answer."""

    def __init__(self, link: link_module.Link) -> None:
        self._link = link
        # Held for a few instructions only.
        self._lock = threading.Lock()
        self._hung: list[link_module.Visit] = []

    def ask(
            self, tried: str, groups: int,
            function: Callable[[protocol.Connection, int], T]) -> T:
        """Return what *function* makes of a connection and of *groups*.

        A guest that hangs holds it up for ``look_timeout``: then that guest
        is in quarantine, and the next call does without it. When one after
        the other hangs, *function* gets :data:`STATES` instead, and so it
        does until one of them goes on. Guests of which none hangs, but which
        are many, get three times as long.

        :param tried: what it is for, as in "list the guests"
        :param function: runs on a native thread, and must not log
        :raises CallTimeout: the connection does not answer
        :raises DriverError: libvirt's error as one of ours
        """
        timeout_s = self._link.look_timeout_s
        for _ in range(_TRIES):
            if self._is_lost():
                break
            visit = link_module.Visit(tried)
            try:
                return self._link.enter(
                    visit, lambda connection: function(connection, groups),
                    timeout_s=timeout_s)
            except exception.GuestUnresponsive:
                if not self._blame(visit):
                    # There are many guests, and no one of them hangs.
                    timeout_s *= _PATIENCE
        return self._link.call(
            tried, lambda connection: function(connection, STATES),
            timeout_s=self._link.look_timeout_s)

    def _is_lost(self) -> bool:
        """Say whether as many calls hang as may."""
        with self._lock:
            self._hung = [visit for visit in self._hung if not visit.ended]
            return len(self._hung) >= _HUNG_MAX

    def _blame(self, visit: link_module.Visit) -> bool:
        """Put the guests in quarantine whose monitors do not answer.

        While a call hangs in one, libvirt leaves it out of others.

        :returns: whether there are such
        """
        with self._lock:
            self._hung.append(visit)
        long_ms = self._link.look_timeout_s * 1000 / 2
        found = self._link.look(
            'ask which guests do not answer',
            lambda connection: _occupied(connection, long_ms))
        for uuid in found:
            if self._link.quarantine.add(uuid, visit):
                LOG.warning('The guest\'s monitor does not answer; refusing '
                            'calls that need it until it does',
                            instance={'uuid': uuid})
        return bool(found)


def records(
        connection: protocol.Connection, groups: int,
        domains: list[protocol.Domain] | None = None) -> Records:
    """Return the statistics of some domains, or of all.

    Of a guest whose monitor is busy, only those that need none: otherwise it
    would hold up the answer for all.
    """
    flags = libvirt.VIR_CONNECT_GET_ALL_DOMAINS_STATS_NOWAIT
    if domains is None:
        return connection.getAllDomainStats(groups, flags)
    if not domains:
        return []
    return connection.domainListGetStats(domains, groups, flags)


def _occupied(connection: protocol.Connection, long_ms: float) -> list[str]:
    """Return the uuids of guests whose monitor has a command for long.

    Asks no monitor.
    """
    found = []
    for domain in connection.listAllDomains(
            libvirt.VIR_CONNECT_LIST_DOMAINS_ACTIVE):
        try:
            state, _, since_ms = domain.controlInfo()
        except libvirt.libvirtError as error:
            if errors.is_not_found(error) or errors.is_unsupported(error):
                continue
            raise
        if state == libvirt.VIR_DOMAIN_CONTROL_OCCUPIED and (
                since_ms >= long_ms):
            found.append(domain.UUIDString())
    return found
