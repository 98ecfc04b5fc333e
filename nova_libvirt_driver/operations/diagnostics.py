# SPDX-License-Identifier: Apache-2.0

"""The figures of guests."""

from collections.abc import Sequence
import dataclasses
import os

from nova_libvirt_driver import exception
from nova_libvirt_driver.guest import snapshots as snapshots_module
from nova_libvirt_driver.operations.steps import files as files_module
from nova_libvirt_driver.spec import diagnostics as diagnostics_spec
from nova_libvirt_driver.spec import instance as instance_spec
from nova_libvirt_driver.spec import nic as nic_spec


class Diagnostics:
    """Reads figures; changes nothing, and waits for no busy guest.

    All guests are asked at once, and the answer is good for each of them for
    ``stats_max_age``: whoever wants the figures of all makes one call.
    """

    def __init__(
            self, snapshots: snapshots_module.Snapshots,
            files: files_module.Files, host: str) -> None:
        self._snapshots = snapshots
        self._files = files
        self._host = host

    def get_diagnostics(
            self, instance: instance_spec.Instance
    ) -> diagnostics_spec.Diagnostics:
        """Return the figures of one guest.

        :raises InstanceNotFound: there is no such guest
        """
        figures = self._snapshots.figures_of(instance.uuid)
        if figures is None:
            raise exception.InstanceNotFound(
                instance=instance.uuid, host=self._host)
        return dataclasses.replace(
            figures,
            nics=_with_macs(figures.nics, self._interfaces(instance)),
            config_drive=os.path.exists(
                self._files.folder(instance).config_drive))

    def get_disk_counters(self) -> diagnostics_spec.DiskCounters:
        """Return the counters of all disks of all guests."""
        return {uuid: figures.disks for uuid, figures
                in self._snapshots.figures().value.by_uuid.items()}

    def _interfaces(
            self, instance: instance_spec.Instance
    ) -> Sequence[nic_spec.NicSpec]:
        try:
            return self._files.read_spec(instance).nics
        except (exception.InstanceNotFound, exception.StorageFailure):
            # The compute service knows them, if there is one.
            return ()


def _with_macs(
        nics: Sequence[diagnostics_spec.NicDiagnostics],
        specs: Sequence[nic_spec.NicSpec],
) -> tuple[diagnostics_spec.NicDiagnostics, ...]:
    """Return figures of interfaces with their addresses.

    A name that libvirt gave is in no spec, but the order is that of the spec
    as long as nothing was plugged or unplugged.
    """
    macs = {
        spec.target_dev: spec.mac for spec in specs if spec.target_dev}
    if len(nics) == len(specs):
        macs = {nic.target_dev: spec.mac for nic, spec
                in zip(nics, specs, strict=True)} | macs
    return tuple(dataclasses.replace(nic, mac=macs.get(nic.target_dev, ''))
                 for nic in nics)
