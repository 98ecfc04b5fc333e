# SPDX-License-Identifier: Apache-2.0

"""How all guests are, asked once for all who want to know.

Each answer says when it was asked for. What is older than
``stats_max_age``, or than what was done to a guest since, is asked for again.
"""

from collections.abc import Mapping
import dataclasses
from typing import Any
from typing import Generic
from typing import TypeVar

from nova_libvirt_driver.calls import protocol
from nova_libvirt_driver.calls import shared
from nova_libvirt_driver.connection import link as link_module
from nova_libvirt_driver.events import decode
from nova_libvirt_driver.events import router
from nova_libvirt_driver.guest import bulk as bulk_module
from nova_libvirt_driver.spec import diagnostics as diagnostics_spec

T = TypeVar('T')
_KIB_PER_MIB = 1024


@dataclasses.dataclass(frozen=True, slots=True)
class Statistics(Generic[T]):
    """Something about every guest."""

    by_uuid: Mapping[str, T]
    known: Mapping[str, router.Known]
    """What events had said before it was asked."""

    def of(self, uuid: str, known: router.Known | None) -> T | None:
        """Return it for a guest of which no event has told since.

        :param known: what events say of it now; None if they never did
        """
        before = self.known.get(uuid)
        if known is None or before is None or (
                before.version != known.version):
            return None
        return self.by_uuid.get(uuid)


States = Statistics[decode.Report]
Figures = Statistics[diagnostics_spec.Diagnostics]


class StatisticsCache:
    """Asks, and keeps the last answers.

    :param max_age_s: how old an answer may be for who does not say
    """

    def __init__(
            self, link: link_module.Link, events: router.Router,
            bulk: bulk_module.Bulk, max_age_s: float) -> None:
        self._link = link
        self._events = events
        self._bulk = bulk
        self._states = shared.Shared(
            self._ask_states, max_age_s=max_age_s,
            generation=lambda: self._link.current.generation)
        self._figures = shared.Shared(
            self._ask_figures, max_age_s=max_age_s,
            generation=lambda: self._link.current.generation)

    def states(self, max_age_s: float | None = None) -> shared.Aged[States]:
        """Return the states of all guests; one call, which enters no guest.

        :param max_age_s: how old they may be; 0 asks in any case
        :raises DriverError: libvirt's error as one of ours
        """
        # A lost connection is an error, whatever is remembered of it.
        self._link.connection()
        return self._states.get(max_age_s)

    def figures(self, max_age_s: float | None = None) -> shared.Aged[Figures]:
        """Return the figures of all guests; one call.

        Of a guest that hangs there are only those that enter no monitor; see
        :meth:`bulk.Bulk.ask`.

        :param max_age_s: how old they may be; 0 asks in any case
        :raises DriverError: libvirt's error as one of ours
        """
        self._link.connection()
        return self._figures.get(max_age_s)

    def figures_of(
            self, uuid: str) -> diagnostics_spec.Diagnostics | None:
        """Return the figures of one guest, None when there is no such guest.

        They are no older than what was done to it last.
        """
        now_s = self._figures.now_s()
        answer = self.figures()
        if answer.asked_s < now_s and answer.value.of(
                uuid, self._events.known(uuid)) is None:
            answer = self.figures(0)
        found = answer.value.by_uuid.get(uuid)
        return None if found is None else dataclasses.replace(
            found, age_s=self._figures.age_s(answer),
            last_disk_error=self._events.disk_errors().get(uuid))

    def _ask_states(self) -> States:
        known = self._events.guests()
        return Statistics(self._link.look(
            'list the guests', _reports), known)

    def _ask_figures(self) -> Figures:
        known = self._events.guests()
        return Statistics(self._bulk.ask(
            'read the statistics of the guests', bulk_module.FIGURES,
            _figures), known)


def _reports(connection: protocol.Connection) -> dict[str, decode.Report]:
    return {report.uuid: report for report in decode.reports(connection)}


def _figures(
        connection: protocol.Connection,
        groups: int) -> dict[str, diagnostics_spec.Diagnostics]:
    return {domain.UUIDString(): dataclasses.replace(
                figures_in(record), name=domain.name())
            for domain, record in bulk_module.records(connection, groups)}


def figures_in(record: Mapping[str, Any]) -> diagnostics_spec.Diagnostics:
    """Return the figures of one guest; what libvirt does not say is None.

    :param record: values by their dotted names
    """
    return diagnostics_spec.Diagnostics(
        state=decode.power_state(
            record.get('state.state', 0)).name.lower(),
        vcpu_times_ns=_vcpu_times(record),
        memory_mib=_mib(record, 'balloon.maximum'),
        memory_used_mib=_mib(record, 'balloon.rss'),
        disks=tuple(_disk(record, f'block.{number}')
                    for number in range(record.get('block.count', 0))),
        nics=tuple(_nic(record, f'net.{number}')
                   for number in range(record.get('net.count', 0))))


def _vcpu_times(record: Mapping[str, Any]) -> tuple[int, ...]:
    # An unplugged CPU leaves a gap.
    names = (f'vcpu.{number}.time'
             for number in range(record.get('vcpu.maximum', 0)))
    return tuple(record[name] for name in names if name in record)


def _mib(record: Mapping[str, Any], name: str) -> int | None:
    kib = record.get(name)
    return None if kib is None else kib // _KIB_PER_MIB


def _disk(
        record: Mapping[str, Any],
        prefix: str) -> diagnostics_spec.DiskDiagnostics:
    return diagnostics_spec.DiskDiagnostics(
        target_dev=record.get(f'{prefix}.name', ''),
        read_bytes=record.get(f'{prefix}.rd.bytes'),
        read_requests=record.get(f'{prefix}.rd.reqs'),
        write_bytes=record.get(f'{prefix}.wr.bytes'),
        write_requests=record.get(f'{prefix}.wr.reqs'),
        errors=record.get(f'{prefix}.errors'))


def _nic(
        record: Mapping[str, Any],
        prefix: str) -> diagnostics_spec.NicDiagnostics:
    figures: dict[str, Any] = {
        f'{way}_{ours}': record.get(f'{prefix}.{way}.{theirs}')
        for way in ('rx', 'tx')
        for ours, theirs in (('bytes', 'bytes'), ('packets', 'pkts'),
                             ('errors', 'errs'), ('drop', 'drop'))}
    return diagnostics_spec.NicDiagnostics(
        target_dev=record.get(f'{prefix}.name', ''), **figures)
