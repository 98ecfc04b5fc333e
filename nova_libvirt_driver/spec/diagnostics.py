# SPDX-License-Identifier: Apache-2.0

"""Figures of one guest, at one moment."""

from collections.abc import Mapping
import dataclasses

from nova_libvirt_driver.spec import event


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class DiskDiagnostics:
    """Counters of one disk since the guest was started."""

    target_dev: str
    read_bytes: int | None = None
    read_requests: int | None = None
    write_bytes: int | None = None
    write_requests: int | None = None
    errors: int | None = None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class NicDiagnostics:
    """Counters of one interface since the guest was started."""

    target_dev: str
    mac: str = ''
    rx_bytes: int | None = None
    rx_packets: int | None = None
    rx_errors: int | None = None
    rx_drop: int | None = None
    tx_bytes: int | None = None
    tx_packets: int | None = None
    tx_errors: int | None = None
    tx_drop: int | None = None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Diagnostics:
    """How much a guest uses; None is what libvirt does not say."""

    state: str
    name: str = ''
    """Of its domain; empty where it is not said."""
    uptime_s: int | None = None
    vcpu_times_ns: tuple[int, ...] = ()
    memory_mib: int | None = None
    memory_used_mib: int | None = None
    """What its process has in the host's memory."""
    disks: tuple[DiskDiagnostics, ...] = ()
    nics: tuple[NicDiagnostics, ...] = ()
    config_drive: bool = False
    last_disk_error: event.IOErrorEvent | None = None
    """The last one that this process has heard of, however long ago."""
    age_s: float = dataclasses.field(default=0.0, compare=False)
    """How long ago libvirt was asked."""


DiskCounters = Mapping[str, tuple[DiskDiagnostics, ...]]
"""The counters of the disks of each guest, by its uuid."""

GuestFigures = Mapping[str, Diagnostics]
"""The figures of each guest, by its uuid."""
