# SPDX-License-Identifier: Apache-2.0

"""Facets that add one device each."""

import dataclasses
from typing import Any

from nova_libvirt_driver import exception
from nova_libvirt_driver.spec import device as device_spec
from nova_libvirt_driver.spec import memory as memory_spec
from tests.unit.configurators import base
from tests.unit.configurators import values


def devices(**fields: Any) -> device_spec.DeviceSpec:
    return device_spec.DeviceSpec(**fields)


class DeviceTest(base.FacetTestCase):

    def test_impossible_devices_are_refused(self) -> None:
        for wrong in (
                devices(sound='gramophone'), devices(vsock_cid=2),
                devices(vsock_cid=2 ** 32 - 1),
                devices(usb_redirections=1),
                devices(rng=device_spec.RngSpec(period_ms=1)),
                devices(tpm=device_spec.TpmSpec(version='1.2')),
                devices(tpm=device_spec.TpmSpec(secret_uuid='secret')),
                devices(iommu=device_spec.IommuSpec(model='amd'))):
            self.assertRaises(
                exception.InvalidRequest, self.build, devices=wrong)

    def test_device_that_the_host_lacks_is_refused(self) -> None:
        poor = dataclasses.replace(
            values.PC, capabilities=dataclasses.replace(
                values.PC_CAPABILITIES, rng_backends=frozenset({'egd'}),
                tpm_versions=frozenset({'1.2'})))
        for wanted in (devices(rng=device_spec.RngSpec()),
                       devices(tpm=device_spec.TpmSpec()),
                       devices(sound='virtio')):
            self.assertRaises(exception.UnsupportedOperation, self.build,
                              host=poor, devices=wanted)

    def test_balloon_tells_how_much_is_used(self) -> None:
        self.assertEqual([{'period': '10'}], self.attributes(
            self.build(), 'devices/memballoon/stats'))
        self.assertEqual([{'model': 'none'}], self.attributes(
            self.build(memory=memory_spec.MemorySpec(
                size_mib=64, balloon=False)), 'devices/memballoon'))

    def test_agent_has_a_channel_of_its_own(self) -> None:
        root = self.build(devices=devices(agent=True))

        self.assertEqual('org.qemu.guest_agent.0', self.attribute(
            root, 'devices/channel/target', 'name'))
        self.assertIsNone(self.build().find('devices/channel'))
