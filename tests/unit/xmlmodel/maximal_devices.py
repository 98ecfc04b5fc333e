# SPDX-License-Identifier: Apache-2.0

"""Devices of a domain that has a value in every field of the model."""

from nova_libvirt_driver.xmlmodel.devices import character
from nova_libvirt_driver.xmlmodel.devices import device
from nova_libvirt_driver.xmlmodel.devices import devices as devices_module
from nova_libvirt_driver.xmlmodel.devices import disk
from nova_libvirt_driver.xmlmodel import fields
from tests.unit.xmlmodel import filling

put = filling.put
UUID = filling.UUID


def add(made: devices_module.Devices) -> None:
    """Add all kinds of devices."""
    put(made, emulator='/usr/bin/qemu-system-x86_64')
    _disks(made)
    _controllers(made)
    _interfaces(made)
    _characters(made)
    _graphics(made)
    _host(made)
    _small(made)
    _addresses(made)


def _disks(made: devices_module.Devices) -> None:
    file = put(
        made.disks.add(), type='file', device='disk', driver_name='qemu',
        driver_type='qcow2', driver_cache='none', driver_io='native',
        driver_discard='unmap', driver_queues=2, driver_iommu=True,
        driver_packed=True, source_file='/disk',
        encryption_format='luks', encryption_engine='qemu',
        encryption_secret_type='passphrase',
        encryption_secret_uuid=UUID, backing_format='raw',
        backing_file='/base', target_dev='vda', target_bus='virtio',
        logical_block_size=512, physical_block_size=4096, serial='one',
        wwn='5000c50015ea71aa', boot_order=1, alias='virtio-disk0')
    _iotune(file, total=False)
    put(file.address, type='pci', domain='0x0000', bus='0x01', slot='0x00',
        function='0x0')
    block = put(
        made.disks.add(), type='block', device='disk', source_dev='/dev/sdb',
        target_dev='sda', target_bus='scsi', readonly=True, shareable=True)
    _iotune(block, total=True)
    put(block.address, type='drive', controller=0, bus='0', target=0, unit=1)
    network = put(
        made.disks.add(), type='network', device='disk',
        source_protocol='rbd', source_name='pool/volume',
        auth_username='cinder', auth_secret_type='ceph',
        auth_secret_uuid=UUID, target_dev='vdb', target_bus='virtio')
    put(network.source_hosts.add(), name='192.0.2.1', port=6789,
        transport='tcp')
    copied = put(
        made.disks.add(), type='network', device='disk',
        source_protocol='nbd', target_dev='vdc', mirror_job='copy',
        mirror_ready='yes')
    put(copied.source_hosts.add(), transport='unix', socket='/socket')
    put(made.disks.add(), type='volume', source_pool='one',
        source_volume='two', target_dev='vdd')
    put(made.disks.add(), type='dir', source_dir='/dir', target_dev='vde')


def _iotune(one: disk.Disk, *, total: bool) -> None:
    # Libvirt takes a total or a limit of each direction, not both.
    for name in fields.declared(disk.IoTune):
        if name.startswith('total') is total:
            put(one.iotune, **{name: 1000})


def _controllers(made: devices_module.Devices) -> None:
    put(made.controllers.add(), type='pci', index=0, model='pcie-root')
    port = put(made.controllers.add(), type='pci', index=1,
               model='pcie-root-port', target_port='0x10', alias='pci.1')
    put(port.address, type='pci', domain='0x0000', bus='0x00', slot='0x02',
        function='0x0')
    put(made.controllers.add(), type='scsi', index=0, model='virtio-scsi',
        driver_queues=2, driver_iommu=True)
    put(made.controllers.add(), type='virtio-serial', index=0, ports=16)
    put(made.controllers.add(), type='usb', index=0, model='qemu-xhci')


def _interfaces(made: devices_module.Devices) -> None:
    bridge = put(
        made.interfaces.add(), type='bridge', mac='52:54:00:00:00:01',
        source_bridge='br0', target_dev='tap0', model='virtio',
        driver_name='vhost', driver_queues=2, driver_rx_queue_size=512,
        driver_tx_queue_size=512, driver_iommu=True, driver_packed=True,
        mtu=1450, filter_name='clean-traffic',
        virtualport_type='openvswitch', virtualport_interface_id=UUID,
        boot_order=2, alias='net0')
    put(bridge.bandwidth, inbound_average=1, inbound_peak=2,
        inbound_burst=3, outbound_average=1, outbound_peak=2,
        outbound_burst=3)
    put(bridge.address, type='pci', domain='0x0000', bus='0x02',
        slot='0x00', function='0x0')
    put(made.interfaces.add(), type='network', source_network='default')
    put(made.interfaces.add(), type='user')
    put(made.interfaces.add(), type='ethernet', target_dev='tap1',
        target_managed=False)
    put(made.interfaces.add(), type='direct', source_dev='eth0',
        source_mode='bridge')
    put(made.interfaces.add(), type='vhostuser', source_type='unix',
        source_path='/socket', source_mode='client')


def _characters(made: devices_module.Devices) -> None:
    _ends(made.serials.add(), made.serials.add())
    put(made.serials[0], target_type='isa-serial', target_port=0)
    put(made.serials[1], target_type='isa-serial', target_port=1)
    _ends(made.consoles.add(), made.consoles.add())
    put(made.consoles[0], target_type='serial', target_port=0)
    put(made.consoles.add(), type='pty', tty='/dev/pts/1')
    _ends(made.channels.add(), made.channels.add())
    for channel in made.channels:
        put(channel, target_type='virtio', target_name='org.qemu.one',
            target_state='connected')
    put(made.channels[0].address, type='virtio-serial', controller=0,
        bus='0', port='1')


def _ends(
        file: character.Character, tcp: character.Character) -> None:
    put(file, type='file', source_path='/log', log_file='/log2',
        log_append=False, alias='character0')
    put(tcp, type='tcp', source_mode='bind', source_host='127.0.0.1',
        source_service='10000', protocol='raw')


def _graphics(made: devices_module.Devices) -> None:
    vnc = put(made.graphics.add(), type='vnc', port=5900, autoport=False,
              keymap='en-us', listen='127.0.0.1')
    put(vnc.listens.add(), type='address', address='127.0.0.1')
    put(vnc.listens.add(), type='socket', socket='/socket')
    spice = put(
        made.graphics.add(), type='spice', tls_port=5901,
        streaming_mode='off', image_compression='auto_glz',
        jpeg_compression='auto', zlib_compression='never',
        playback_compression=False)
    put(spice.channels.add(), name='main', mode='secure')
    put(made.videos.add(), model='qxl', vram_kib=16384,
        driver_iommu=True, alias='video0')


def _host(made: devices_module.Devices) -> None:
    passed = put(made.hostdevs.add(), mode='subsystem', type='pci',
                 alias='hostdev0', boot_order=3)
    for address in (passed.source_address, passed.address):
        put(address, domain='0x0000', bus='0x06', slot='0x02',
            function='0x0')
    put(passed.address, type='pci')
    put(made.hostdevs.add(), mode='subsystem', type='mdev',
        model='vfio-pci')
    put(made.hostdevs[1].source_address, uuid=UUID)
    put(made.redirdevs.add(), bus='usb', type='spicevmc', alias='redir0')


def _small(made: devices_module.Devices) -> None:
    put(made.inputs.add(), type='tablet', bus='usb', alias='input0')
    put(made.inputs.add(), type='keyboard', bus='virtio',
        model='virtio-transitional')
    put(made.tpms.add(), model='tpm-crb', backend_type='emulator',
        backend_version='2.0', encryption_secret_uuid=UUID, alias='tpm0')
    put(made.sounds.add(), model='ich9', alias='sound0')
    put(made.watchdogs.add(), model='i6300esb', action='reset',
        alias='watchdog0')
    put(made.memballoons.add(), model='virtio', autodeflate=True,
        free_page_reporting=True, stats_period_s=10, driver_iommu=True,
        alias='balloon0')
    put(made.rngs.add(), model='virtio', backend_model='random',
        backend='/dev/urandom', rate_bytes=1024, rate_period_ms=1000,
        driver_iommu=True, alias='rng0')
    put(made.iommus.add(), model='intel', intremap=True, caching_mode=True,
        eim=True, iotlb=True, aw_bits=48)
    put(made.vsocks.add(), model='virtio', cid_auto=False, cid_address=3,
        driver_iommu=True, alias='vsock0')


def _addresses(made: devices_module.Devices) -> None:
    """Give an address to each kind that has none yet."""
    without: tuple[device.Device, ...] = (
        made.serials[0], made.consoles[0], made.inputs[0], made.tpms[0],
        made.videos[0], made.sounds[0], made.redirdevs[0],
        made.watchdogs[0], made.memballoons[0], made.rngs[0],
        made.vsocks[0])
    for slot, one in enumerate(without, start=3):
        put(one.address, type='pci', domain='0x0000', bus='0x00',
            slot=f'0x{slot:02x}', function='0x0')
