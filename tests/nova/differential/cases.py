# SPDX-License-Identifier: Apache-2.0

"""What guests are asked for: all that Nova's own schemas know, and pairs.

Nothing is listed here that Nova can name by itself, so that a new release of
it brings new cases.
"""

from collections.abc import Iterator
from collections.abc import Mapping
import dataclasses
import itertools
import random
from typing import Any

from nova.api.validation.extra_specs import validators
from nova.objects import fields
from nova.objects import image_meta
from oslo_config import cfg

import nova.conf
from nova_libvirt_driver.nova_plugin import options
from nova_libvirt_driver.spec import policy

CONF = nova.conf.CONF

SEED = 20261129
PAIRS = 500

Option = tuple[str, str, Any]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Volume:
    """A volume, as the volume service and the API describe it."""

    protocol: str = 'iscsi'
    data: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    device: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    multiattach: bool = False


@dataclasses.dataclass(frozen=True, kw_only=True)
class Case:
    """One guest on one host."""

    name: str
    extra_specs: Mapping[str, str] = dataclasses.field(default_factory=dict)
    properties: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    flavor: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    image: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    instance: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    options: tuple[Option, ...] = ()
    ports: tuple[str, ...] = ('ovs',)
    disks: str = ''
    """Name of a layout of block devices in ``guests.py``."""
    volumes: tuple[Volume, ...] = ()
    rescue: Mapping[str, Any] | None = None
    """It is rescued from an image of these properties."""
    taken_over: bool = False
    """There is a domain of it, which Nova's own driver has made."""
    without: 'Case | None' = None
    """The guest without what is asked for last, to see that it counts."""

    def with_(self, other: 'Case') -> 'Case':
        """Return a guest that asks for what both ask for."""
        return Case(
            name=f'{self.name} + {other.name}',
            ports=other.ports if self.ports == ('ovs',) else self.ports,
            disks=self.disks or other.disks,
            volumes=(*self.volumes, *other.volumes),
            rescue=self.rescue if other.rescue is None else other.rescue,
            taken_over=self.taken_over or other.taken_over,
            without=other.without and self.with_(other.without),
            options=(*self.options, *other.options),
            **{name: {**getattr(self, name), **getattr(other, name)}
               for name in ('extra_specs', 'properties', 'flavor', 'image',
                            'instance')})


NOTHING = Case(name='')

BASES = (
    Case(name='pc'),
    Case(name='q35', properties={'hw_machine_type': 'q35'}),
    Case(name='pc uefi', properties={'hw_firmware_type': 'uefi'}),
    Case(name='q35 uefi', properties={
        'hw_machine_type': 'q35', 'hw_firmware_type': 'uefi'}),
    Case(name='kvm', options=(('libvirt', 'virt_type', 'kvm'),)),
    Case(name='kvm q35', options=(('libvirt', 'virt_type', 'kvm'),),
         properties={'hw_machine_type': 'q35'}),
)

# What a value depends on to be legal, or to have an effect.
_WITH: dict[str, Case] = {
    'hw:cpu_realtime': Case(name='', extra_specs={
        'hw:cpu_policy': 'dedicated', 'hw:cpu_realtime_mask': '^0'}),
    'hw:cpu_realtime_mask': Case(name='', extra_specs={
        'hw:cpu_policy': 'dedicated', 'hw:cpu_realtime': 'yes'}),
    'hw:emulator_threads_policy': Case(name='', extra_specs={
        'hw:cpu_policy': 'dedicated'}),
    'hw:maxphysaddr_bits': Case(name='', extra_specs={
        'hw:maxphysaddr_mode': 'emulate'}),
    'hw:maxphysaddr_mode': Case(name='', extra_specs={
        'hw:maxphysaddr_bits': '42'}),
    'hw:tpm_model': Case(name='', extra_specs={'hw:tpm_version': '2.0'}),
    'hw:locked_memory': Case(name='', extra_specs={
        'hw:mem_page_size': 'small'}),
    'hw_rng:rate_period': Case(name='', extra_specs={
        'hw_rng:rate_bytes': '1024'}),
    'hw_video:ram_max_mb': Case(name='', properties={'hw_video_ram': 64}),
    'hw_video_ram': Case(name='', extra_specs={'hw_video:ram_max_mb': '64'}),
    'hw_maxphysaddr_bits': Case(name='', properties={
        'hw_maxphysaddr_mode': 'emulate'}),
    'hw_maxphysaddr_mode': Case(name='', properties={
        'hw_maxphysaddr_bits': 42}),
    'hw_tpm_model': Case(name='', properties={'hw_tpm_version': '2.0'}),
    'hw_locked_memory': Case(name='', properties={
        'hw_mem_page_size': 'small'}),
    'hw_scsi_model': Case(name='', properties={'hw_disk_bus': 'scsi'}),
    'os_command_line': Case(name='', instance={'kernel_id': 'kernel'}),
    'hw_cdrom_bus': Case(name='', image={'disk_format': 'iso'}),
    'hw:serial_port_count': Case(name='', options=(
        ('serial_console', 'enabled', True),)),
    'hw_serial_port_count': Case(name='', options=(
        ('serial_console', 'enabled', True),)),
}

# Words for fields of free text.
_WORDS = {
    'hw_machine_type': ('pc', 'q35', 'pc-i440fx-7.2', 'pc-q35-7.1',
                        'virt', 'none-such'),
    'hw_mem_page_size': ('small', 'large', 'any', '2MB', '2048', '4'),
    'hw_cpu_realtime_mask': ('^0',),
    'os_command_line': ('console=ttyS0 quiet',),
    'os_distro': ('ubuntu', 'win10'),
    'os_type': ('linux', 'windows'),
    'hw_disk_type': ('preallocated',),
    'os_admin_user': ('admin',),
    'hw_auto_disk_config': ('disabled',),
    'hw:mem_page_size': ('small', 'large', 'any', '2MB', '2048'),
    'hw:cpu_realtime_mask': ('^0', '1'),
    'hw:cpu_dedicated_mask': ('0',),
    'hw:pci_numa_affinity_policy': ('required', 'preferred', 'legacy'),
    'hw:pmem': ('2GB',),
    'trait:{trait}': (),
}

_INTEGERS = (0, 1, 2, 8, 64)


def generate() -> Iterator[Case]:
    """Yield all cases; each time the same ones."""
    singles = [
        one if one.without else dataclasses.replace(one, without=NOTHING)
        for one in (*_extra_specs(), *_properties(), *_options(), *_ports(),
                    *_disks(), *_volumes(), *_others())]
    yield from BASES
    for number, single in enumerate(singles):
        yield BASES[0].with_(single)
        yield BASES[1].with_(single)
        yield BASES[2 + number % 4].with_(single)
    for base, single in itertools.product(BASES, _like_nova()):
        yield base.with_(single)
    for base, single in itertools.product(BASES, _rescues()):
        # A plain rescue has the machine and firmware that its image names.
        named = single.rescue if is_stable(single) else {
            **base.properties, **(single.rescue or {})}
        yield dataclasses.replace(base.with_(single), rescue=named)
    yield BASES[1].with_(Case(name='rescued without a machine', rescue={}))
    for number, single in enumerate(singles):
        base = BASES[number % len(BASES)].with_(Case(
            name='taken over', taken_over=True))
        yield dataclasses.replace(base.with_(single), without=None)
    for value in ('required', 'optional', 'disabled'):
        yield BASES[3].with_(Case(
            name=f'os_secure_boot={value}', without=NOTHING,
            properties={'os_secure_boot': value}))
    chooser = random.Random(SEED)
    for _ in range(PAIRS):
        one, other = chooser.sample(singles, 2)
        yield chooser.choice(BASES).with_(one).with_(other)


def _like_nova() -> Iterator[Case]:
    """Yield what this driver has its own way for, with Nova's chosen."""
    chosen = Case(name='like Nova', options=(
        ('nova_libvirt_driver', 'like_nova', list(policy.LikeNova)),))
    yield chosen
    for other in (
            Case(name='os_type=windows', instance={'os_type': 'windows'}),
            Case(name='queues', properties={
                'hw_vif_multiqueue_enabled': True}),
            Case(name='queues of vhostuser', ports=('vhostuser',), properties={
                'hw_vif_multiqueue_enabled': True}),
            Case(name='hw_rng:rate_bytes=64', extra_specs={
                'hw_rng:rate_bytes': '64'}),
            *_cpu_models()):
        yield chosen.with_(other)


def _extra_specs() -> Iterator[Case]:
    for name, validator in sorted(validators.VALIDATORS.items()):
        namespace = name.partition(':')[0]
        if namespace not in ('hw', 'hw_rng', 'hw_video', 'os', 'quota'):
            continue
        if name.startswith(('quota:memory_', 'quota:disk_io_',
                            'quota:vcpu_', 'quota:reserved')):
            # Other drivers' words.
            continue
        for value in _values(name, validator.value):
            for real in _real_names(name):
                yield _needing(name, Case(
                    name=f'{real}={value}', extra_specs={real: value}))
    for name in ('hide_hypervisor_id',):
        for value in ('true', 'false'):
            yield Case(name=f'{name}={value}', extra_specs={name: value})


def _real_names(name: str) -> tuple[str, ...]:
    if '{' not in name:
        return (name,)
    if 'numa' in name:
        return (name.replace('{id}', '0'),)
    return ()


def _values(name: str, value: Mapping[str, Any]) -> Iterator[str]:
    if name in _WORDS:
        yield from _WORDS[name]
    elif value['type'] is bool:
        yield from ('true', 'false')
    elif value.get('enum'):
        yield from map(str, value['enum'])
    elif value['type'] is int:
        low, high = value.get('min', 0), value.get('max', 1 << 20)
        for number in (*_INTEGERS, 1000, 100000):
            if low <= number <= high:
                yield str(number)
    else:
        yield 'x'


def _needing(name: str, case: Case) -> Case:
    return _joined(_WITH.get(name, NOTHING), case)


def _joined(needed: Case, case: Case) -> Case:
    # The case comes second, since what it says must win.
    return dataclasses.replace(
        needed.with_(case), name=case.name, without=needed)


def _properties() -> Iterator[Case]:
    for name, field in sorted(image_meta.ImageMetaProps.fields.items()):
        for value in _field_values(name, field):
            yield _needing(name, Case(
                name=f'{name}={value}', properties={name: value}))
    for os_type in ('linux', 'windows'):
        yield Case(name=f'os_type={os_type}', instance={'os_type': os_type})


def _field_values(name: str, field: Any) -> Iterator[Any]:
    if name.startswith(('img_sign', 'img_b', 'img_m', 'img_o', 'img_r')):
        return
    if name in _WORDS:
        yield from _WORDS[name]
    elif isinstance(field, fields.FlexibleBooleanField):
        yield from (True, False)
    elif isinstance(field, fields.IntegerField):
        yield from (1, 2, 8, 64)
    elif isinstance(field, fields.BaseEnumField):
        yield from field.valid_values


_OPTIONS = {
    'libvirt.cpu_mode': ('host-model', 'host-passthrough', 'maximum', 'none'),
    'libvirt.cpu_model_extra_flags': (['pcid'], ['-vmx', 'ssbd'], ['PCID']),
    'libvirt.hw_machine_type': (['x86_64=q35'], ['x86_64=pc']),
    'libvirt.disk_cachemodes': (
        ['file=directsync'], ['file=writeback', 'block=none']),
    'libvirt.disk_prefix': ('sd', 'vd'),
    'libvirt.hw_disk_discard': ('unmap', 'ignore'),
    'libvirt.sysinfo_serial': ('none', 'os', 'hardware', 'auto', 'unique'),
    'libvirt.mem_stats_period_seconds': (0, 30),
    'libvirt.rng_dev_path': ('/dev/random', '/dev/none-such'),
    'libvirt.num_pcie_ports': (8, 24),
    'libvirt.file_backed_memory': (1024,),
    'libvirt.tb_cache_size': (0, 32),
    'libvirt.rx_queue_size': (512,),
    'libvirt.tx_queue_size': (512,),
    'libvirt.max_queues': (1, 4),
    'libvirt.use_virtio_for_bridges': (False,),
    'libvirt.enabled_perf_events': (['cpu_clock'], ['cmt', 'cache_misses']),
    'libvirt.images_type': ('qcow2', 'raw', 'flat'),
    'libvirt.realtime_scheduler_priority': (5,),
    'libvirt.swtpm_enabled': (False,),
    'DEFAULT.use_cow_images': (False,),
    'DEFAULT.vcpu_pin_set': ('0',),
    'DEFAULT.preallocate_images': ('space',),
    'DEFAULT.pointer_model': ('ps2mouse', None),
    'DEFAULT.config_drive_format': ('vfat',),
    'DEFAULT.force_config_drive': (True,),
    'DEFAULT.default_ephemeral_format': ('ext4',),
    'compute.cpu_shared_set': ('0',),
    'compute.cpu_dedicated_set': ('1',),
    'compute.max_disk_devices_to_attach': (1, 2, 3),
    'vnc.enabled': (False,),
    'vnc.server_listen': ('0.0.0.0',),
    'spice.enabled': (True,),
    'spice.server_listen': ('0.0.0.0',),
    'spice.agent_enabled': (False,),
    'spice.image_compression': ('quic',),
    'spice.jpeg_compression': ('always',),
    'spice.zlib_compression': ('never',),
    'spice.playback_compression': (True, False),
    'spice.streaming_mode': ('filter',),
    'spice.require_secure': (True,),
    'serial_console.enabled': (True,),
    'workarounds.libvirt_disable_apic': (True,),
    'ephemeral_storage_encryption.enabled': (True,),
}
"""Each option that shapes a guest, with values that are not the default."""

_OF_THE_RIG = (
    'compute_driver', 'connection_uri', 'cpu_models', 'enabled_mdev_types',
    'host', 'images_type', 'instances_path', 'iscsi_iface', 'physnets',
    'state_path', 'virt_type')
"""Options that say where the guests to compare are, name groups, ask for what
this host does not have, or have cases of their own."""

# What an option, or one of a group, depends on to have an effect.
_OPTION_WITH = {
    'spice': Case(name='', options=(
        ('spice', 'enabled', True), ('vnc', 'enabled', False))),
    'config_drive_format': Case(name='', options=(
        ('DEFAULT', 'force_config_drive', True),)),
    'max_disk_devices_to_attach': Case(
        name='', disks='swap and ephemeral',
        instance={'config_drive': 'True'}),
}

# Options that are about each disk, and guests with disks of all kinds.
_OF_DISKS = ('hw_disk_discard', 'disk_cachemodes', 'disk_prefix',
             'preallocate_images', 'max_disk_devices_to_attach')
_ALL_DISKS = (
    Case(name='iso', image={'disk_format': 'iso'}),
    Case(name='config drive and disks', disks='swap and ephemeral',
         instance={'config_drive': 'True'}),
    Case(name='config drive as a disk', instance={'config_drive': 'True'},
         options=(('DEFAULT', 'config_drive_format', 'vfat'),)),
    Case(name='hw_disk_bus=scsi and disks', disks='swap and ephemeral',
         properties={'hw_disk_bus': 'scsi'}),
    Case(name='hw_disk_bus=ide and disks', disks='ephemerals',
         flavor={'swap': 64}, instance={'config_drive': 'True'},
         properties={'hw_disk_bus': 'ide'}),
)


def _options() -> Iterator[Case]:
    for place, values in _OPTIONS.items():
        group, _, name = place.partition('.')
        if group not in CONF and group != 'DEFAULT':
            continue
        needed = _OPTION_WITH.get(group) or _OPTION_WITH.get(name, NOTHING)
        for value in values:
            case = Case(name=f'[{group}] {name}={value}',
                        options=((group, name, value),))
            yield _joined(needed, case)
            if name in _OF_DISKS:
                for disks in _ALL_DISKS:
                    yield dataclasses.replace(
                        case.with_(disks), without=disks)
    yield from _other_options()
    yield from _cpu_models()
    listed = Case(name='', options=(
        ('libvirt', 'cpu_mode', 'custom'),
        ('libvirt', 'cpu_models', ['core2duo', 'nehalem', 'EPYC'])))
    for specs in (
            {'trait:HW_CPU_X86_SSE42': 'required'},
            {'trait:HW_CPU_X86_AVX2': 'required'},
            {'trait:HW_CPU_X86_AVX2': 'forbidden'},
            {'trait:HW_CPU_X86_AVX512F': 'required'},
            {'trait:HW_CPU_X86_AESNI': 'required',
             'trait1:HW_CPU_X86_SSE4A': 'required', 'resources1:VCPU': '2'}):
        yield _joined(listed, Case(
            name='[libvirt] cpu_models with ' + ' and '.join(specs),
            extra_specs=specs))
    yield Case(name='both consoles', options=(('spice', 'enabled', True),))


def _other_options() -> Iterator[Case]:
    """Yield each other option that Nova's own driver reads, changed."""
    for place, *_ in options.table(CONF):
        group, name = place[1:].split('] ')
        if f'{group}.{name}' in _OPTIONS or name in _OF_THE_RIG:
            continue
        for value in _option_values(group, name):
            yield Case(name=f'[{group}] {name}={value}',
                       options=((group, name, value),))


def _option_values(group: str, name: str) -> Iterator[Any]:
    registered = CONF._opts if group == 'DEFAULT' else CONF._groups[
        group]._opts
    option = registered[name]['opt']
    usual = option.default
    if isinstance(option, cfg.BoolOpt):
        yield not usual
    elif isinstance(option, (cfg.IntOpt, cfg.FloatOpt)):
        yield (usual or 0) + 1
    elif isinstance(option, (cfg.ListOpt, cfg.MultiStrOpt)):
        yield ['x']
    elif isinstance(option, cfg.StrOpt):
        chosen = getattr(option.type, 'choices', None) or ('x',)
        yield from (value for value in chosen if value != usual)


def _cpu_models() -> Iterator[Case]:
    for models in (['Nehalem'], ['nehalem'], ['Haswell-noTSX', 'Nehalem']):
        yield Case(name=f'[libvirt] cpu_models={models}', options=(
            ('libvirt', 'cpu_mode', 'custom'),
            ('libvirt', 'cpu_models', models)))


def _ports() -> Iterator[Case]:
    for kind in ('ovs', 'ovs_hybrid', 'ovs_tap', 'vhostuser', 'vhostuser_ovs',
                 'bridge', 'tap', 'binding_failed', 'unbound', 'hw_veb',
                 'macvtap', 'hostdev_physical', 'other'):
        yield Case(name=f'port {kind}', ports=(kind,))
    yield Case(name='no port', ports=())
    yield Case(name='two ports', ports=('ovs', 'ovs'))
    for model in ('e1000', 'rtl8139', 'virtio'):
        yield Case(name=f'tap of model {model}', ports=('tap',),
                   properties={'hw_vif_model': model})
    for queues in ('ovs', 'vhostuser', 'tap'):
        yield Case(name=f'queues of {queues}', ports=(queues,),
                   properties={'hw_vif_multiqueue_enabled': True})
    yield Case(name='vhostuser with limits', ports=('vhostuser',),
               extra_specs={'quota:vif_inbound_average': '1000'})


def _disks() -> Iterator[Case]:
    for layout in ('swap', 'ephemeral', 'ephemerals', 'swap and ephemeral',
                   'bus of the root disk', 'bus of an ephemeral disk',
                   'bus of the swap disk', 'name of the root disk',
                   'default swap'):
        flavor = {'default swap': {'swap': 64}}.get(layout, {})
        yield Case(name=f'disks: {layout}', disks=layout, flavor=flavor)
        yield Case(name=f'scsi disks: {layout}', disks=layout, flavor=flavor,
                   properties={'hw_disk_bus': 'scsi',
                               'hw_scsi_model': 'virtio-scsi'})
        yield Case(name=f'config drive and disks: {layout}', disks=layout,
                   flavor=flavor, instance={'config_drive': 'True'})
    yield Case(name='iso', image={'disk_format': 'iso'})
    yield Case(name='config drive', instance={'config_drive': 'True'})


_RBD = {'name': 'pool/volume', 'hosts': ['192.0.2.1', '192.0.2.2'],
        'ports': ['6789', '6789'], 'auth_enabled': True,
        'auth_username': 'cinder', 'secret_type': 'ceph',
        'secret_uuid': '457eb676-33da-42ec-9a8c-9293d545c337'}
_ROOT = {'boot_index': 0, 'mount_device': '/dev/vda'}


def _volumes() -> Iterator[Case]:
    for protocol in ('fibre_channel', 'gpfs', 'iscsi', 'iser', 'lightos',
                     'local', 'nfs', 'nvmeof', 'quobyte', 'rbd', 'scaleio',
                     'smbfs', 'vzstorage'):
        data: Mapping[str, Any] = _RBD if protocol == 'rbd' else {}
        yield _of_volumes(protocol, Volume(protocol=protocol, data=data))
        yield _of_volumes(f'root on {protocol}', Volume(
            protocol=protocol, data=data, device=_ROOT), Volume())
    for name, data in (
            ('access_mode=ro', {'access_mode': 'ro'}),
            ('access_mode=x', {'access_mode': 'x'}),
            ('discard', {'discard': True}),
            ('block sizes', {'logical_block_size': '512',
                             'physical_block_size': '4096'}),
            ('qos_specs', {'qos_specs': {
                'total_bytes_sec': '1000000', 'read_iops_sec': '100',
                'read_iops_sec_max': '200', 'size_iops_sec': '8'}})):
        yield _of_volumes(name, Volume(data=data))
    yield _of_volumes('rbd without a user', Volume(
        protocol='rbd', data={**_RBD, 'auth_enabled': False}))
    for format in ('raw', 'qcow2'):
        yield _of_volumes(f'nfs of format {format}', Volume(
            protocol='nfs', data={'format': format}))
    yield _of_volumes('multiattach', Volume(multiattach=True))
    for bus in ('ide', 'sata', 'scsi', 'usb', 'virtio', 'fdc', 'x'):
        yield _of_volumes(f'bus {bus}', Volume(device={'disk_bus': bus}))
    for kind, wanted in (
            ('cdrom', None), ('cdrom', 'sata'), ('cdrom', 'ide'),
            ('disk', 'scsi'), ('floppy', 'fdc'), ('lun', None),
            ('lun', 'scsi')):
        yield _of_volumes(f'kind {kind} on {wanted}', Volume(device={
            'device_type': kind, 'disk_bus': wanted,
            'mount_device': {'fdc': '/dev/fda', 'ide': '/dev/hdb'}.get(
                wanted or '', '/dev/sdb')}))
    scsi = Case(name='', properties={
        'hw_disk_bus': 'scsi', 'hw_scsi_model': 'virtio-scsi'})
    for two in ((Volume(), Volume(protocol='rbd', data=_RBD)),
                (Volume(device={**_ROOT, 'mount_device': '/dev/sda'}),
                 Volume(device={'mount_device': '/dev/sdb'}))):
        yield _joined(scsi, dataclasses.replace(
            _of_volumes('two on scsi', *two), without=None))
    for option in (('disk_cachemodes', ['block=writeback', 'network=unsafe']),
                   ('use_default_aio_mode_for_volumes', True),
                   ('rbd_secret_uuid', _RBD['secret_uuid'])):
        yield dataclasses.replace(_of_volumes(
            f'{option[0]}', Volume(), Volume(
                protocol='rbd', data={**_RBD, 'auth_enabled': False},
                device={'mount_device': '/dev/vdc'})),
            options=(('libvirt', 'rbd_user', 'nova'),
                     ('libvirt', *option)))


def _of_volumes(name: str, *volumes: Volume) -> Case:
    return Case(name=f'volume: {name}', volumes=volumes)


def _rescues() -> Iterator[Case]:
    """Yield servers in rescue, by images of all kinds."""
    plain = Case(name='rescued', rescue={})
    stable = Case(name='', rescue={'hw_rescue_device': 'disk'})
    for properties in (
            {}, {'hw_disk_bus': 'sata'}, {'hw_disk_bus': 'scsi'},
            {'hw_machine_type': 'q35'}, {'hw_firmware_type': 'uefi'},
            {'hw_vif_model': 'e1000'}, {'hw_video_model': 'vga'},
            {'hw_rescue_device': 'disk'}, {'hw_rescue_device': 'cdrom'},
            {'hw_rescue_device': 'floppy'}, {'hw_rescue_device': 'x'},
            {'hw_rescue_bus': 'virtio'}, {'hw_rescue_bus': 'usb'},
            {'hw_rescue_bus': 'scsi'}, {'hw_rescue_bus': 'x'},
            {'hw_rescue_device': 'cdrom', 'hw_rescue_bus': 'scsi'},
            {'hw_rescue_device': 'cdrom', 'hw_cdrom_bus': 'sata'},
            {'hw_rescue_device': 'disk', 'hw_disk_bus': 'ide'}):
        yield Case(name=f'rescued by {properties}', rescue=properties)
    for rescued, kind in ((plain, 'rescued'), (stable, 'stable rescue')):
        for other in (
                Case(name='all disks', disks='swap and ephemeral',
                     instance={'config_drive': 'True'}),
                Case(name='iso', image={'disk_format': 'iso'}),
                Case(name='kernel', instance={'kernel_id': 'kernel'}),
                Case(name='hw_disk_bus=scsi', properties={
                    'hw_disk_bus': 'scsi', 'hw_scsi_model': 'virtio-scsi'}),
                Case(name='tpm', extra_specs={'hw:tpm_version': '2.0'}),
                Case(name='two ports', ports=('ovs', 'ovs')),
                _of_volumes('data', Volume()),
                _of_volumes('root', Volume(device=_ROOT)),
                _of_volumes('root and data', Volume(device=_ROOT), Volume(
                    protocol='rbd', data=_RBD))):
            # Nova itself refuses to rescue others without a stable device.
            if rescued is stable or 'root' not in other.name:
                yield dataclasses.replace(
                    rescued.with_(other), name=f'{kind} of {other.name}')


def is_stable(case: Case) -> bool:
    """Say whether a rescue leaves all disks of its server."""
    return any(name.startswith('hw_rescue_') for name in case.rescue or ())


def _others() -> Iterator[Case]:
    yield Case(name='kernel', instance={'kernel_id': 'kernel'})
    yield Case(name='kernel and ramdisk', instance={
        'kernel_id': 'kernel', 'ramdisk_id': 'ramdisk'})
    for vcpus in (1, 3, 8):
        yield Case(name=f'vcpus={vcpus}', flavor={'vcpus': vcpus})
    for name, image, flavor in (
            ('hw_pmu', True, 'false'), ('hw_boot_menu', True, 'false'),
            ('hw_sound_model', 'ich6', 'ich9'),
            ('hw_watchdog_action', 'reset', 'pause'),
            ('os_secure_boot', 'required', 'disabled'),
            ('hw_usb_model', 'qemu-xhci', 'nec-xhci'),
            ('hw_viommu_model', 'intel', 'virtio'),
            ('hw_serial_port_count', 2, '1'),
            ('hw_serial_port_count', 1, '2'),
            ('hw_redirected_usb_ports', 3, '2'),
            ('img_hide_hypervisor_id', True, 'false')):
        spec = name.replace('_', ':', 1).replace('img:', 'hw:')
        yield _needing(name, Case(
            name=f'{name}={image} and {spec}={flavor}',
            properties={name: image}, extra_specs={spec: flavor}))
