# SPDX-License-Identifier: Apache-2.0

"""Guests that differ in their consoles and other devices."""

import dataclasses

from nova_libvirt_driver.spec import boot as boot_spec
from nova_libvirt_driver.spec import console as console_spec
from nova_libvirt_driver.spec import device as device_spec
from nova_libvirt_driver.spec import policy as policy_spec
from tests.unit.configurators import values

Graphics = console_spec.GraphicsSpec
Serial = console_spec.SerialSpec

TCP = Serial(kind=console_spec.SerialKind.TCP, listen='127.0.0.2',
             port=10000)
VNC = Graphics(kind=console_spec.GraphicsKind.VNC)
SPICE = Graphics(kind=console_spec.GraphicsKind.SPICE, listen='127.0.0.2')
SECURE_SPICE = dataclasses.replace(SPICE, spice=console_spec.SpiceSpec(
    secure=True, agent=False, image_compression='lz',
    jpeg_compression='never', zlib_compression='always',
    playback_compression=True, streaming_mode='filter'))

IOMMU = device_spec.DeviceSpec(iommu=device_spec.IommuSpec())

SCENARIOS = {
    'console-tcp': values.inputs(consoles=console_spec.ConsoleSpec(
        serials=(TCP, Serial()))),
    'console-none': values.inputs(
        consoles=console_spec.ConsoleSpec(serials=(), log=False),
        devices=device_spec.DeviceSpec(usb_controller=False)),
    'console-without-log': values.inputs(
        consoles=console_spec.ConsoleSpec(log=False)),
    'console-vnc': values.inputs(
        consoles=console_spec.ConsoleSpec(graphics=(
            Graphics(kind=console_spec.GraphicsKind.VNC, listen='0.0.0.0',
                     keymap='en-us'),)),
        devices=device_spec.DeviceSpec(
            video=device_spec.VideoSpec(model='cirrus', vram_mib=16))),
    'console-spice': values.inputs(
        consoles=console_spec.ConsoleSpec(graphics=(SPICE,)),
        devices=device_spec.DeviceSpec(usb_redirections=2, agent=True)),
    'console-spice-secure': values.inputs(
        consoles=console_spec.ConsoleSpec(graphics=(SECURE_SPICE,))),
    'console-both': values.inputs(
        consoles=console_spec.ConsoleSpec(graphics=(VNC, SPICE)),
        devices=device_spec.DeviceSpec(pointer='virtio')),
    'console-without-card': values.inputs(
        consoles=console_spec.ConsoleSpec(graphics=(VNC,)),
        devices=device_spec.DeviceSpec(
            video=None, pointer='ps2mouse', usb_controller=False)),
    'device-tpm': values.inputs(
        devices=device_spec.DeviceSpec(tpm=device_spec.TpmSpec())),
    'device-tpm-old': values.inputs(
        devices=device_spec.DeviceSpec(tpm=device_spec.TpmSpec(
            version='1.2', model='tpm-tis', secret_uuid=values.SECRET))),
    'device-others': values.inputs(devices=device_spec.DeviceSpec(
        rng=device_spec.RngSpec(rate_bytes=1024, period_ms=1000),
        watchdog=device_spec.WatchdogAction.POWEROFF, agent=True,
        sound='ich6', vsock_cid=42)),
    'device-asked-for': values.inputs(devices=device_spec.DeviceSpec(
        usb_model='qemu-xhci', keyboard='virtio', pointer='virtio')),
    'device-policy': values.inputs(
        devices=device_spec.DeviceSpec(rng=device_spec.RngSpec()),
        policy=policy_spec.GuestPolicy(
            rng_path='/dev/random', stats_period_s=0,
            sysinfo_serial='hardware')),
    'device-iommu-intel': values.inputs(host=values.Q35, devices=IOMMU),
    'device-iommu-plain': values.inputs(
        host=values.KVM, policy=values.KVM_POLICY,
        boot=boot_spec.BootSpec(machine='q35'),
        devices=device_spec.DeviceSpec(iommu=device_spec.IommuSpec(
            eim=False, caching_mode=False, iotlb=False,
            address_bits=None))),
    'device-iommu-kvm': values.inputs(
        host=values.KVM, policy=values.KVM_POLICY, devices=IOMMU),
    'device-iommu-virtio': values.inputs(
        host=values.Q35, devices=device_spec.DeviceSpec(
            iommu=device_spec.IommuSpec(model='virtio'))),
    'features': values.inputs(
        host=values.KVM, policy=values.KVM_POLICY,
        features=device_spec.FeatureSpec(
            acpi=False, apic=False, pmu=False, hide_hypervisor=True,
            vmcoreinfo=False, hpet=True)),
}
