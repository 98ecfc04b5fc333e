# SPDX-License-Identifier: Apache-2.0

"""Which guests there are and how each is; it only looks."""

import dataclasses
from typing import Any

import libvirt
from oslo_log import log as logging

from nova_libvirt_driver.connection import decode
from nova_libvirt_driver.connection import errors
from nova_libvirt_driver.connection import link as link_module
from nova_libvirt_driver.connection import listing
from nova_libvirt_driver.connection import protocol
from nova_libvirt_driver.connection import quarantine
from nova_libvirt_driver.connection import router
from nova_libvirt_driver import exception
from nova_libvirt_driver.guest import owner
from nova_libvirt_driver.spec import instance as instance_spec

LOG = logging.getLogger(__name__)

_State = instance_spec.PowerState

_INFO_MEMORY_KIB, _INFO_VCPUS = 2, 3

_UP = (_State.RUNNING, _State.PAUSED, _State.SUSPENDED)

_STATES = libvirt.VIR_DOMAIN_STATS_STATE
# These enter the monitor of each guest that is up.
_SIZES = (_STATES | libvirt.VIR_DOMAIN_STATS_VCPU
          | libvirt.VIR_DOMAIN_STATS_BALLOON)


# How often the monitors are asked for one answer, and how many such calls may
# hang: each keeps a thread.
_TRIES = 2
_HUNG_MAX = 3


class Inventory:
    """Answers questions about guests in as few calls as possible."""

    def __init__(self, link: link_module.Link, events: router.Router) -> None:
        self._link = link
        self._supervisor = link.supervisor
        self._events = events
        self._hung: list[quarantine.Visit] = []

    def reports(self) -> list[decode.Report]:
        """Return how each guest is; one call."""
        return self._supervisor.look('list the guests', listing.reports)

    def sizes(self) -> list[instance_spec.InstanceSummary]:
        """Return one row for each guest, without its mark.

        One call. It enters guests' monitors, and one that hangs holds it
        up for ``look_timeout``: then that guest is in quarantine, and the
        next call does without it. When one after the other hangs, nobody
        is asked until one of them goes on.
        """
        return self._rows(marked=False)

    def summaries(self) -> list[instance_spec.InstanceSummary]:
        """Return one row for each guest, sorted by name.

        Like :meth:`sizes`, one more call for who has saved memory, and one
        for each guest: whether it is ours, and its display name.
        """
        return sorted(self._rows(marked=True), key=lambda row: row.name)

    def info(
            self, instance: instance_spec.Instance, *,
            use_cache: bool) -> instance_spec.InstanceInfo:
        """Say how one guest is.

        While events arrive and say that it is up, no call is made. What
        they say of a guest that is down does not tell whether it still
        exists.

        :raises InstanceNotFound: there is no such guest
        """
        session = self._supervisor.session
        if (use_cache and session is not None and session.vouched_for
                and self._events.generation == session.generation):
            known = self._events.known(instance.uuid)
            if known is not None and known.state in _UP:
                return instance_spec.InstanceInfo(known.state)
        return self._ask(instance)

    def _rows(self, *, marked: bool) -> list[instance_spec.InstanceSummary]:
        self._hung = [visit for visit in self._hung if not visit.ended]
        for _ in range(min(_TRIES, _HUNG_MAX - len(self._hung))):
            visit = quarantine.Visit()
            try:
                return self._link.enter(
                    'list the guests',
                    lambda connection: _find(connection, _SIZES, marked),
                    visit, timeout_s=self._link.look_timeout_s)
            except exception.GuestUnresponsive:
                self._blame(visit)
        return self._link.call(
            'list the guests',
            lambda connection: _find(connection, _STATES, marked),
            timeout_s=self._link.look_timeout_s)

    def _blame(self, visit: quarantine.Visit) -> None:
        """Put the guests in quarantine whose monitors do not answer.

        While a call hangs in one, libvirt leaves it out of others.
        """
        self._hung.append(visit)
        long_ms = self._link.look_timeout_s * 1000 / 2
        for uuid in self._supervisor.look(
                'ask which guests do not answer',
                lambda connection: _occupied(connection, long_ms)):
            self._link.quarantine.add(uuid, 'read its statistics', visit)
            LOG.warning('The monitor of guest %s does not answer; calls '
                        'that need it are refused until it does.', uuid)

    def _ask(
            self, instance: instance_spec.Instance
    ) -> instance_spec.InstanceInfo:
        number, _ = self._supervisor.look(
            'find the guest', lambda connection: connection.lookupByUUIDString(
                instance.uuid).state(0)[:2], instance=instance.uuid)
        return instance_spec.InstanceInfo(decode.power_state(number))


def _find(
        connection: protocol.Connection, groups: int,
        marked: bool) -> list[instance_spec.InstanceSummary]:
    saved = _saved(connection) if marked else frozenset()
    rows = (_summary(domain, record, marked)
            for domain, record in _records(connection, groups))
    return [dataclasses.replace(row, saved=row.uuid in saved)
            for row in rows if row is not None]


def _records(
        connection: protocol.Connection, groups: int
) -> list[tuple[protocol.Domain, dict[str, Any]]]:
    # Without NOWAIT one busy guest would hold up the answer for all.
    return connection.getAllDomainStats(
        groups, libvirt.VIR_CONNECT_GET_ALL_DOMAINS_STATS_NOWAIT)


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


def _saved(connection: protocol.Connection) -> frozenset[str]:
    """Return the uuids of guests whose memory is on disk."""
    return frozenset(
        domain.UUIDString() for domain in connection.listAllDomains(
            libvirt.VIR_CONNECT_LIST_DOMAINS_MANAGEDSAVE))


def _summary(
        domain: protocol.Domain, record: dict[str, Any],
        marked: bool) -> instance_spec.InstanceSummary | None:
    summary = _unmarked(domain, record)
    if not marked:
        return summary
    try:
        mark = owner.mark_of(domain)
    except libvirt.libvirtError as error:
        if errors.is_not_found(error):
            # It went away since the list was made.
            return None
        raise
    return dataclasses.replace(
        summary, owned=mark is not None,
        display_name='' if mark is None else mark.display_name)


def _unmarked(
        domain: protocol.Domain,
        record: dict[str, Any]) -> instance_spec.InstanceSummary:
    memory_kib = record.get('balloon.current')
    vcpus = record.get('vcpu.current')
    if memory_kib is None or vcpus is None:
        memory_kib, vcpus = _size(domain)
    return instance_spec.InstanceSummary(
        uuid=domain.UUIDString(), name=domain.name(),
        state=decode.power_state(record.get('state.state', 0)),
        vcpus=vcpus,
        memory_mib=None if memory_kib is None else memory_kib // 1024)


def _size(domain: protocol.Domain) -> tuple[int | None, int | None]:
    """Return memory in KiB and vCPUs of one guest.

    For a guest whose monitor is busy, and for libvirt's test hypervisor:
    the bulk answer has neither. This call enters no monitor.
    """
    try:
        info = domain.info()
    except libvirt.libvirtError as error:
        if errors.is_not_found(error):
            return None, None
        raise
    return info[_INFO_MEMORY_KIB], info[_INFO_VCPUS]
