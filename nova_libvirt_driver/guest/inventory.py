# SPDX-License-Identifier: Apache-2.0

"""Which guests there are, how each is and how large; it only looks.

How many CPUs and how much memory a guest has stays the same from one start of
it to the next, unless someone changes it meanwhile. So it is asked once for
each start, and again after some time.
"""

from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Mapping
import dataclasses
import time
from typing import Any

import libvirt

from nova_libvirt_driver.calls import errors
from nova_libvirt_driver.calls import protocol
from nova_libvirt_driver.connection import link as link_module
from nova_libvirt_driver.events import decode
from nova_libvirt_driver.events import router
from nova_libvirt_driver.guest import bulk as bulk_module
from nova_libvirt_driver.guest import reach
from nova_libvirt_driver.guest import statistics_cache as statistics_module
from nova_libvirt_driver.spec import instance as instance_spec

_Row = tuple[instance_spec.InstanceSummary, reach.Mark | None]

_INFO_MEMORY_KIB, _INFO_VCPUS = 2, 3

_KIB_PER_MIB = 1024

_MAX_AGE_S = 600.0

_TRIED = 'read the sizes of the guests'

_ACTIVE = libvirt.VIR_CONNECT_LIST_DOMAINS_ACTIVE


@dataclasses.dataclass(frozen=True, slots=True)
class Size:
    """What a guest has; None is what libvirt does not say."""

    vcpus: int | None
    memory_mib: int | None


@dataclasses.dataclass(frozen=True, slots=True)
class _Learned:
    size: Size
    start: tuple[int, int]
    """Which connection told of it, and its domain's id there."""
    at_s: float


class Sizes:
    """Keeps the sizes of the guests that are up."""

    def __init__(self, bulk: bulk_module.Bulk) -> None:
        self._bulk = bulk
        # Replaced, never changed.
        self._learned: Mapping[str, _Learned] = {}

    def of(self, up: Mapping[str, int], generation: int) -> list[Size]:
        """Return the sizes of some guests.

        Two calls when one of them was started since the last time, whatever
        the number of guests, and one more for each whose monitor is busy;
        otherwise none. One that is gone is left out.

        :param up: libvirt's id of each running domain, by uuid; another id
            is another start
        :param generation: of the connection; a daemon that was restarted
            gives new ids
        """
        now_s = time.monotonic()
        learned = {
            uuid: one for uuid, one in self._learned.items()
            if (generation, up.get(uuid)) == one.start
            and now_s - one.at_s < _MAX_AGE_S}
        unknown = up.keys() - learned.keys()
        if unknown:
            learned |= {
                uuid: _Learned(size, (generation, up[uuid]), now_s)
                for uuid, size in self._ask(unknown).items()}
        self._learned = learned
        return [one.size for one in learned.values()]

    def of_all(self) -> list[Size]:
        """Return the sizes of all guests that are up; one call.

        For when no events tell which those are.
        """
        return self._bulk.ask(_TRIED, bulk_module.SIZES, _of_all)

    def _ask(self, uuids: Iterable[str]) -> dict[str, Size]:
        wanted = frozenset(uuids)

        def ask(
                connection: protocol.Connection,
                groups: int) -> dict[str, Size]:
            domains = [domain for domain in connection.listAllDomains(_ACTIVE)
                       if domain.UUIDString() in wanted]
            return {domain.UUIDString(): of_record(domain, record)
                    for domain, record in bulk_module.records(
                        connection, groups, domains)}

        return self._bulk.ask(_TRIED, bulk_module.SIZES, ask)


def _of_all(connection: protocol.Connection, groups: int) -> list[Size]:
    return [of_record(domain, record) for domain, record
            in bulk_module.records(connection, groups)
            if decode.power_state(record.get('state.state', 0)) in reach.UP]


def of_record(domain: protocol.Domain, record: Mapping[str, Any]) -> Size:
    """Return the size of one guest.

    Where the record has none, the domain is asked: when its monitor could
    not be, and with libvirt's test hypervisor. That enters no monitor.
    """
    memory_kib = record.get('balloon.current')
    vcpus = record.get('vcpu.current')
    if memory_kib is None or vcpus is None:
        memory_kib, vcpus = _info(domain)
    return Size(vcpus, None if memory_kib is None
                else memory_kib // _KIB_PER_MIB)


def _info(domain: protocol.Domain) -> tuple[int | None, int | None]:
    try:
        info = domain.info()
    except libvirt.libvirtError as error:
        if errors.is_not_found(error):
            return None, None
        raise
    return info[_INFO_MEMORY_KIB], info[_INFO_VCPUS]


class Inventory:
    """Answers questions about guests in as few calls as possible.

    :param rescued: returns the uuids of the guests that are in rescue
    """

    def __init__(
            self, link: link_module.Link, events: router.Router,
            bulk: bulk_module.Bulk,
            statistics: statistics_module.StatisticsCache,
            rescued: Callable[[], frozenset[str]],
            ownership: reach.Ownership) -> None:
        self._link = link
        self._events = events
        self._bulk = bulk
        self._statistics = statistics
        self._rescued = rescued
        self._ownership = ownership
        self._sizes = Sizes(bulk)

    def reports(self) -> list[decode.Report]:
        """Return how each guest is; one call."""
        return list(self._statistics.states(0).value.by_uuid.values())

    def sizes(self) -> list[Size]:
        """Return the sizes of the guests that are up.

        No call while events arrive, unless guests were started since the
        last time: see :meth:`Sizes.of`. One call otherwise.
        """
        if not self._is_told():
            return self._sizes.of_all()
        up = {uuid: known.domain_id
              for uuid, known in self._events.guests().items()
              if known.state in reach.UP}
        return self._sizes.of(up, self._link.current.generation)

    def summaries(self) -> list[instance_spec.InstanceSummary]:
        """Return one row for each guest, sorted by name.

        Two calls, which may enter guests: see :meth:`bulk.Bulk.ask`. One
        more for each guest: whether it is ours, and its display name.
        """
        rows = self._bulk.ask('list the guests', bulk_module.SIZES, self._rows)
        rescued = self._rescued()
        return sorted(
            (self._with_owner(row, mark, rescued) for row, mark in rows),
            key=lambda row: row.name)

    def _with_owner(
            self, row: instance_spec.InstanceSummary, mark: reach.Mark | None,
            rescued: frozenset[str]) -> instance_spec.InstanceSummary:
        folder = self._ownership.other_folder(mark)
        owned = mark is not None and not folder
        return dataclasses.replace(
            row, owned=owned, other_folder=folder,
            rescued=owned and row.uuid in rescued)

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
        session = self._link.current.session
        return (session is not None and session.vouched_for
                and self._events.generation == session.generation
                and self._events.is_current)

    def _ask(
            self, instance: instance_spec.Instance
    ) -> instance_spec.InstanceInfo:
        number, _ = self._link.look(
            'find the guest', lambda connection: connection.lookupByUUIDString(
                instance.uuid).state(0)[:2], instance=instance.uuid)
        return instance_spec.InstanceInfo(decode.power_state(number))

    def _rows(
            self, connection: protocol.Connection,
            groups: int) -> list[_Row]:
        saved = _saved(connection)
        rows = (_summary(domain, record, self._ownership)
                for domain, record in bulk_module.records(connection, groups))
        return [(dataclasses.replace(row[0], saved=row[0].uuid in saved),
                 row[1]) for row in rows if row is not None]


def _saved(connection: protocol.Connection) -> frozenset[str]:
    """Return the uuids of guests whose memory is on disk."""
    return frozenset(
        domain.UUIDString() for domain in connection.listAllDomains(
            libvirt.VIR_CONNECT_LIST_DOMAINS_MANAGEDSAVE))


def _summary(
        domain: protocol.Domain, record: dict[str, Any],
        ownership: reach.Ownership,
) -> _Row | None:
    size = of_record(domain, record)
    state = record.get('state.state', 0), record.get('state.reason', 0)
    try:
        mark = ownership.look(domain)
    except libvirt.libvirtError as error:
        if errors.is_not_found(error):
            # It went away since the list was made.
            return None
        raise
    return instance_spec.InstanceSummary(
        uuid=domain.UUIDString(), name=domain.name(),
        state=decode.power_state(state[0]),
        reason=decode.why_down(*state),
        stopped_by_storage=state == (
            libvirt.VIR_DOMAIN_PAUSED, libvirt.VIR_DOMAIN_PAUSED_IOERROR),
        vcpus=size.vcpus, memory_mib=size.memory_mib,
        owned=mark is not None,
        display_name=mark.display_name if mark else ''), mark
