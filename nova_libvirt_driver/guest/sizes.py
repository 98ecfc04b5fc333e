# SPDX-License-Identifier: Apache-2.0

"""How many CPUs and how much memory the guests have that are up.

That stays the same from one start of a guest to the next, unless someone
changes it meanwhile. So it is asked once for each start, and again after
some time.
"""

from collections.abc import Iterable
from collections.abc import Mapping
import dataclasses
import time
from typing import Any

import libvirt

from nova_libvirt_driver.calls import errors
from nova_libvirt_driver.calls import protocol
from nova_libvirt_driver.events import decode
from nova_libvirt_driver.guest import bulk as bulk_module
from nova_libvirt_driver.guest import reach

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
