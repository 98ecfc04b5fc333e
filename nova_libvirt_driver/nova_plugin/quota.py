# SPDX-License-Identifier: Apache-2.0

"""Limits that a flavor sets, the extra specs ``quota:*``."""

from collections.abc import Mapping
import dataclasses

from nova_libvirt_driver import exception
from nova_libvirt_driver.spec import cpu as cpu_spec
from nova_libvirt_driver.spec import disk as disk_spec
from nova_libvirt_driver.spec import nic as nic_spec

_CPU = {'cpu_shares': 'shares', 'cpu_period': 'period_us',
        'cpu_quota': 'quota_us'}

_DISK = {
    f'disk_{what}_{unit}_sec{maximum}': f'{what}_{ours}{maximum}'
    for what in ('read', 'write', 'total')
    for unit, ours in (('bytes', 'bytes_s'), ('iops', 'iops'))
    for maximum in ('', '_max')}

_NIC = {'average': 'average_kib_s', 'peak': 'peak_kib_s',
        'burst': 'burst_kib'}


def cpu(extra_specs: Mapping[str, str]) -> cpu_spec.CpuTune:
    """Return the limits of the processors.

    :raises InvalidRequest: one is not a number
    """
    return cpu_spec.CpuTune(**_numbers(extra_specs, _CPU))


def disk(extra_specs: Mapping[str, str]) -> disk_spec.IoTune | None:
    """Return the limits of the disks, None for none.

    :raises InvalidRequest: one is not a number
    """
    limits = _numbers(extra_specs, _DISK)
    return disk_spec.IoTune(**limits) if limits else None


def limited(
        nic: nic_spec.NicSpec,
        extra_specs: Mapping[str, str]) -> nic_spec.NicSpec:
    """Return an interface with its limits.

    :raises InvalidRequest: one is not a number
    """
    if nic.kind is nic_spec.NicKind.VHOSTUSER:
        # What is behind the socket would have to do it.
        return nic
    return dataclasses.replace(
        nic, inbound=_bandwidth(extra_specs, 'inbound'),
        outbound=_bandwidth(extra_specs, 'outbound'))


def _bandwidth(
        extra_specs: Mapping[str, str],
        side: str) -> nic_spec.NicBandwidth | None:
    limits = _numbers(extra_specs, {
        f'vif_{side}_{name}': field for name, field in _NIC.items()})
    # Nova's own driver leaves a side without an average without limits, too.
    return nic_spec.NicBandwidth(**limits) if 'average_kib_s' in limits else (
        None)


def _numbers(
        extra_specs: Mapping[str, str],
        fields: Mapping[str, str]) -> dict[str, int]:
    numbers = {}
    for name, field in fields.items():
        text = extra_specs.get(f'quota:{name}')
        if text is None:
            continue
        try:
            numbers[field] = int(text)
        except ValueError as error:
            raise exception.InvalidRequest(
                reason=f'the extra spec quota:{name} is {text!r}, and has to '
                       'be a number') from error
    return numbers
