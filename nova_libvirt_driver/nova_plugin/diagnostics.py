# SPDX-License-Identifier: Apache-2.0

"""Figures of a guest, in both forms that Nova's API gives out."""

from collections.abc import Iterable
import dataclasses
import datetime
from typing import Any

from nova.objects import diagnostics as nova_diagnostics

from nova_libvirt_driver.spec import diagnostics as diagnostics_spec

_KIB_PER_MIB = 1024
# The only state for which the API has another word.
_STATES = {'nostate': 'pending'}


def structured(
        found: diagnostics_spec.Diagnostics, virt_type: str,
        launched_at: datetime.datetime | None
) -> nova_diagnostics.Diagnostics:
    """Return the form whose fields are the same for all drivers.

    :param launched_at: with a time zone, as Nova's instances have it
    """
    result = nova_diagnostics.Diagnostics(
        state=_STATES.get(found.state, found.state), driver='libvirt',
        hypervisor=virt_type, hypervisor_os='linux',
        uptime=found.uptime_s if launched_at is None else _since(launched_at),
        config_drive=found.config_drive)
    result.memory_details = nova_diagnostics.MemoryDiagnostics(
        maximum=found.memory_mib, used=found.memory_used_mib)
    for number, time_ns in enumerate(found.vcpu_times_ns):
        result.add_cpu(id=number, time=time_ns)
    for disk in found.disks:
        result.add_disk(
            read_bytes=disk.read_bytes, read_requests=disk.read_requests,
            write_bytes=disk.write_bytes, write_requests=disk.write_requests,
            errors_count=disk.errors)
    for nic in found.nics:
        result.add_nic(
            mac_address=nic.mac or None,
            rx_octets=nic.rx_bytes, rx_errors=nic.rx_errors,
            rx_drop=nic.rx_drop, rx_packets=nic.rx_packets,
            tx_octets=nic.tx_bytes, tx_errors=nic.tx_errors,
            tx_drop=nic.tx_drop, tx_packets=nic.tx_packets)
    return result


def with_macs(
        found: diagnostics_spec.Diagnostics,
        network_info: Iterable[Any]) -> diagnostics_spec.Diagnostics:
    """Return figures whose interfaces have the addresses that Nova knows."""
    macs = {vif['devname']: vif['address'] for vif in network_info}
    return dataclasses.replace(found, nics=tuple(
        dataclasses.replace(
            nic, mac=macs.get(nic.target_dev) or nic.mac)
        for nic in found.nics))


def flat(found: diagnostics_spec.Diagnostics) -> dict[str, int]:
    """Return the form of old API versions; what is not known is left out."""
    figures = {f'cpu{number}_time': time_ns for number, time_ns
               in enumerate(found.vcpu_times_ns)}
    if found.memory_mib is not None:
        figures['memory'] = found.memory_mib * _KIB_PER_MIB
    if found.memory_used_mib is not None:
        figures['memory-rss'] = found.memory_used_mib * _KIB_PER_MIB
    known: dict[str, int | None] = {}
    for disk in found.disks:
        known |= _of_disk(disk)
    for nic in found.nics:
        known |= _of_nic(nic)
    return figures | {name: value for name, value in known.items()
                      if value is not None}


def _of_disk(disk: diagnostics_spec.DiskDiagnostics) -> dict[str, int | None]:
    return {
        f'{disk.target_dev}_read_req': disk.read_requests,
        f'{disk.target_dev}_read': disk.read_bytes,
        f'{disk.target_dev}_write_req': disk.write_requests,
        f'{disk.target_dev}_write': disk.write_bytes,
        f'{disk.target_dev}_errors': disk.errors}


def _of_nic(nic: diagnostics_spec.NicDiagnostics) -> dict[str, int | None]:
    return {
        f'{nic.target_dev}_rx': nic.rx_bytes,
        f'{nic.target_dev}_rx_packets': nic.rx_packets,
        f'{nic.target_dev}_rx_errors': nic.rx_errors,
        f'{nic.target_dev}_rx_drop': nic.rx_drop,
        f'{nic.target_dev}_tx': nic.tx_bytes,
        f'{nic.target_dev}_tx_packets': nic.tx_packets,
        f'{nic.target_dev}_tx_errors': nic.tx_errors,
        f'{nic.target_dev}_tx_drop': nic.tx_drop}


def _since(moment: datetime.datetime) -> int:
    # The test objects of Nova have no zone: all its times are UTC.
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=datetime.UTC)
    now = datetime.datetime.now(datetime.UTC)
    return max(0, int((now - moment).total_seconds()))
