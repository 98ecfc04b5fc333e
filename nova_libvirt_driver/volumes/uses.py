# SPDX-License-Identifier: Apache-2.0

"""Which domains of this host have a volume, those of others included."""

from collections.abc import Callable
from collections.abc import Iterable
import dataclasses
import functools
import os

from nova_libvirt_driver.xmlmodel.devices import disk as disk_model
from nova_libvirt_driver.xmlmodel import domain as domain_model


@dataclasses.dataclass(frozen=True, slots=True)
class Use:
    """One disk of one domain."""

    uuid: str
    """Of the domain."""
    path: str
    """Empty where it says nothing: the device of a stopped domain may have
    another name by now, and its name another device."""
    serial: str


class Uses:
    """The disks of all domains, read once and when they are first needed.

    :param definitions: returns the XML of all domains
    """

    def __init__(self, definitions: Callable[[], Iterable[str]]) -> None:
        self._definitions = definitions

    @functools.cached_property
    def _all(self) -> list[Use]:
        return [
            Use(domain.uuid or '', _path(domain, disk), disk.serial or '')
            for domain in map(
                domain_model.Domain.parse, self._definitions())
            for disk in domain.devices.disks]

    def of_path(self, path: str, *, but: str) -> set[str]:
        """Return the uuids of domains that have a file or device.

        :param but: uuid that does not count
        """
        real = os.path.realpath(path)
        return {use.uuid for use in self._all if use.path == real} - {but}

    def has_volume(self, uuid: str, serial: str) -> bool:
        """Say whether a domain has a disk of that serial number.

        After a swap it has that of another volume, which may be in use by
        another domain: so a serial number finds a volume in one domain only.
        """
        return any(use.uuid == uuid and use.serial == serial
                   for use in self._all)

    def below(self, folder: str, *, but: str) -> set[str]:
        """Return the uuids of domains that have a file in a folder."""
        real = os.path.realpath(folder)
        return {use.uuid for use in self._all
                if os.path.dirname(use.path) == real} - {but}


def _path(domain: domain_model.Domain, disk: disk_model.Disk) -> str:
    path = disk.source_file or (
        disk.source_dev if domain.id is not None else '')
    return os.path.realpath(path) if path else ''
