# SPDX-License-Identifier: Apache-2.0

"""A fake hypervisor with one guest of ours, and its handle."""

from typing import Any

import libvirt
from lxml import etree

from nova_libvirt_driver.guest import guests as guests_module
from nova_libvirt_driver.guest import handle
from nova_libvirt_driver.spec import instance as instance_spec
from nova_libvirt_driver.testing import fake_libvirt
from nova_libvirt_driver.testing import fake_xml
from nova_libvirt_driver.testing import fixtures
from tests import base
from tests import guests

UUID = '4c2a9a1e-7d7c-4a58-9f3e-2b1f6b1b7a11'
INSTANCE = instance_spec.InstanceRef(UUID, 'one')

DEVICES = (
    "<disk type='file' device='disk'><driver name='qemu' type='qcow2'/>"
    "<source file='/i/disk'/><target dev='vda' bus='virtio'/></disk>",
    "<disk type='file' device='cdrom'><driver name='qemu' type='raw'/>"
    "<source file='/i/disk.config'/><target dev='hda' bus='ide'/></disk>",
    "<interface type='bridge'><mac address='52:54:00:00:00:01'/>"
    "<source bridge='br0'/><target dev='tap0'/><model type='virtio'/>"
    '</interface>',
    "<serial type='tcp'><source mode='bind' host='127.0.0.1' "
    "service='10001'/></serial>",
    "<channel type='unix'><target type='virtio' "
    "name='org.qemu.guest_agent.0'/></channel>",
    "<graphics type='vnc' port='-1' autoport='yes' listen='127.0.0.1'/>",
)


def xml_of(
        *devices: str, name: str = 'one', uuid: str = UUID,
        owned: bool = True) -> str:
    """Return the definition of a guest with devices."""
    domain = etree.fromstring(fake_xml.minimal(name, uuid, owned=owned))
    holder = domain.find('devices')
    assert holder is not None
    holder.extend(etree.fromstring(device) for device in devices)
    return etree.tostring(domain, encoding='unicode')


class HandleTestCase(base.TestCase):
    """Has the guest "one", with some devices."""

    def setUp(self) -> None:
        super().setUp()
        self.hypervisor = self.useFixture(fixtures.FakeLibvirt()).hypervisor
        self.reached = self.useFixture(guests.GuestsFixture('fake:///'))

    @property
    def guests(self) -> guests_module.Guests:
        return self.reached.guests

    def add_guest(
            self, *, state: int = libvirt.VIR_DOMAIN_RUNNING,
            devices: tuple[str, ...] = DEVICES,
            **fields: Any) -> fake_libvirt.Guest:
        """Make the guest; sends no event."""
        added = self.hypervisor.add_guest(
            'one', uuid=UUID, state=state, xml=xml_of(*devices))
        for name, value in fields.items():
            setattr(added, name, value)
        return added

    def find(self) -> handle.Guest:
        """Return the handle of the guest."""
        return self.guests.find(INSTANCE)
