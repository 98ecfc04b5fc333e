# SPDX-License-Identifier: Apache-2.0

"""The figures of one guest."""

from collections.abc import Mapping
import os
from typing import Any

from nova_libvirt_driver.guest import devices
from nova_libvirt_driver.guest import guests as guests_module
from nova_libvirt_driver.spec import diagnostics as diagnostics_spec
from nova_libvirt_driver.spec import instance as instance_spec

_TIMEOUT_S = 10.0
_KIB_PER_MIB = 1024
_CONFIG_DRIVE = 'disk.config'


class Diagnostics:
    """Reads figures; changes nothing, and waits for no busy guest."""

    def __init__(self, guests: guests_module.Guests) -> None:
        self._guests = guests

    def get_diagnostics(
            self, instance: instance_spec.Instance
    ) -> diagnostics_spec.Diagnostics:
        """Return the figures of one guest."""
        guest = self._guests.find(instance)
        stats = guest.stats(timeout_s=_TIMEOUT_S)
        xml = guest.xml()
        return diagnostics_spec.Diagnostics(
            state=guest.state().power.name.lower(),
            vcpu_times_ns=_vcpu_times(stats),
            memory_mib=_mib(stats, 'balloon.maximum'),
            memory_used_mib=_mib(stats, 'balloon.rss'),
            disks=tuple(_disk(stats, f'block.{number}')
                        for number in range(stats.get('block.count', 0))),
            nics=_nics(stats, xml),
            config_drive=any(
                os.path.basename(disk.source) == _CONFIG_DRIVE
                for disk in devices.disks(xml)))


def _vcpu_times(stats: Mapping[str, Any]) -> tuple[int, ...]:
    # An unplugged CPU leaves a gap.
    names = (f'vcpu.{number}.time'
             for number in range(stats.get('vcpu.maximum', 0)))
    return tuple(stats[name] for name in names if name in stats)


def _mib(stats: Mapping[str, Any], name: str) -> int | None:
    kib = stats.get(name)
    return None if kib is None else kib // _KIB_PER_MIB


def _disk(
        stats: Mapping[str, Any],
        prefix: str) -> diagnostics_spec.DiskDiagnostics:
    return diagnostics_spec.DiskDiagnostics(
        target_dev=stats.get(f'{prefix}.name', ''),
        read_bytes=stats.get(f'{prefix}.rd.bytes'),
        read_requests=stats.get(f'{prefix}.rd.reqs'),
        write_bytes=stats.get(f'{prefix}.wr.bytes'),
        write_requests=stats.get(f'{prefix}.wr.reqs'),
        errors=stats.get(f'{prefix}.errors'))


def _nics(
        stats: Mapping[str, Any],
        xml: str) -> tuple[diagnostics_spec.NicDiagnostics, ...]:
    macs = {interface.target_dev: interface.mac
            for interface in devices.interfaces(xml)}
    return tuple(_nic(stats, f'net.{number}', macs)
                 for number in range(stats.get('net.count', 0)))


def _nic(
        stats: Mapping[str, Any], prefix: str,
        macs: Mapping[str, str]) -> diagnostics_spec.NicDiagnostics:
    target_dev = stats.get(f'{prefix}.name', '')
    figures = {
        f'{way}_{ours}': stats.get(f'{prefix}.{way}.{theirs}')
        for way in ('rx', 'tx')
        for ours, theirs in (('bytes', 'bytes'), ('packets', 'pkts'),
                             ('errors', 'errs'), ('drop', 'drop'))}
    return diagnostics_spec.NicDiagnostics(
        target_dev=target_dev, mac=macs.get(target_dev, ''), **figures)
