# SPDX-License-Identifier: Apache-2.0

"""From libvirt's statistics of a guest to its figures.

Nothing is asked. What libvirt does not say is None.
"""

from collections.abc import Mapping
from typing import Any

from nova_libvirt_driver.events import decode
from nova_libvirt_driver.spec import diagnostics as diagnostics_spec

_KIB_PER_MIB = 1024


def parse(record: Mapping[str, Any]) -> diagnostics_spec.Diagnostics:
    """Return the figures of one guest.

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
