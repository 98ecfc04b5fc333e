# SPDX-License-Identifier: Apache-2.0

"""The figures of guests."""

from collections.abc import Sequence
import dataclasses
import os

from nova_libvirt_driver import exception
from nova_libvirt_driver.guest import statistics_cache as statistics_module
from nova_libvirt_driver.spec import diagnostics as diagnostics_spec
from nova_libvirt_driver.spec import instance as instance_spec
from nova_libvirt_driver.spec import nic as nic_spec
from nova_libvirt_driver.storage import folder as folder_module
from nova_libvirt_driver.storage import spec_record


@dataclasses.dataclass(frozen=True, slots=True)
class Diagnostics:
    """Reads figures; changes nothing, and waits for no busy guest.

    All guests are asked at once, and the answer is good for each of them for
    ``stats_max_age``: to get the figures of all takes one call.
    """

    statistics: statistics_module.StatisticsCache
    folders: folder_module.Folders
    specs: spec_record.SpecRecords
    host: str

    def get_diagnostics(
            self, instance: instance_spec.Instance
    ) -> diagnostics_spec.Diagnostics:
        """Return the figures of one guest.

        :raises InstanceNotFound: there is no such guest
        """
        figures = self.statistics.figures_of(instance.uuid)
        if figures is None:
            raise exception.InstanceNotFound(
                instance=instance.uuid, host=self.host)
        return dataclasses.replace(
            figures,
            nics=_with_macs(figures.nics, self._interfaces(instance)),
            config_drive=os.path.exists(
                self.folders.of(instance).config_drive))

    def get_guest_figures(self) -> diagnostics_spec.GuestFigures:
        """Return the figures of all guests; one call."""
        return self.statistics.figures().value.by_uuid

    def get_disk_counters(self) -> diagnostics_spec.DiskCounters:
        """Return the counters of all disks of all guests."""
        return {uuid: figures.disks for uuid, figures
                in self.statistics.figures().value.by_uuid.items()}

    def _interfaces(
            self, instance: instance_spec.Instance
    ) -> Sequence[nic_spec.NicSpec]:
        spec = self.specs.find(instance)
        # The compute service knows them otherwise, if there is one.
        return () if spec is None else spec.nics


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
