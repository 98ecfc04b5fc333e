# SPDX-License-Identifier: Apache-2.0

"""Both drivers over one libvirtd, and the XML that each makes of a request."""

from collections.abc import Iterator
import contextlib
import dataclasses
import functools
import json
import os
import pathlib
import re
import shutil
from typing import Any
from typing import ClassVar
import warnings

import libvirt
from nova import config
from nova import context as nova_context
from nova import exception as nova_exception
from nova import objects
import nova.privsep
from nova.virt import fake
from nova.virt import hardware
from nova.virt.libvirt import blockinfo
from nova.virt.libvirt import config as vconfig
from nova.virt.libvirt import driver as in_tree
from os_brick import privileged as os_brick_privileged
import os_vif
from oslo_serialization import jsonutils

import nova.conf
from nova.conf import neutron
from nova_libvirt_driver import conf
from nova_libvirt_driver import exception
from nova_libvirt_driver.nova_plugin import brick
from nova_libvirt_driver.nova_plugin import config_drive
from nova_libvirt_driver.nova_plugin import driver as plugin
from nova_libvirt_driver.nova_plugin import mounts
from nova_libvirt_driver.nova_plugin import options as option_verdicts
from nova_libvirt_driver.nova_plugin import registration
from nova_libvirt_driver.nova_plugin import translate
from nova_libvirt_driver.nova_plugin import volumes
from nova_libvirt_driver.spec import guest as guest_spec
from nova_libvirt_driver.volumes import connection
from nova_libvirt_driver.volumes import protocols
from nova_libvirt_driver.xmlmodel import domain as domain_model
from tests.nova.differential import cases
from tests.nova.differential import comparison
from tests.nova.differential import guests

CONF = nova.conf.CONF

_UNDEFINE = libvirt.VIR_DOMAIN_UNDEFINE_NVRAM
_REFUSALS = (nova_exception.NovaException, exception.InvalidRequest,
             exception.UnsupportedOperation, exception.VolumeFailure)


def prepare(uri: str, folder: str) -> None:
    """Let this process be a nova-compute without a cloud."""
    warnings.simplefilter('ignore')
    config.parse_args(['tests'], default_config_files=[], configure_db=False,
                      init_rpc=False)
    neutron.register_dynamic_opts(CONF)
    conf.register_opts(CONF)
    objects.register_all()
    os_vif.initialize()
    for context in (nova.privsep.sys_admin_pctxt, os_brick_privileged.default):
        context.set_client_mode(False)
    for group, name, value in (
            ('libvirt', 'connection_uri', uri),
            ('libvirt', 'virt_type', 'qemu'),
            ('libvirt', 'swtpm_enabled', True),
            ('DEFAULT', 'instances_path', folder),
            ('DEFAULT', 'host', 'host')):
        _override(group, name, value)
    _offer_kvm()


def _override(group: str, name: str, value: Any) -> None:
    CONF.set_override(name, value, None if group == 'DEFAULT' else group)


@contextlib.contextmanager
def options(case: cases.Case) -> Iterator[None]:
    """Set the options of a case for a while.

    :raises NotAsked: Nova itself refuses a value
    """
    given = [(group, name, value) for group, name, value in case.options]
    before = {(group, name): _value(group, name) for group, name, _ in given}
    try:
        for group, name, value in given:
            try:
                _override(group, name, value)
            except ValueError as error:
                raise guests.NotAsked(str(error)) from error
        yield
    finally:
        for (group, name), value in before.items():
            _override(group, name, value)


def _value(group: str, name: str) -> Any:
    return getattr(CONF if group == 'DEFAULT' else CONF[group], name)


def _offer_kvm() -> None:
    """Let libvirt speak of KVM as of QEMU: this host has none to show."""
    binding = libvirt.virConnect
    capabilities = binding.getCapabilities
    domain_capabilities = binding.getDomainCapabilities

    def with_kvm(connection: Any) -> str:
        return re.sub(r"(<domain type='qemu'/>)", r"\1<domain type='kvm'/>",
                      capabilities(connection))

    def of_kvm(connection: Any, binary: Any = None, arch: Any = None,
               machine: Any = None, virttype: Any = None,
               flags: int = 0) -> str:
        kvm = virttype == 'kvm'
        xml = domain_capabilities(
            connection, binary, arch, machine, 'qemu' if kvm else virttype,
            flags)
        if kvm:
            xml = xml.replace('<domain>qemu</domain>', '<domain>kvm</domain>')
            xml = xml.replace("name='host-passthrough' supported='no'",
                              "name='host-passthrough' supported='yes'")
        return str(xml)

    binding.getCapabilities = with_kvm
    binding.getDomainCapabilities = of_kvm


class _WithoutRecord(in_tree.LibvirtDriver):  # type: ignore[misc]
    """There is no record of a service that a connection could enable."""

    def _handle_conn_event(self, enabled: bool, reason: str) -> None:
        pass

    def _connect_volume(
            self, context: Any, info: dict[str, Any], *args: Any) -> None:
        """Say where the file of a volume is that the host would mount."""
        if _is_mounted(info):
            made = self._get_volume_driver(info)
            info['data']['device_path'] = made._get_device_path(info)


class InTree:
    """Nova's own driver."""

    _hosts: ClassVar[dict[str, Any]] = {}
    """A connection for each kind of virtualization, what it knows with it."""

    def __init__(self) -> None:
        self._driver = _WithoutRecord(fake.FakeVirtAPI())
        known = self._hosts.get(CONF.libvirt.virt_type)
        if known is None:
            known = self._hosts[CONF.libvirt.virt_type] = self._driver._host
            known.initialize()
        self._driver._host = self._driver.vif_driver.host = known
        self._driver._supported_perf_events = (
            self._driver._get_supported_perf_events())

    def numa(self) -> Any:
        """Return the NUMA topology of the host."""
        return self._driver._get_host_numa_topology()

    def xml(self, request: guests.Request) -> str:
        """Return the domain of a guest."""
        if request.rescue_meta:
            return self._rescued(request)
        info = blockinfo.get_disk_info(
            CONF.libvirt.virt_type, request.instance, request.image_meta,
            request.block_device_info)
        return str(self._driver._get_guest_xml(
            nova_context.get_admin_context(), request.instance,
            request.network_info, info, request.image_meta,
            block_device_info=request.block_device_info))

    def _rescued(self, request: guests.Request) -> str:
        image_meta, rescue_meta = request.rescue_meta, None
        devices: Any = None
        if hardware.check_hw_rescue_props(image_meta):
            image_meta, rescue_meta = request.image_meta, image_meta
            devices = request.block_device_info
        info = blockinfo.get_disk_info(
            CONF.libvirt.virt_type, request.instance, image_meta,
            rescue=True, block_device_info=devices,
            rescue_image_meta=rescue_meta)
        return str(self._driver._get_guest_xml(
            nova_context.get_admin_context(), request.instance,
            request.network_info, info, image_meta, rescue={
                'image_id': request.rescue_meta.id,
                'kernel_id': request.instance.kernel_id,
                'ramdisk_id': request.instance.ramdisk_id},
            block_device_info=devices))

    def registered(self, request: guests.Request, xml: str) -> dict[str, str]:
        """Return what is kept of a guest that was made."""
        info = blockinfo.get_disk_info(
            CONF.libvirt.virt_type, request.instance, request.image_meta,
            request.block_device_info)
        made = vconfig.LibvirtConfigGuest()
        made.os_type = 'hvm'
        return {name: str(value) for name in registration.NAMES if (
            value := self._driver._find_default_for_image_property(
                request.instance, name, info, made))}

    def close(self) -> None:
        """Do nothing: the next one uses the connection."""


class Ours:
    """The driver of this project."""

    def __init__(self) -> None:
        self._driver = plugin.NovaLibvirtDriver(fake.FakeVirtAPI())

    def xml(self, request: guests.Request) -> str:
        """Return the domain of a guest, if the service starts at all."""
        for name, why in option_verdicts.refused(CONF):
            raise exception.InvalidRequest(
                reason=f'the service does not start with {name}: {why}')
        core = self._driver._core
        return core.get_guest_xml(self._spec(request))

    def again(self, request: guests.Request) -> str:
        """Return the domain of a guest that has one, or of its rescue."""
        rescue = self._driver._core._parts.operations.rescue
        domains, spec = rescue.domains, self._spec(request)
        plan = domains.plan if not request.rescue_meta else functools.partial(
            domains.plan_rescue,
            stable_device=volumes.rescue_device(request.rescue_meta))
        with domains.ports.reservation() as reservation:
            return str(rescue.rebuild.xml(
                spec, domains.guests.find(spec), plan, reservation,
                rescue=bool(request.rescue_meta)))

    def _spec(self, request: guests.Request) -> guest_spec.GuestSpec:
        wanted = translate.Request(
            request.instance, request.image_meta, request.network_info,
            request.block_device_info,
            config_drive.wanted(request.instance),
            self._driver._core.get_host_facts().cells)
        spec = translate.guest(wanted)
        if request.rescue_meta and not volumes.rescue_device(
                request.rescue_meta):
            spec = translate.rescued(wanted, request.rescue_meta)
        connector = brick.Connector(None)
        return dataclasses.replace(spec, storage=dataclasses.replace(
            spec.storage, volumes=tuple(
                protocols.disk(connection.read(volume.info), volume.place,
                               connector.settings)
                for volume in volumes.Volumes(
                    self._driver._core, None, request.instance,
                    _connected(request.block_device_info)).wanted)))

    def registered(self, request: guests.Request, xml: str) -> dict[str, str]:
        """Return what is kept of a guest that was made."""
        domain = domain_model.Domain.parse(xml)
        return registration.hardware(
            domain, domain, volumes.usual_bus(request.image_meta))

    def close(self) -> None:
        """End the connection."""
        self._driver.cleanup_host('host')


def _connected(devices: dict[str, Any]) -> dict[str, Any]:
    """Say where the files of volumes are that the host has mounted."""
    for device in devices['block_device_mapping']:
        info = device['connection_info']
        if _is_mounted(info):
            info['data']['device_path'] = os.path.join(
                mounts.folder_of(connection.read(info)), info['data']['name'])
    return devices


def _is_mounted(info: dict[str, Any]) -> bool:
    return protocols.of(connection.read(
        info)).host_part is protocols.HostPart.MOUNT


class Libvirt:
    """Defines guests, to see them as libvirt sees them."""

    def __init__(self, uri: str) -> None:
        self._connection = libvirt.open(uri)
        libvirt.registerErrorHandler(lambda *_: None, None)

    def completed(self, xml: str) -> str:
        """Return a domain as libvirt completes it; nothing stays.

        :raises libvirtError: it takes no such domain
        """
        xml = xml.replace('type="kvm"', 'type="qemu"', 1)
        # Libvirt 9.0 refuses what Nova 34 says of a loader, later ones do not.
        xml = re.sub(r'(<loader[^>]*) secure="no"', r'\1', xml)
        domain = self._connection.defineXML(xml)
        try:
            return str(domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE))
        finally:
            domain.undefineFlags(_UNDEFINE)

    @contextlib.contextmanager
    def defined(self, xml: str) -> Iterator[None]:
        """Let there be a domain, with a record of the formats of its disks.

        :param xml: as libvirt has completed it
        """
        domain = self._connection.defineXML(xml)
        uuid = domain.UUIDString()
        folder = pathlib.Path(CONF.instances_path, uuid)
        try:
            folder.mkdir(exist_ok=True)
            (folder / 'disk.info').write_text(json.dumps({
                disk.source_file: disk.driver_type
                for disk in domain_model.Domain.parse(xml).devices.disks
                if (disk.source_file or '').startswith(str(folder))}))
            yield
        finally:
            shutil.rmtree(folder)
            self._connection.lookupByUUIDString(uuid).undefineFlags(_UNDEFINE)


def reason(error: Exception) -> tuple[str, str]:
    """Return by whom a guest was refused, and what that says."""
    kind = comparison.CRASHED
    if isinstance(error, libvirt.libvirtError):
        kind = comparison.BY_LIBVIRT
    elif isinstance(error, _REFUSALS):
        kind = comparison.REFUSED
    return kind, f'{type(error).__name__}: {error}'


def dump(value: Any) -> str:
    return str(jsonutils.dumps(value))
