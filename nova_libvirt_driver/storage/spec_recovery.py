# SPDX-License-Identifier: Apache-2.0

"""What a guest is built from, as its domain says it.

For a guest whose record was lost. What the XML of a domain does not say has
its default: what was put onto the config drive, which is there already, the
ids of images that a kernel came from, and what a user in the guest is called.
Disks and cards that a person has added are left out: they stay as they are.
"""

from collections.abc import Iterable
import os
from typing import TypeVar

from nova_libvirt_driver.filesystem import paths
from nova_libvirt_driver.spec import boot as boot_spec
from nova_libvirt_driver.spec import configdrive as configdrive_spec
from nova_libvirt_driver.spec import console as console_spec
from nova_libvirt_driver.spec import cpu as cpu_spec
from nova_libvirt_driver.spec import device as device_spec
from nova_libvirt_driver.spec import disk as disk_spec
from nova_libvirt_driver.spec import flavor as flavor_spec
from nova_libvirt_driver.spec import guest as guest_spec
from nova_libvirt_driver.spec import memory as memory_spec
from nova_libvirt_driver.spec import nic as nic_spec
from nova_libvirt_driver.storage import folder as folder_module
from nova_libvirt_driver.xmlmodel.devices import device as device_model
from nova_libvirt_driver.xmlmodel.devices import devices as devices_model
from nova_libvirt_driver.xmlmodel.devices import disk as disk_model
from nova_libvirt_driver.xmlmodel.devices import graphics
from nova_libvirt_driver.xmlmodel.devices import interface
from nova_libvirt_driver.xmlmodel import domain as domain_model

T = TypeVar('T')

_KIB_PER_MIB = 1024
_NAMED = 'ua-'
_POINTERS = {'usb': 'usbtablet', 'virtio': 'virtio'}
_AGENT = 'org.qemu.guest_agent.0'
_NIC_KINDS = frozenset(nic_spec.NicKind)
_CARD_PARTS = frozenset((
    'address', 'alias', 'bandwidth', 'boot', 'driver', 'filterref', 'mac',
    'model', 'mtu', 'source', 'target', 'virtualport'))
_GRAPHICS = frozenset(console_spec.GraphicsKind)
_SERIALS = frozenset(console_spec.SerialKind)


def is_recoverable(domain: domain_model.Domain) -> bool:
    """Say whether a service without Nova has made a guest.

    Of those of Nova, the domain says who has them.
    """
    return domain.instance.peek() is not None and not (
        domain.instance.project_uuid)


def spec(
        domain: domain_model.Domain,
        folder: folder_module.InstanceFolder) -> guest_spec.GuestSpec:
    """Return what would make a domain like this one.

    :param domain: as it is defined
    :param folder: of the instance; disks in it are the driver's
    """
    devices = domain.devices
    drive = _own(domain, folder).get(folder.config_drive)
    return guest_spec.GuestSpec(
        uuid=domain.uuid or '', name=domain.name or '',
        metadata=_metadata(domain), cpu=_cpu(domain), memory=_memory(domain),
        boot=_boot(domain, folder), storage=_storage(domain, folder),
        nics=tuple(_nic(one) for one in devices.interfaces
                   if one.type in _NIC_KINDS and _may_be_ours(one)),
        consoles=_consoles(domain), devices=_devices(domain),
        features=_features(domain),
        config_drive=None if drive is None else (
            configdrive_spec.ConfigDriveSpec(device=drive.device or 'cdrom')))


def _metadata(domain: domain_model.Domain) -> guest_spec.GuestMetadata:
    said = domain.instance
    properties = {one.name or '': one.value or ''
                  for one in said.image_properties}
    fields = {name: value for name, value in (
        ('containerFormat', said.image_container_format),
        ('diskFormat', said.image_disk_format),
        ('minDisk', said.image_min_disk), ('minRam', said.image_min_ram),
    ) if value is not None}
    return guest_spec.GuestMetadata(
        display_name=said.display_name or domain.name or '',
        flavor=_flavor(domain), image_id=said.root_uuid or '',
        created_at=(said.creation_time or '').replace(' ', 'T'),
        image=guest_spec.ImageNote(
            fields=fields, properties=properties,
        ) if fields or properties else None,
        package_version=said.package_version or '')


def _flavor(domain: domain_model.Domain) -> flavor_spec.Flavor:
    said = domain.instance.flavor
    return flavor_spec.Flavor(
        name=said.name or '', id=said.id or '',
        vcpus=said.vcpus or _vcpus(domain),
        memory_mib=said.memory_mib or _mib(domain.memory_kib),
        root_gib=said.disk_gib or 0,
        ephemeral_gib=said.ephemeral_gib or 0, swap_mib=said.swap_mib or 0,
        extra_specs={one.name or '': one.value or ''
                     for one in said.extra_specs})


def _cpu(domain: domain_model.Domain) -> cpu_spec.CpuSpec:
    said, tune = domain.cpu, domain.cputune
    realtime = next(iter(tune.vcpuscheds), None)
    topology = (said.sockets or 1, said.cores or 1, said.threads or 1)
    return cpu_spec.CpuSpec(
        vcpus=_vcpus(domain),
        mode=cpu_spec.CpuMode(said.mode or 'none'),
        model=(said.model or '') if said.mode == 'custom' else '',
        flags=tuple(
            cpu_spec.CpuFlag(name=one.name or '',
                             enabled=one.policy != 'disable')
            for one in said.features) if said.mode else (),
        topology=cpu_spec.CpuTopology(
            sockets=topology[0], cores=topology[1], threads=topology[2],
        ) if said.sockets else None,
        cells=_cells(domain), host_cpus=domain.vcpu_cpuset or frozenset(),
        pins=tuple(cpu_spec.VcpuPin(
            vcpu=one.vcpu or 0, host_cpus=one.cpuset or frozenset())
            for one in tune.vcpupins),
        emulator_cpus=tune.emulatorpin or frozenset(),
        realtime_vcpus=(
            realtime.vcpus or frozenset()) if realtime else frozenset(),
        realtime_priority=(realtime.priority or 1) if realtime else 1,
        tune=cpu_spec.CpuTune(
            shares=tune.shares, period_us=tune.period, quota_us=tune.quota),
        max_address=cpu_spec.MaxAddress(
            mode=said.maxphysaddr_mode, bits=said.maxphysaddr_bits,
        ) if said.maxphysaddr_mode else None)


def _cells(domain: domain_model.Domain) -> tuple[cpu_spec.NumaCell, ...]:
    nodes = {one.cellid: min(one.nodeset or (), default=None)
             for one in domain.numatune.memnodes}
    pages = {cell: page.size for page in domain.memory_backing.pages
             for cell in page.nodeset or ()}
    return tuple(cpu_spec.NumaCell(
        id=one.id or 0, vcpus=one.cpus or frozenset(),
        memory_mib=_mib(one.memory_kib), host_node=nodes.get(one.id),
        page_size_kib=pages.get(one.id or 0),
        shared_memory=one.mem_access == 'shared')
        for one in domain.cpu.cells)


def _memory(domain: domain_model.Domain) -> memory_spec.MemorySpec:
    backing = domain.memory_backing
    kind = backing.source_type
    return memory_spec.MemorySpec(
        size_mib=_mib(domain.memory_kib),
        source=memory_spec.MemorySource(kind) if kind else None,
        page_size_kib=next((page.size for page in backing.pages
                            if not page.nodeset), None),
        locked=bool(backing.locked and not domain.launch_security_type),
        shared=backing.access_mode == 'shared' and kind != 'file',
        balloon=any(one.model != 'none' for one in domain.devices.memballoons),
        encrypted=bool(domain.launch_security_type))


def _boot(
        domain: domain_model.Domain,
        folder: folder_module.InstanceFolder) -> boot_spec.BootSpec:
    said = domain.os
    kernel, initrd = (
        os.path.join(folder.path, os.path.basename(path))
        if paths.is_own(path, folder.path) else path
        for path in (said.kernel or '', said.initrd or ''))
    is_uefi = said.firmware == 'efi' or bool(said.loader)
    return boot_spec.BootSpec(
        arch=said.arch or '', machine=said.machine or '',
        firmware=boot_spec.Firmware.UEFI if is_uefi else None,
        secure_boot=bool(said.loader_secure),
        stateless_firmware=bool(said.loader_stateless),
        kernel=boot_spec.KernelBoot(
            kernel=kernel, initrd=initrd,
            cmdline=said.cmdline or '') if kernel else None,
        menu=bool(said.bootmenu_enable))


def _storage(
        domain: domain_model.Domain,
        folder: folder_module.InstanceFolder) -> disk_spec.StorageSpec:
    own = _own(domain, folder)
    root, swap = own.get(folder.disk), own.get(folder.swap)
    flavor = domain.instance.flavor
    ephemerals: list[disk_model.Disk] = []
    while folder.ephemeral(len(ephemerals)) in own:
        ephemerals.append(own[folder.ephemeral(len(ephemerals))])
    size_mib = (flavor.ephemeral_gib or 0) * _KIB_PER_MIB
    made = next((disk for disk in (root, *ephemerals, swap) if disk), None)
    drive = own.get(folder.config_drive)
    cdroms = [one for one in (drive, root) if _is_cdrom(one)]
    is_scsi = made is not None and made.target_bus == disk_spec.DiskBus.SCSI
    image_id = domain.instance.root_uuid or ''
    return disk_spec.StorageSpec(
        image_id=image_id if root is not None else '',
        # Without any word of an image, a size says that there is a disk.
        root_gib=(flavor.disk_gib or (0 if image_id else 1)
                  ) if root is not None else 0,
        bus=_bus(next(iter([*ephemerals, *(
            one for one in (root, swap) if one and not _is_cdrom(one))]),
            None)),
        root_bus=None if _is_cdrom(root) else _bus(root),
        cdrom_bus=_bus(cdroms[0]) if cdroms else None,
        root_device=(disk_spec.DiskDevice.CDROM if _is_cdrom(root)
                     else disk_spec.DiskDevice.DISK),
        scsi_model=_scsi_model(domain) if is_scsi else '',
        discard=(made.driver_discard or '') if made is not None else '',
        ephemerals=tuple(disk_spec.LocalDisk(
            size_mib=size_mib // len(ephemerals), bus=_bus(disk))
            for disk in ephemerals),
        swap=disk_spec.LocalDisk(
            size_mib=flavor.swap_mib or 0, bus=_bus(swap),
        ) if swap is not None else None,
        volumes=tuple(_volume(disk, domain) for disk in domain.devices.disks
                      if (_id(disk) or disk.serial) and not paths.is_own(
                          disk.source_file or '', folder.path)),
        iotune=_iotune(made))


def _own(
        domain: domain_model.Domain,
        folder: folder_module.InstanceFolder) -> dict[str, disk_model.Disk]:
    """Return the disks in the folder of the instance, by where they are."""
    return {
        os.path.join(folder.path, os.path.basename(path)): disk
        for disk in domain.devices.disks
        if paths.is_own(path := disk.source_file or '', folder.path)}


def _volume(
        disk: disk_model.Disk,
        domain: domain_model.Domain) -> disk_spec.DiskSpec:
    bus = disk_spec.DiskBus(disk.target_bus or 'virtio')
    is_scsi = bus is disk_spec.DiskBus.SCSI
    return disk_spec.DiskSpec(
        target_dev=disk.target_dev or '', id=_id(disk), bus=bus,
        format=disk.driver_type or 'raw', source=_source(disk),
        device=disk_spec.DiskDevice(disk.device or 'disk'),
        boot_order=disk.boot_order, cache=disk.driver_cache or '',
        io=disk.driver_io or '', discard=disk.driver_discard or '',
        serial=disk.serial or '', wwn=disk.wwn or '',
        readonly=bool(disk.readonly), shareable=bool(disk.shareable),
        unit=disk.address.unit if is_scsi else None,
        scsi_model=_scsi_model(domain) if is_scsi else '',
        queues=disk.driver_queues,
        logical_block_bytes=disk.logical_block_size,
        physical_block_bytes=disk.physical_block_size, iotune=_iotune(disk),
        encryption=disk_spec.DiskEncryption(
            secret_uuid=disk.encryption_secret_uuid,
            format=disk.encryption_format or 'luks',
        ) if disk.encryption_secret_uuid else None)


def _source(disk: disk_model.Disk) -> disk_spec.DiskSource:
    return disk_spec.DiskSource(
        kind=disk_spec.SourceKind(disk.type or 'file'),
        path=disk.source_file or disk.source_dev or disk.source_name or '',
        protocol=disk.source_protocol or '',
        hosts=tuple(disk_spec.NetworkHost(
            name=one.name or '', port=one.port, socket=one.socket or '')
            for one in disk.source_hosts),
        auth_username=disk.auth_username or '',
        auth_secret_type=disk.auth_secret_type or '',
        auth_secret_uuid=disk.auth_secret_uuid or '')


def _iotune(disk: disk_model.Disk | None) -> disk_spec.IoTune | None:
    if disk is None or disk.iotune.peek() is None:
        return None
    said = disk.iotune
    return disk_spec.IoTune(
        total_bytes_s=said.total_bytes_sec, read_bytes_s=said.read_bytes_sec,
        write_bytes_s=said.write_bytes_sec, total_iops=said.total_iops_sec,
        read_iops=said.read_iops_sec, write_iops=said.write_iops_sec,
        total_bytes_s_max=said.total_bytes_sec_max,
        read_bytes_s_max=said.read_bytes_sec_max,
        write_bytes_s_max=said.write_bytes_sec_max,
        total_iops_max=said.total_iops_sec_max,
        read_iops_max=said.read_iops_sec_max,
        write_iops_max=said.write_iops_sec_max,
        size_iops=said.size_iops_sec)


def _nic(one: interface.Interface) -> nic_spec.NicSpec:
    return nic_spec.NicSpec(
        mac=one.mac or '', kind=nic_spec.NicKind(one.type or 'network'),
        source=(one.source_bridge or one.source_network or one.source_path
                or ''), id=_id(one), target_dev=one.target_dev or '',
        managed_tap=one.target_managed is not False,
        vhostuser_mode=one.source_mode or 'client', model=one.model or '',
        mtu=one.mtu, queues=one.driver_queues,
        rx_queue_size=one.driver_rx_queue_size,
        tx_queue_size=one.driver_tx_queue_size,
        packed_ring=bool(one.driver_packed),
        inbound=_bandwidth(
            one.bandwidth.inbound_average, one.bandwidth.inbound_peak,
            one.bandwidth.inbound_burst),
        outbound=_bandwidth(
            one.bandwidth.outbound_average, one.bandwidth.outbound_peak,
            one.bandwidth.outbound_burst),
        filter_name=one.filter_name or '',
        virtualport_type=one.virtualport_type or '',
        interface_id=one.virtualport_interface_id or '',
        boot_order=one.boot_order)


def _bandwidth(
        average: int | None, peak: int | None,
        burst: int | None) -> nic_spec.NicBandwidth | None:
    return None if average is None else nic_spec.NicBandwidth(
        average_kib_s=average, peak_kib_s=peak, burst_kib=burst)


def _consoles(domain: domain_model.Domain) -> console_spec.ConsoleSpec:
    serials = [one for one in domain.devices.serials if one.type in _SERIALS]
    return console_spec.ConsoleSpec(
        serials=tuple(console_spec.SerialSpec(
            kind=console_spec.SerialKind(one.type or 'pty'),
            listen=one.source_host or '127.0.0.1') for one in serials),
        graphics=tuple(console_spec.GraphicsSpec(
            kind=console_spec.GraphicsKind(one.type or 'vnc'),
            listen=one.listen or '127.0.0.1', keymap=one.keymap or '',
            spice=_spice(one, domain))
            for one in domain.devices.graphics if one.type in _GRAPHICS),
        log=any(one.log_file for one in serials))


def _spice(
        one: graphics.Graphics,
        domain: domain_model.Domain) -> console_spec.SpiceSpec:
    return console_spec.SpiceSpec(
        secure=any(channel.mode == 'secure' for channel in one.channels),
        agent=any(channel.type == 'spicevmc'
                  for channel in domain.devices.channels),
        image_compression=one.image_compression or '',
        jpeg_compression=one.jpeg_compression or '',
        zlib_compression=one.zlib_compression or '',
        playback_compression=one.playback_compression,
        streaming_mode=one.streaming_mode or '',
    ) if one.type == 'spice' else console_spec.SpiceSpec()


def _devices(domain: domain_model.Domain) -> device_spec.DeviceSpec:
    said = domain.devices
    card, rng, tpm = _first(said.videos), _first(said.rngs), _first(said.tpms)
    watchdog, vsock = _first(said.watchdogs), _first(said.vsocks)
    sound, iommu = _first(said.sounds), _first(said.iommus)
    usb = next((one for one in said.controllers if one.type == 'usb'), None)
    return device_spec.DeviceSpec(
        video=None if card is None or card.model == 'none' else (
            device_spec.VideoSpec(
                model=card.model or '', vram_mib=_mib(card.vram_kib) or None)),
        pointer=_POINTERS.get(_bus_of(said, 'tablet'), ''),
        keyboard=_bus_of(said, 'keyboard'),
        rng=None if rng is None else device_spec.RngSpec(
            rate_bytes=rng.rate_bytes, period_ms=rng.rate_period_ms),
        watchdog=None if watchdog is None else device_spec.WatchdogAction(
            watchdog.action or 'reset'),
        agent=any(one.target_name == _AGENT for one in said.channels),
        tpm=None if tpm is None else device_spec.TpmSpec(
            version=tpm.backend_version or '2.0', model=tpm.model or '',
            secret_uuid=tpm.encryption_secret_uuid or ''),
        sound=(sound.model or '') if sound is not None else '',
        iommu=None if iommu is None else device_spec.IommuSpec(
            model=iommu.model or '', eim=iommu.eim is not False,
            caching_mode=bool(iommu.caching_mode), iotlb=bool(iommu.iotlb),
            address_bits=iommu.aw_bits),
        usb_controller=usb is None or usb.model != 'none',
        usb_model='' if usb is None or usb.model == 'none' else (
            usb.model or ''),
        usb_redirections=len(said.redirdevs),
        vsock_cid=vsock.cid_address if vsock is not None else None)


def _features(domain: domain_model.Domain) -> device_spec.FeatureSpec:
    said = domain.features
    is_windows = bool(said.hyperv_relaxed) or (
        domain.clock.offset == 'localtime')
    return device_spec.FeatureSpec(
        acpi=bool(said.acpi), apic=bool(said.apic), pmu=said.pmu,
        hide_hypervisor=bool(said.kvm_hidden),
        vmcoreinfo=bool(said.vmcoreinfo),
        hpet=any(one.name == 'hpet' and one.present
                 for one in domain.clock.timers),
        os_type=(device_spec.OsType.WINDOWS if is_windows
                 else device_spec.OsType.OTHER))


def _bus_of(devices: devices_model.Devices, kind: str) -> str:
    """Return the bus of an input device; libvirt adds those of PS/2."""
    return next((one.bus or '' for one in devices.inputs
                 if one.type == kind and one.bus != 'ps2'), '')


def _first(elements: Iterable[T]) -> T | None:
    return next(iter(elements), None)


def _vcpus(domain: domain_model.Domain) -> int:
    return domain.vcpus or 1


def _mib(kib: int | None) -> int:
    return (kib or 0) // _KIB_PER_MIB


def _id(one: device_model.Bootable) -> str:
    alias = one.alias or ''
    return alias.removeprefix(_NAMED) if alias.startswith(_NAMED) else ''


def _is_cdrom(disk: disk_model.Disk | None) -> bool:
    return disk is not None and disk.device == disk_spec.DiskDevice.CDROM


def _may_be_ours(card: interface.Interface) -> bool:
    """Say whether a card has nothing that this driver gives to none.

    Without an id it may be one of ``server create``, or of a person.
    """
    return bool(_id(card)) or _CARD_PARTS.issuperset(
        str(node.tag) for node in card.element)


def _bus(disk: disk_model.Disk | None) -> disk_spec.DiskBus | None:
    return None if disk is None or not disk.target_bus else (
        disk_spec.DiskBus(disk.target_bus))


def _scsi_model(domain: domain_model.Domain) -> str:
    return next((one.model or '' for one in domain.devices.controllers
                 if one.type == 'scsi'), '')
