# SPDX-License-Identifier: Apache-2.0

"""Servers that go to another host, or come from one, while they run.

What one host tells the other of it is Nova's own object, used as Nova's own
driver uses it, so that either may be on either side.
"""

from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Mapping
import contextlib
import dataclasses
import hashlib
import os
import tempfile
import threading
from typing import Any

from nova import exception as nova_exception
from nova.network import model as network_model
from nova.network import neutron
from nova import objects
from nova.objects import fields
from nova.objects import migrate_data as migrate_data_module
from nova.virt import driver as nova_driver
from nova.virt import hardware
from oslo_log import log as logging
from oslo_serialization import jsonutils
from oslo_utils import netutils
from oslo_utils import units

import nova.conf
from nova_libvirt_driver.calls import runtime
from nova_libvirt_driver import driver as core_driver
from nova_libvirt_driver import exception
from nova_libvirt_driver.nova_plugin import brick
from nova_libvirt_driver.nova_plugin import tpm
from nova_libvirt_driver.nova_plugin import virtual_cpus
from nova_libvirt_driver.nova_plugin import volumes
from nova_libvirt_driver import ports as driver_ports
from nova_libvirt_driver.spec import console as console_spec
from nova_libvirt_driver.spec import cpu as cpu_spec
from nova_libvirt_driver.spec import disk as disk_spec
from nova_libvirt_driver.spec import guest as guest_spec
from nova_libvirt_driver.spec import host as host_spec
from nova_libvirt_driver.spec import live_migration as migration_spec
from nova_libvirt_driver.spec import volume as volume_spec
from nova_libvirt_driver.volumes import connection as connection_module
from nova_libvirt_driver.volumes import protocols
from nova_libvirt_driver.xmlmodel import cpu as cpu_model

CONF = nova.conf.CONF
LOG = logging.getLogger(__name__)

_DRIVE = 'disk.config'
_LAST_S = 60.0
"""How long what is written down at the end may take."""


# At the destination, before anything is done.

def offered(
        context: Any, instance: Any, dst_compute_info: Any, *,
        block_migration: bool | None, disk_over_commit: bool | None) -> Any:
    """Return what the source has to know of this host.

    A file is left in the folder of the instances, which the source looks for.
    """
    free_gib = (dst_compute_info['free_disk_gb'] if disk_over_commit
                else dst_compute_info['disk_available_least'])
    data = objects.LibvirtLiveMigrateData(
        filename=_leave_file(),
        image_type=CONF.libvirt.images_type,
        graphics_listen_addr_vnc=CONF.vnc.server_listen,
        graphics_listen_addr_spice=CONF.spice.server_listen,
        serial_listen_addr=(
            CONF.serial_console.proxyclient_address
            if CONF.serial_console.enabled else None),
        disk_available_mb=(
            free_gib * units.Ki - CONF.reserved_host_disk_mb),
        dst_wants_file_backed_memory=CONF.libvirt.file_backed_memory > 0,
        dst_cpu_shared_set_info=(
            hardware.get_cpu_shared_set() or hardware.get_vcpu_pin_set()
            or set()))
    if block_migration is not None:
        data.block_migration = block_migration
    if disk_over_commit is not None:
        data.disk_over_commit = disk_over_commit
    if instance.numa_topology:
        data.dst_supports_numa_live_migration = True
    # That they are set tells Nova that the ports have two bindings.
    if neutron.API().has_port_binding_extension(context):
        data.vifs = (migrate_data_module.VIFMigrateData
                     .create_skeleton_migrate_vifs(
                         instance.get_network_info()))
        for vif in data.vifs:
            vif.supports_os_vif_delegation = True
    return data


def check_cpu(
        core: core_driver.LibvirtDriver, instance: Any,
        src_compute_info: Any) -> None:
    """See whether a server that comes can have its CPU on this host.

    That is the one that Nova remembers of it. Without any it is the model of
    the source, which a guest has unless one is configured; not all features
    of a host are for guests. Libvirt compares the guest's own CPU when the
    guest begins to come. Without KVM any CPU is emulated, as far as QEMU can.

    :raises MigrationPreCheckError: it cannot, with what is missing; or
        libvirt here does not know what it is: Nova tries other hosts
    """
    virt_type = CONF.libvirt.virt_type
    if CONF.workarounds.skip_cpu_compare_on_dest or virt_type != 'kvm':
        return
    known = instance.vcpu_model
    cpu = cpu_model.Cpu()
    if known and known.model:
        cpu.model, cpu.vendor = known.model, known.vendor
        for feature in known.features or ():
            wanted = cpu.features.add()
            wanted.name, wanted.policy = feature.name, feature.policy
    elif CONF.libvirt.cpu_mode != 'custom':
        info = jsonutils.loads(src_compute_info['cpu_info'] or '{}')
        if info.get('arch') == fields.Architecture.X86_64:
            cpu.model, cpu.vendor = info['model'], info['vendor']
    if cpu.model:
        cpu.mode, cpu.match = 'custom', 'exact'
        with refused(exception.LibvirtFailure):
            core.check_cpu(cpu.to_xml(), virt_type)


def _leave_file() -> str:
    descriptor, path = tempfile.mkstemp(dir=CONF.instances_path)
    os.close(descriptor)
    return str(os.path.basename(path))


def remove_file(data: Any) -> None:
    """Remove the file that was left here; idempotent."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(_beside_instances(data.filename))


def _beside_instances(name: str) -> str:
    # The name comes from another host.
    return str(os.path.join(CONF.instances_path, os.path.basename(name)))


def claimed(
        instance: Any, claim: Any,
        cells: tuple[host_spec.HostCell, ...]) -> Any:
    """Return which CPUs and memory of this host a server gets."""
    copy = instance.obj_clone()
    copy.numa_topology = claim.claimed_numa_topology
    cpu = virtual_cpus.spec(copy, claim.image_meta, cells)
    info = objects.LibvirtLiveMigrateNUMAInfo()
    if cpu.pins:
        info.cpu_pins = {
            str(pin.vcpu): set(pin.host_cpus) for pin in cpu.pins}
        info.emulator_pins = set(cpu.emulator_cpus)
        info.cell_pins = {str(cell.id): {cell.host_node}
                          for cell in cpu.cells if cell.host_node is not None}
    if cpu.realtime_vcpus:
        info.sched_vcpus = set(cpu.realtime_vcpus)
        info.sched_priority = cpu.realtime_priority
    return info


# At the source, before anything is done.

def checked(
        core: core_driver.LibvirtDriver, instance: Any, data: Any,
        block_device_info: Any) -> Any:
    """Complete what both hosts have to know, or refuse to let a server go.

    :raises MigrationPreCheckError: it cannot go to that host
    :raises InvalidLocalStorage: its disks would be copied to where they are
    :raises InvalidSharedStorage: its disks would have to be copied
    """
    with refused():
        core.check_can_live_migrate_source(instance)
    with refused(exception.LibvirtFailure):
        tpm.tell(core, instance, data)
    disks = [use for use in core.get_instance_disk_info(instance)
             if os.path.basename(use.path) != _DRIVE]
    # On NFS, the other host's file may not be seen before the folder changes.
    # There, the folder may be another user's as well (LP 1809123).
    with contextlib.suppress(OSError):
        os.utime(CONF.instances_path)
    data.is_shared_instance_path = os.path.exists(
        _beside_instances(data.filename))
    data.is_shared_block_storage = data.is_shared_instance_path or (
        volumes.has_root(block_device_info) and not disks)
    is_shared = (data.is_shared_instance_path
                 or data.is_shared_block_storage)
    if 'block_migration' not in data:
        data.block_migration = not is_shared
    if data.block_migration and is_shared:
        raise nova_exception.InvalidLocalStorage(
            path=CONF.host, reason='both hosts have the disks of the server')
    if not data.block_migration and not is_shared:
        raise nova_exception.InvalidSharedStorage(
            path=CONF.host, reason='the disks of the server are not where '
            'the other host sees them')
    if data.block_migration:
        _check_copied(data, disks)
    data.instance_relative_path = instance.uuid
    if instance.numa_topology:
        data.src_supports_numa_live_migration = True
    return data


def _check_copied(
        data: Any, disks: Iterable[disk_spec.DiskUse]) -> None:
    if CONF.libvirt.live_migration_tunnelled:
        raise nova_exception.MigrationPreCheckError(
            reason='no disks are copied with live_migration_tunnelled')
    if 'disk_over_commit' not in data:
        return
    needed = sum(use.taken_bytes if data.disk_over_commit
                 else use.size_bytes for use in disks)
    if needed > (data.disk_available_mb or 0) * units.Mi:
        raise nova_exception.MigrationPreCheckError(
            reason=f'the disks of the server take {needed // units.Mi} MiB, '
            f'and the other host has {data.disk_available_mb} MiB')


@contextlib.contextmanager
def refused(*more: type[exception.DriverError]) -> Iterator[None]:
    """Tell Nova that a server cannot go, before anything is done.

    :param more: errors that say so as well
    :raises MigrationPreCheckError: the reason is that of the driver
    """
    refusals: tuple[type[exception.DriverError], ...] = (
        exception.WrongState, exception.UnsupportedOperation, *more)
    try:
        yield
    except refusals as error:
        raise nova_exception.MigrationPreCheckError(
            reason=str(error)) from error


def fetchable_image(
        images: driver_ports.ImageSource, instance: Any) -> str:
    """Return the image that the other host can fetch; empty for none.

    Asks the image service. While that fails, it is that of the server.
    """
    image_id = str(instance.image_ref or '')
    try:
        return images.show(image_id).id if image_id else ''
    except exception.ImageNotFound:
        return ''
    except Exception as error:
        LOG.warning('It cannot be seen whether image %s is still there: %s',
                    image_id, error, instance=instance)
        return image_id


def disk_info(
        core: core_driver.LibvirtDriver, instance: Any,
        image_id: str) -> list[disk_spec.DiskUse]:
    """Return the disks of a server as another host may have to make them.

    What is based on anything but the server's image is copied whole: the
    other host must not look for a file of that name. So is everything once
    the image was deleted (LP 1829000).

    :param image_id: see :func:`fetchable_image`
    """
    base = cached_name(image_id)
    return [use if os.path.basename(use.backing_file or '') == base
            else dataclasses.replace(use, backing_file=None)
            for use in core.get_instance_disk_info(instance)]


def cached_name(image_id: str) -> str:
    """Return the name of an image in the cache of each host."""
    return hashlib.sha1(
        image_id.encode(), usedforsecurity=False).hexdigest()


# At the destination.

def ports(data: Any, network_info: Any) -> Any:
    """Return the ports of a server as they are at the destination."""
    if 'vifs' in data and data.vifs:
        return network_model.NetworkInfo(
            [vif.get_dest_vif() for vif in data.vifs])
    return network_info


def coming_disks(
        data: Any, disks: str | None
) -> list[migration_spec.MovedDisk] | None:
    """Return the disks that are to be made for a server that comes.

    :param disks: of the source; see :func:`disk_info`
    :returns: None when the source has its files where they are here
    """
    if _is_shared(data):
        return None
    return [migration_spec.MovedDisk(
        name=os.path.basename(disk['path']), format=disk['type'],
        size_bytes=int(disk['virt_disk_size']),
        base=os.path.basename(disk['backing_file'] or ''))
        for disk in jsonutils.loads(disks or '[]')
        if os.path.basename(disk['path']) != _DRIVE]


def prepared(
        data: Any, spec: guest_spec.GuestSpec,
        block_device_info: Any) -> Any:
    """Tell the source what a server finds on this host.

    :param spec: the guest as it will be here
    """
    data.target_connect_addr = CONF.libvirt.live_migration_inbound_addr
    data.supported_perf_events = list(CONF.libvirt.enabled_perf_events)
    data.serial_listen_ports = [
        serial.port for serial in spec.consoles.serials
        if serial.port is not None]
    infos = [device['connection_info'] for device in (
        nova_driver.block_device_info_get_mapping(block_device_info))
        if device['connection_info']]
    data.bdms = [_told(info, disk) for info, disk in zip(
        infos, spec.storage.volumes, strict=True)]
    return data


def _told(info: dict[str, Any], disk: disk_spec.DiskSpec) -> Any:
    told = objects.LibvirtLiveMigrateBDMInfo(
        serial=connection_module.read(info).serial, bus=disk.bus.value,
        dev=disk.target_dev, type=disk.device.value, format=disk.format,
        boot_index=disk.boot_order)
    told.connection_info = info
    if disk.encryption is not None:
        told.encryption_secret_uuid = disk.encryption.secret_uuid
    return told


def announce(core: core_driver.LibvirtDriver, instance: Any) -> None:
    """Tell the network again where a server is that came, if that is wanted.

    Blocks for as long as Nova's own driver does.
    """
    wanted = CONF.workarounds
    if wanted.enable_qemu_monitor_announce_self:
        with tolerated('announce it to the network', instance):
            core.announce(
                instance, count=wanted.qemu_monitor_announce_self_count,
                interval_s=wanted.qemu_monitor_announce_self_interval)


# At the source.

def guest_there(
        spec: guest_spec.GuestSpec, context: Any,
        data: Any) -> guest_spec.GuestSpec:
    """Return a guest as it is to be at its destination.

    :param spec: with the ports as they are there
    """
    return dataclasses.replace(
        spec, cpu=_processors(spec.cpu, data),
        nics=spec.nics if 'vifs' in data and data.vifs else (),
        consoles=_consoles(spec.consoles, data),
        storage=dataclasses.replace(spec.storage, volumes=tuple(
            _volume(told, context) for told in (
                data.bdms if 'bdms' in data else ()))))


def _volume(told: Any, context: Any) -> disk_spec.DiskSpec:
    secret = (told.encryption_secret_uuid
              if 'encryption_secret_uuid' in told else None)
    return protocols.disk(
        connection_module.read(told.connection_info), volume_spec.Placement(
            target_dev=told.dev, bus=disk_spec.DiskBus(told.bus),
            device=disk_spec.DiskDevice(told.type)),
        brick.Connector(context).settings, secret_uuid=secret or '')


def _processors(cpu: cpu_spec.CpuSpec, data: Any) -> cpu_spec.CpuSpec:
    if 'dst_cpu_shared_set_info' in data:
        cpu = dataclasses.replace(
            cpu, host_cpus=frozenset(data.dst_cpu_shared_set_info))
    numa = data.dst_numa_info if 'dst_numa_info' in data else None
    if numa is not None and 'sched_priority' in numa:
        cpu = dataclasses.replace(cpu, realtime_priority=numa.sched_priority)
    if numa is None or 'cpu_pins' not in numa:
        return cpu
    nodes = {int(cell): min(found)
             for cell, found in numa.cell_pins.items() if found}
    return dataclasses.replace(
        cpu, emulator_cpus=frozenset(numa.emulator_pins), pins=tuple(
            cpu_spec.VcpuPin(vcpu=int(vcpu), host_cpus=frozenset(found))
            for vcpu, found in numa.cpu_pins.items()),
        cells=tuple(dataclasses.replace(cell, host_node=nodes.get(cell.id))
                    for cell in cpu.cells))


def _consoles(
        consoles: console_spec.ConsoleSpec,
        data: Any) -> console_spec.ConsoleSpec:
    listen = {console_spec.GraphicsKind(kind): str(address)
              for kind, address in (
                  ('vnc', _of(data, 'graphics_listen_addr_vnc')),
                  ('spice', _of(data, 'graphics_listen_addr_spice')))
              if address is not None}
    serial_address = _of(data, 'serial_listen_addr')
    serial_ports = _of(data, 'serial_listen_ports') or []
    return dataclasses.replace(
        consoles, graphics=tuple(dataclasses.replace(
            one, listen=listen.get(one.kind, one.listen))
            for one in consoles.graphics),
        serials=tuple(console_spec.SerialSpec(
            kind=console_spec.SerialKind.TCP, listen=serial_address,
            port=port) for port in serial_ports) if serial_address
        else consoles.serials)


def _is_shared(data: Any) -> bool:
    # Nothing is removed, nor copied, without a word of it.
    found = _of(data, 'is_shared_instance_path')
    return not _of(data, 'block_migration') if found is None else bool(found)


def _of(data: Any, name: str) -> Any:
    return getattr(data, name) if name in data else None


def destination(
        dest: str, data: Any, image_id: str) -> migration_spec.Destination:
    """Return the host to which a server goes, as libvirt reaches it.

    :param image_id: with which :func:`disk_info` has told of the disks
    :raises MigrationError: that host cannot serve the console of the server
    """
    if CONF.serial_console.enabled and not _of(data, 'serial_listen_addr'):
        raise nova_exception.MigrationError(
            reason='the other host has no serial consoles')
    address, migrate_uri = dest, ''
    if _of(data, 'target_connect_addr'):
        address = data.target_connect_addr
        migrate_uri = f'tcp://{netutils.escape_ipv6(address)}'
    uri = CONF.libvirt.live_migration_uri or (
        f'qemu+{CONF.libvirt.live_migration_scheme or "tcp"}://%s/system')
    events = _of(data, 'supported_perf_events')
    return migration_spec.Destination(
        uri=uri.replace('%s', netutils.escape_ipv6(address)),
        migrate_uri=migrate_uri, is_shared=_is_shared(data),
        image_id=image_id,
        perf_events=None if events is None else frozenset(events),
        file_backed_memory=_of(data, 'dst_wants_file_backed_memory'))


class Record:
    """Writes down in Nova's database how far a migration is.

    On a thread of its own, and never two at a time: what hangs there must not
    hold up the migration.
    """

    def __init__(self, instance: Any, migration: Any) -> None:
        self._instance = instance
        self._migration = migration
        self._lock = threading.Lock()
        self._next: migration_spec.Figures | None = None
        self._thread: threading.Thread | None = None

    def __call__(self, figures: migration_spec.Figures) -> None:
        """Have figures written; never blocks."""
        with self._lock:
            self._next = figures
            if self._thread is None and self._migration is not None:
                self._thread = runtime.Thread(
                    target=self._write, name='migration-record', daemon=True)
                self._thread.start()

    def end(self) -> None:
        """Wait until the last figures are written, for a minute."""
        thread = self._thread
        if thread is not None:
            thread.join(_LAST_S)

    def _write(self) -> None:
        while True:
            with self._lock:
                figures, self._next = self._next, None
                if figures is None:
                    self._thread = None
                    return
            try:
                self._save(figures)
            except Exception as error:
                LOG.warning('How far the migration is was not written down: '
                            '%s', error, instance=self._instance)

    def _save(self, figures: migration_spec.Figures) -> None:
        migration = self._migration
        if figures.is_post_copy and migration.status == 'running':
            # Nova looks for this word when it hears of the switch, and binds
            # the ports to the other host then.
            migration.status = 'running (post-copy)'
        for name in ('total', 'processed', 'remaining'):
            for kind in ('memory', 'disk'):
                setattr(migration, f'{kind}_{name}',
                        getattr(figures, f'{kind}_{name}'))
        migration.save()
        total = figures.memory_total
        self._instance.progress = round(
            100 - 100 * figures.memory_remaining / total) if total else 0
        self._instance.save()


@contextlib.contextmanager
def recorded(instance: Any, data: Any) -> Iterator[Record]:
    """Lend what writes down how far a migration is."""
    record = Record(instance, _of(data, 'migration'))
    try:
        yield record
    finally:
        record.end()


@contextlib.contextmanager
def tolerated(what: str, instance: Any) -> Iterator[None]:
    """Log what goes wrong within, when the server has moved already.

    An error would keep Nova from writing down where it is.
    """
    try:
        yield
    except Exception as error:
        LOG.error('The server has moved, but it was not possible to %s: %s',
                  what, error, instance=instance)


@contextlib.contextmanager
def taken(instance: Any) -> Iterator[None]:
    """Log what fails within, after a server has arrived.

    The clean-up of interrupted operations does it later. With an error, Nova
    would take a server that runs for a broken one.

    :raises InstanceNotFound: it has not come
    """
    try:
        yield
    except exception.InstanceNotFound:
        raise
    except Exception as error:
        LOG.error('The server has come, and what is left to do for its next '
                  'start will be retried: %s', error, instance=instance)


@contextlib.contextmanager
def understood() -> Iterator[None]:
    """Let what the other host has said be wrong in any way.

    :raises MigrationError: it makes no sense; nothing was begun
    """
    try:
        yield
    except (exception.DriverError, nova_exception.NovaException):
        raise
    except Exception as error:
        raise nova_exception.MigrationError(
            reason='this host does not understand what the other one has '
            f'said: {error!r}') from error


def status_of(error: Exception) -> Mapping[str, str]:
    """Return how Nova is to call a migration that has failed."""
    return {'migration_status': 'cancelled'} if isinstance(
        error, exception.MigrationCancelled) else {}
