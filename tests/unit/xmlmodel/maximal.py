# SPDX-License-Identifier: Apache-2.0

"""Documents that have a value in every field of the model together.

Where libvirt allows only one of several things there are several devices.
"""

import pathlib

from nova_libvirt_driver.xmlmodel import capabilities
from nova_libvirt_driver.xmlmodel import domain as domain_module
from nova_libvirt_driver.xmlmodel import domain_capabilities
from nova_libvirt_driver.xmlmodel import element
from nova_libvirt_driver.xmlmodel import fields
from nova_libvirt_driver.xmlmodel import secret as secret_module
from nova_libvirt_driver.xmlmodel import snapshot as snapshot_module
from tests.unit.xmlmodel import filling
from tests.unit.xmlmodel import maximal_devices

put = filling.put
UUID = filling.UUID


def documents() -> dict[str, element.Element]:
    """Return one document of each kind, by the name of libvirt's schema."""
    return {'domain': build(), 'secret': secret(),
            'domainsnapshot': snapshot(),
            'capability': capabilities.Capabilities.parse(
                _said('capabilities')),
            'domaincaps': domain_capabilities.DomainCapabilities.parse(
                _said('domain_capabilities'))}


def _said(name: str) -> str:
    """Return what a libvirt has said, shortened."""
    return (pathlib.Path(__file__).parent / 'data' / f'{name}.xml').read_text()


def bare_instance() -> domain_module.BareInstance:
    """Return metadata as libvirt gives it by itself; it has no schema."""
    return put(domain_module.BareInstance(), display_name='One')


def secret() -> secret_module.Secret:
    """Return a secret; it is a document of its own."""
    made = secret_module.Secret()
    put(made, ephemeral=True, private=False, uuid=UUID, usage_type='vtpm',
        usage_name=UUID)
    return made


def volume_secret() -> secret_module.Secret:
    """Return a secret with a place that no other kind of secret has."""
    return put(secret_module.Secret(), usage_volume=UUID)


def snapshot() -> snapshot_module.DomainSnapshot:
    """Return a snapshot of a disk."""
    made = snapshot_module.DomainSnapshot()
    put(made.disks.add(), name='vda', snapshot='external', type='file',
        driver_type='qcow2', source_file='/var/lib/one')
    return made


def build() -> domain_module.Domain:
    """Return the domain."""
    made = domain_module.Domain()
    put(made, type='qemu', id=3, name='instance-1', uuid=UUID,
        title='one', description='The first one.', memory_kib=2 << 20,
        vcpus=4, vcpu_cpuset=frozenset({0, 1, 2, 3}), iothreads=2,
        on_poweroff='destroy', on_reboot='restart', on_crash='destroy',
        launch_security_type='sev', launch_security_policy='0x0033')
    _instance(made)
    _memory(made)
    _cpu(made)
    _os(made)
    _features(made)
    put(made.perf_events.add(), name='cmt', enabled=True)
    maximal_devices.add(made.devices)
    return made


def _instance(made: domain_module.Domain) -> None:
    put(made.instance, package_version='1.0', display_name='One',
        creation_time='2026-11-25 12:00:00', user='admin', user_uuid=UUID,
        project='demo', project_uuid=UUID, root_type='image',
        root_uuid=UUID, image_uuid=UUID, image_container_format='bare',
        image_disk_format='qcow2', image_min_disk='1', image_min_ram='0')
    put(made.instance.image_properties.add(), name='os_type', value='linux')
    flavor = put(
        made.instance.flavor, name='m1.tiny', id='1', memory_mib=2048,
        disk_gib=1, swap_mib=0, ephemeral_gib=0, vcpus=4)
    put(flavor.extra_specs.add(), name='hw:cpu_policy', value='shared')
    port = put(made.instance.ports.add(), uuid=UUID)
    put(port.ips.add(), type='fixed', address='192.0.2.1', version='4')


def _memory(made: domain_module.Domain) -> None:
    backing = put(
        made.memory_backing, hugepages=True, nosharepages=True, locked=True,
        source_type='memfd', access_mode='shared',
        allocation_mode='immediate', discard=True)
    put(backing.pages.add(), size=2048, unit='KiB', nodeset=frozenset({0}))
    put(made.numatune, mode='strict', nodeset=frozenset({0}))
    put(made.numatune.memnodes.add(), cellid=0, mode='strict',
        nodeset=frozenset({0}))


def _cpu(made: domain_module.Domain) -> None:
    tune = put(made.cputune, shares=1024, period=100000, quota=50000,
               emulatorpin=frozenset({3}))
    put(tune.vcpupins.add(), vcpu=0, cpuset=frozenset({0, 1}))
    put(tune.iothreadpins.add(), iothread=1, cpuset=frozenset({2}))
    put(tune.vcpuscheds.add(), vcpus=frozenset({0}), scheduler='fifo',
        priority=1)
    cpu = put(
        made.cpu, mode='custom', match='exact', check='partial',
        migratable=True, model='Nehalem', model_fallback='forbid',
        vendor='Intel', sockets=1, cores=4, threads=1,
        maxphysaddr_mode='emulate', maxphysaddr_bits=42,
        cache_mode='emulate')
    put(cpu.features.add(), policy='require', name='vmx')
    put(cpu.cells.add(), id=0, cpus=frozenset({0, 1, 2, 3}),
        memory_kib=2 << 20, unit='KiB', mem_access='shared', discard=True)


def _os(made: domain_module.Domain) -> None:
    system = put(
        made.os, firmware='efi', type='hvm', arch='x86_64', machine='q35',
        loader='/l', loader_readonly=True, loader_secure=True,
        loader_type='pflash', loader_stateless=False, nvram='/n',
        kernel='/k', initrd='/i', cmdline='quiet', bootmenu_enable=True,
        smbios_mode='sysinfo')
    put(system.firmware_features.add(), enabled=True, name='secure-boot')
    put(system.boots.add(), dev='hd')
    put(made.sysinfo, type='smbios')
    put(made.sysinfo.system_entries.add(), name='product', value='one')


def _features(made: domain_module.Domain) -> None:
    put(made.features, ioapic_driver='qemu', hyperv_vendor_id='vendor',
        hyperv_spinlocks_retries=8191, tb_cache=32)
    for name, field in fields.declared(type(made.features)).items():
        if isinstance(field, (fields.Flag, fields.OnOff)):
            put(made.features, **{name: True})
    put(made.clock, offset='utc')
    put(made.clock.timers.add(), name='rtc', tickpolicy='catchup',
        present=True)
