# SPDX-License-Identifier: Apache-2.0

"""One device of a guest: found in its XML, attached, and taken away.

A running domain has two descriptions, of itself and of its next start, and
each is changed and looked at by itself.
"""

from collections.abc import Iterable

import libvirt

from nova_libvirt_driver.calls import errors
from nova_libvirt_driver.calls import protocol
from nova_libvirt_driver.guest import reach as reach_module
from nova_libvirt_driver.spec import disk as disk_spec
from nova_libvirt_driver.spec import guest as guest_spec
from nova_libvirt_driver.spec import nic as nic_spec
from nova_libvirt_driver.xmlmodel.devices import devices as devices_model
from nova_libvirt_driver.xmlmodel.devices import disk as disk_model
from nova_libvirt_driver.xmlmodel.devices import interface as interface_model
from nova_libvirt_driver.xmlmodel import domain as domain_model
from nova_libvirt_driver.xmlmodel import element as element_module

Key = guest_spec.Key
Element = disk_model.Disk | interface_model.Interface

# Libvirt's own name for a tap, which it gives another guest after this one.
_TAP_OF_LIBVIRT = 'vnet'

Both = tuple[Element | None, Element | None]
"""A device of the next start, and of the guest that runs."""

_UNPLUG_WAIT_S = 5.0
"""How long libvirt, up to 11.3 at least, waits for QEMU to say that a device
has gone before its call returns (QEMU_UNPLUG_TIMEOUT)."""


class Device:
    """One device, which need not be there."""

    def __init__(self, reach: reach_module.Reach, key: Key) -> None:
        self._reach = reach
        self.key = key

    def defined(self) -> Element | None:
        """Return the device of the next start, None when it has none.

        :raises InstanceNotFound: the domain is gone
        """
        return find(self._read(
            libvirt.VIR_DOMAIN_XML_INACTIVE).devices, self.key)

    def live(self) -> Element | None:
        """Return the device of the guest that runs, None when it has none.

        :raises InstanceNotFound: the domain is gone
        """
        domain = self._read(0)
        return None if domain.id is None else find(domain.devices, self.key)

    def both(self) -> 'Both':
        """Return the device of the next start and of the guest that runs.

        :raises InstanceNotFound: the domain is gone
        """
        def read(domain: protocol.Domain) -> tuple[str, str]:
            return (domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE),
                    domain.XMLDesc(0))

        return both(self.key, *map(domain_model.Domain.parse, self._reach.look(
            'read the XML of the guest', read)))

    def attach(self, xml: str, *, live: bool) -> None:
        """Give the guest the device, for its next start as well.

        :param live: at once; the guest has to be up. Without, it must not be
        :raises WrongState: it is not
        """
        flags = libvirt.VIR_DOMAIN_AFFECT_CONFIG
        if live:
            flags |= libvirt.VIR_DOMAIN_AFFECT_LIVE
        self._reach.call(
            f'attach {self.key}',
            lambda domain: domain.attachDeviceFlags(xml, flags),
            needs=reach_module.UP if live else reach_module.DOWN)

    def undefine(self, found: element_module.Element) -> None:
        """Take the device from the next start.

        :param found: from :meth:`defined`
        """
        xml = found.to_xml()
        self._reach.call(
            f'detach {self.key} from the definition',
            lambda domain: domain.detachDeviceFlags(
                xml, libvirt.VIR_DOMAIN_AFFECT_CONFIG))

    def ask_back(self, found: element_module.Element) -> None:
        """Ask the guest to let go of the device; does not wait for it.

        A guest that was asked before is none the worse for it.

        :param found: from :meth:`live`
        :raises WrongState: the guest is not up
        """
        xml = found.to_xml()

        def ask(domain: protocol.Domain) -> None:
            try:
                domain.detachDeviceFlags(
                    xml, libvirt.VIR_DOMAIN_AFFECT_LIVE)
            except libvirt.libvirtError as error:
                if not errors.is_unplug_pending(error):
                    raise

        self._reach.call(
            f'detach {self.key}', ask, needs=reach_module.UP,
            own_wait_s=_UNPLUG_WAIT_S)

    def _read(self, flags: int) -> domain_model.Domain:
        return domain_model.Domain.parse(self._reach.look(
            'read the XML of the guest',
            lambda domain: domain.XMLDesc(flags)))


def both(
        key: Key, defined: domain_model.Domain,
        now: domain_model.Domain) -> Both:
    """Return a device of the next start and of the guest that runs.

    :param now: the domain as it is, which need not run
    """
    return find(defined.devices, key), (
        None if now.id is None else find(now.devices, key))


def find(devices: devices_model.Devices, key: Key) -> Element | None:
    """Return the device that is meant, None when it is not there.

    One that says in any way who it is, and is another, is never taken.
    """
    if isinstance(key, disk_spec.DiskKey):
        return _find_disk(devices.disks, key)
    return _find_nic(devices.interfaces, key)


def _find_disk(
        disks: Iterable[disk_model.Disk],
        key: disk_spec.DiskKey) -> disk_model.Disk | None:
    for disk in disks:
        if key.alias and disk.alias == key.alias or (
                key.serial and disk.serial == key.serial):
            return disk
        # The name of a volume that is gone may be another disk's by now.
        if not (key.id or key.serial) and disk.target_dev == key.target_dev:
            return disk
    return None


def _find_nic(
        nics: Iterable[interface_model.Interface],
        key: nic_spec.NicKey) -> interface_model.Interface | None:
    others = []
    for nic in nics:
        if key.id and key.id == nic.virtualport_interface_id or (
                key.alias and nic.alias == key.alias):
            return nic
        if (nic.mac or '').lower() == key.mac.lower() and not (
                _is_named(nic.alias) and key.alias
                or key.id and nic.virtualport_interface_id):
            others.append(nic)
    # The address may be another's as well, and the tap only this one's.
    exact = [nic for nic in others
             if key.target_dev and nic.target_dev == key.target_dev]
    likely = [nic for nic in others if not key.target_dev
              or (nic.target_dev or _TAP_OF_LIBVIRT).startswith(
                  _TAP_OF_LIBVIRT)]
    return next(iter(exact or likely), None)


def _is_named(alias: str | None) -> bool:
    return (alias or '').startswith('ua-')
