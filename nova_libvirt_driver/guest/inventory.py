# SPDX-License-Identifier: Apache-2.0

"""Which guests there are and how each is; it only looks."""

import dataclasses
from typing import Any

import libvirt

from nova_libvirt_driver.calls import errors
from nova_libvirt_driver.calls import protocol
from nova_libvirt_driver.connection import link as link_module
from nova_libvirt_driver.events import decode
from nova_libvirt_driver.events import router
from nova_libvirt_driver.guest import bulk as bulk_module
from nova_libvirt_driver.guest import reach
from nova_libvirt_driver.guest import sizes as sizes_module
from nova_libvirt_driver.guest import statistics_cache as statistics_module
from nova_libvirt_driver.spec import instance as instance_spec


class Inventory:
    """Answers questions about guests in as few calls as possible."""

    def __init__(
            self, link: link_module.Link, events: router.Router,
            bulk: bulk_module.Bulk,
            statistics: statistics_module.StatisticsCache) -> None:
        self._supervisor = link.supervisor
        self._events = events
        self._bulk = bulk
        self._statistics = statistics
        self._sizes = sizes_module.Sizes(bulk)

    def reports(self) -> list[decode.Report]:
        """Return how each guest is; one call."""
        return list(self._statistics.states(0).value.by_uuid.values())

    def sizes(self) -> list[sizes_module.Size]:
        """Return the sizes of the guests that are up.

        No call while events arrive, unless guests were started since the
        last time: see :meth:`sizes.Sizes.of`. One call otherwise.
        """
        if not self._is_told():
            return self._sizes.of_all()
        up = {uuid: known.domain_id
              for uuid, known in self._events.guests().items()
              if known.state in reach.UP}
        return self._sizes.of(up, self._supervisor.generation)

    def summaries(self) -> list[instance_spec.InstanceSummary]:
        """Return one row for each guest, sorted by name.

        Two calls, which may enter guests: see :meth:`bulk.Bulk.ask`. One
        more for each guest: whether it is ours, and its display name.
        """
        rows = self._bulk.ask('list the guests', bulk_module.SIZES, _rows)
        return sorted(rows, key=lambda row: row.name)

    def info(
            self, instance: instance_spec.Instance, *,
            use_cache: bool) -> instance_spec.InstanceInfo:
        """Say how one guest is.

        While events arrive and say that it is up, no call is made. What
        they say of a guest that is down does not tell whether it still
        exists: then the answer to a call a moment ago is taken.

        :param use_cache: False asks libvirt in any case
        :raises InstanceNotFound: there is no such guest
        """
        if use_cache and self._is_told():
            known = self._events.known(instance.uuid)
            if known is not None and known.state in reach.UP:
                return instance_spec.InstanceInfo(known.state)
            if known is not None:
                report = self._statistics.states().value.of(
                    instance.uuid, known)
                if report is not None:
                    return instance_spec.InstanceInfo(report.state)
        return self._ask(instance)

    def _is_told(self) -> bool:
        """Say whether events tell of each change, and nothing was missed."""
        session = self._supervisor.session
        return (session is not None and session.vouched_for
                and self._events.generation == session.generation
                and self._events.is_current)

    def _ask(
            self, instance: instance_spec.Instance
    ) -> instance_spec.InstanceInfo:
        number, _ = self._supervisor.look(
            'find the guest', lambda connection: connection.lookupByUUIDString(
                instance.uuid).state(0)[:2], instance=instance.uuid)
        return instance_spec.InstanceInfo(decode.power_state(number))


def _rows(
        connection: protocol.Connection,
        groups: int) -> list[instance_spec.InstanceSummary]:
    saved = _saved(connection)
    rows = (_summary(domain, record)
            for domain, record in bulk_module.records(connection, groups))
    return [dataclasses.replace(row, saved=row.uuid in saved)
            for row in rows if row is not None]


def _saved(connection: protocol.Connection) -> frozenset[str]:
    """Return the uuids of guests whose memory is on disk."""
    return frozenset(
        domain.UUIDString() for domain in connection.listAllDomains(
            libvirt.VIR_CONNECT_LIST_DOMAINS_MANAGEDSAVE))


def _summary(
        domain: protocol.Domain, record: dict[str, Any],
) -> instance_spec.InstanceSummary | None:
    size = sizes_module.of_record(domain, record)
    try:
        mark = reach.mark_of(domain)
    except libvirt.libvirtError as error:
        if errors.is_not_found(error):
            # It went away since the list was made.
            return None
        raise
    return instance_spec.InstanceSummary(
        uuid=domain.UUIDString(), name=domain.name(),
        state=decode.power_state(record.get('state.state', 0)),
        stopped_by_storage=(
            record.get('state.state') == libvirt.VIR_DOMAIN_PAUSED
            and record.get('state.reason') == (
                libvirt.VIR_DOMAIN_PAUSED_IOERROR)),
        vcpus=size.vcpus, memory_mib=size.memory_mib,
        owned=mark is not None,
        display_name='' if mark is None else mark.display_name)
