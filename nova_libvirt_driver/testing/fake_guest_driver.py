# SPDX-License-Identifier: Apache-2.0

"""A driver that keeps guests in memory, for tests of who gives it orders.

It remembers every verb with its arguments, and has an idea of what a guest
is afterwards. It makes no file and asks no libvirt.
"""

from collections.abc import Callable
from collections.abc import Sequence
import dataclasses
import tempfile
from typing import Any

from lxml import etree

from nova_libvirt_driver import base
from nova_libvirt_driver import exception
from nova_libvirt_driver import ports
from nova_libvirt_driver.spec import agent as agent_spec
from nova_libvirt_driver.spec import console as console_spec
from nova_libvirt_driver.spec import diagnostics as diagnostics_spec
from nova_libvirt_driver.spec import disk as disk_spec
from nova_libvirt_driver.spec import guest as guest_spec
from nova_libvirt_driver.spec import image as image_spec
from nova_libvirt_driver.spec import instance as instance_spec
from nova_libvirt_driver.spec import nic as nic_spec
from nova_libvirt_driver.testing import fake_driver
from nova_libvirt_driver.testing import fake_xml

State = instance_spec.PowerState

_KIB_PER_MIB = 1024
_DISK = bytes(1024)


@dataclasses.dataclass(frozen=True)
class Call:
    """One verb that was called."""

    verb: str
    instance: str
    """Name of the domain."""
    arguments: dict[str, Any] = dataclasses.field(default_factory=dict)


class GuestDriver(fake_driver.FakeDriver):
    """A host without guests, whose verbs work on a list in memory.

    :ivar verbs: what was called, in order
    :ivar specs: what each guest was made from, by its uuid
    :ivar consoles: what a guest printed, by its uuid; taken from the front,
        the last one stays
    :ivar xml: XML of a guest as it runs and as it is defined, by its uuid,
        for those that were not spawned
    :ivar addresses: what answers for each kind of console
    :ivar failing: verb, or look, that raises the error beside it
    :ivar hypervisor_uri: what it is said to be connected to
    """

    def __init__(self, virtapi: Any = None) -> None:
        super().__init__(virtapi)
        self.instances = []
        self.verbs: list[Call] = []
        self.specs: dict[str, guest_spec.GuestSpec] = {}
        self.consoles: dict[str, list[bytes]] = {}
        self.autostart: dict[str, bool] = {}
        self.found_addresses: dict[str, list[nic_spec.FoundAddress]] = {}
        self.look_for_addresses: Callable[
            [instance_spec.Instance], list[nic_spec.FoundAddress]] | None = (
                None)
        self.xml: dict[str, tuple[str, str]] = {}
        self.addresses: dict[str, console_spec.ConsoleAddress] = {}
        self.failing: dict[str, BaseException] = {}
        self.hypervisor_uri = fake_driver.URI

    def uri(self) -> str:
        """Return the URI that it is said to be connected to."""
        return self.hypervisor_uri

    def verb_names(self) -> list[str]:
        """Return the names of the verbs that were called."""
        return [call.verb for call in self.verbs]

    # Making and removing.

    def spawn(
            self, spec: guest_spec.GuestSpec, *,
            images: ports.ImageSource | None = None, power_on: bool = True,
            progress: ports.Progress = base.NO_PROGRESS,
            attachments: ports.Attachments = (),
            config_drive: ports.DriveOf | None = None) -> None:
        progress.step('image')
        progress.advance(1, 2)
        progress.step('start')
        self._called('spawn', spec, power_on=power_on)
        self.specs[spec.uuid] = spec
        self.instances = [*self.instances, instance_spec.InstanceSummary(
            uuid=spec.uuid, name=spec.name, state=State.RUNNING,
            vcpus=spec.cpu.vcpus, memory_mib=spec.memory.size_mib,
            display_name=spec.metadata.display_name)]

    def destroy(
            self, instance: instance_spec.Instance, *,
            destroy_disks: bool = True,
            attachments: ports.Attachments = (),
            progress: ports.Progress = base.NO_PROGRESS) -> None:
        self._called('destroy', instance, destroy_disks=destroy_disks)
        self.instances = [known for known in self.instances
                          if known.uuid != instance.uuid]
        self.specs.pop(instance.uuid, None)

    def clean_up_operation(
            self, uuid: str, operation_id: str, *, force: bool) -> None:
        self._called('clean_up_operation',
                     instance_spec.InstanceRef(uuid, operation_id),
                     force=force)

    def get_spec(
            self, instance: instance_spec.Instance) -> guest_spec.GuestSpec:
        self._fail('get_spec')
        if instance.uuid not in self.specs:
            raise exception.InstanceNotFound(
                instance=instance.uuid, host=self.host)
        return self.specs[instance.uuid]

    def list_networks(self) -> list[tuple[str, bool]]:
        """Return libvirt's networks, and whether each is active."""
        return [('default', True), ('lab', False)]

    # Devices.

    def attach_disk(
            self, spec: guest_spec.GuestSpec, disk: disk_spec.DiskSpec, *,
            attachments: ports.Attachments = (),
            progress: ports.Progress = base.NO_PROGRESS,
    ) -> disk_spec.DiskSpec:
        self._called('attach_disk', spec, disk=disk)
        disk = dataclasses.replace(disk, target_dev='vdx')
        self.specs[spec.uuid] = self.specs[spec.uuid].with_device(disk)
        return disk

    def detach_disk(
            self, instance: instance_spec.Instance,
            disk: disk_spec.DiskKey, *,
            attachments: ports.Attachments = (),
            progress: ports.Progress = base.NO_PROGRESS) -> None:
        self._called('detach_disk', instance, disk=disk)
        self.specs[instance.uuid] = self.specs[
            instance.uuid].without_device(disk)

    def extend_disk(
            self, instance: instance_spec.Instance,
            disk: disk_spec.DiskKey, size_bytes: int, *,
            volume: ports.VolumeAttachment | None = None,
            progress: ports.Progress = base.NO_PROGRESS) -> None:
        self._called('extend_disk', instance, size_bytes=size_bytes)

    def attach_nic(
            self, spec: guest_spec.GuestSpec, nic: nic_spec.NicSpec, *,
            attachments: ports.Attachments = (),
            progress: ports.Progress = base.NO_PROGRESS) -> None:
        self._called('attach_nic', spec, nic=nic)
        self.specs[spec.uuid] = self.specs[spec.uuid].with_device(nic)

    def detach_nic(
            self, instance: instance_spec.Instance,
            nic: nic_spec.NicKey, *, later: bool = False,
            attachments: ports.Attachments = (),
            progress: ports.Progress = base.NO_PROGRESS) -> None:
        self._called('detach_nic', instance, nic=nic)
        self.specs[instance.uuid] = self.specs[
            instance.uuid].without_device(nic)

    def get_guest_xml(self, spec: guest_spec.GuestSpec) -> str:
        return _xml(spec)

    def get_domain_xml(
            self, instance: instance_spec.Instance, *,
            inactive: bool = False) -> str:
        """Return the XML of a guest."""
        if instance.uuid in self.xml:
            return self.xml[instance.uuid][inactive]
        definition = _xml(self.get_spec(instance))
        state = self.get_info(instance).state
        if inactive or state is State.SHUTDOWN:
            return definition
        return fake_xml.live(definition, 1)

    def rename(
            self, instance: instance_spec.Instance,
            display_name: str) -> None:
        """Give a guest another name."""
        self._called('rename', instance, display_name=display_name)
        self._change(instance, display_name=display_name)

    def delete_instance_files(
            self, instance: instance_spec.Instance) -> bool:
        self._called('delete_instance_files', instance)
        return True

    def execute_in_guest(
            self, instance: instance_spec.Instance, words: Sequence[str], *,
            timeout_s: float) -> agent_spec.Outcome:
        """Print the words."""
        self._called('execute_in_guest', instance, words=tuple(words))
        return agent_spec.Outcome(
            exit_code=3, stdout=f'{" ".join(words)}\x1b[1m\n'.encode(),
            stderr=b'hm\n')

    def list_addresses(self) -> dict[str, list[nic_spec.FoundAddress]]:
        """Return the addresses that a test has given."""
        return self.found_addresses

    def get_addresses(
            self, instance: instance_spec.Instance,
    ) -> list[nic_spec.FoundAddress]:
        """Return those of one guest."""
        if self.look_for_addresses is not None:
            return self.look_for_addresses(instance)
        return self.found_addresses.get(instance.uuid, [])

    def set_autostart(
            self, instance: instance_spec.Instance, *,
            enabled: bool) -> None:
        """Mark a guest, or take the mark away."""
        self._called('set_autostart', instance, enabled=enabled)
        self.autostart[instance.uuid] = enabled

    def get_autostart(self, instance: instance_spec.Instance) -> bool:
        """Say whether a guest has the mark."""
        return self.autostart.get(instance.uuid, False)

    # Power.

    def power_on(
            self, spec: guest_spec.Described, *,
            images: ports.ImageSource | None = None,
            progress: ports.Progress = base.NO_PROGRESS,
            attachments: ports.Attachments = ()) -> None:
        self._called('power_on', spec)
        self._change(spec, state=State.RUNNING)

    def power_off(
            self, instance: instance_spec.Instance, timeout_s: float = 0,
            retry_interval_s: float = 0, *,
            progress: ports.Progress = base.NO_PROGRESS) -> None:
        self._called('power_off', instance, timeout_s=timeout_s)
        self._change(instance, state=State.SHUTDOWN)

    def reboot(
            self, spec: guest_spec.Described,
            reboot_type: guest_spec.RebootType, *,
            images: ports.ImageSource | None = None,
            progress: ports.Progress = base.NO_PROGRESS,
            attachments: ports.Attachments = ()) -> None:
        self._called('reboot', spec, reboot_type=reboot_type)
        self._change(spec, state=State.RUNNING)

    def pause(self, instance: instance_spec.Instance) -> None:
        self._called('pause', instance)
        self._change(instance, state=State.PAUSED)

    def unpause(self, instance: instance_spec.Instance) -> None:
        self._called('unpause', instance)
        self._change(instance, state=State.RUNNING)

    def suspend(self, instance: instance_spec.Instance) -> None:
        self._called('suspend', instance)
        self._change(instance, state=State.SHUTDOWN)

    def resume(
            self, spec: guest_spec.Described, *,
            images: ports.ImageSource | None = None,
            attachments: ports.Attachments = ()) -> None:
        self._called('resume', spec)
        self._change(spec, state=State.RUNNING)

    # Rescue and snapshots.

    def rescue(
            self, spec: guest_spec.Described, image_id: str, *,
            images: ports.ImageSource | None = None,
            stable_device: disk_spec.RescueDevice | None = None,
            progress: ports.Progress = base.NO_PROGRESS,
            attachments: ports.Attachments = ()) -> None:
        self._called('rescue', spec, image_id=image_id,
                     stable_device=stable_device)
        self._change(spec, state=State.RUNNING)

    def unrescue(
            self, spec: guest_spec.Described, *,
            images: ports.ImageSource | None = None,
            attachments: ports.Attachments = ()) -> None:
        self._called('unrescue', spec)
        self._change(spec, state=State.RUNNING)

    def snapshot(
            self, instance: instance_spec.Instance, image_id: str, *,
            images: ports.ImageSource | None = None, name: str = '',
            require_quiesce: bool | None = None,
            progress: ports.Progress = base.NO_PROGRESS) -> None:
        self._called('snapshot', instance, image_id=image_id, name=name)
        source = images or self.virtapi.images
        with tempfile.TemporaryFile() as file:
            file.write(_DISK)
            file.seek(0)
            source.upload(
                image_spec.Image(id=image_id, name=name, disk_format='raw'),
                file, progress)

    # Inside.

    def resize_root_disk(
            self, instance: instance_spec.Instance, size_gib: int, *,
            progress: ports.Progress = base.NO_PROGRESS) -> None:
        self._called('resize_root_disk', instance, size_gib=size_gib)

    def set_admin_password(
            self, instance: instance_spec.Instance, new_pass: str, *,
            user: str = '') -> None:
        self._called('set_admin_password', instance, new_pass=new_pass,
                     user=user)

    def trigger_crash_dump(self, instance: instance_spec.Instance) -> None:
        self._called('trigger_crash_dump', instance)

    def get_diagnostics(
            self, instance: instance_spec.Instance
    ) -> diagnostics_spec.Diagnostics:
        state = self.get_info(instance).state
        return diagnostics_spec.Diagnostics(
            state=state.name.lower(), uptime_s=60, vcpu_times_ns=(7, 8),
            memory_mib=32, disks=(diagnostics_spec.DiskDiagnostics(
                target_dev='vda', read_bytes=512),))

    # Consoles.

    def get_console_output(
            self, instance: instance_spec.Instance) -> bytes:
        outputs = self.consoles.get(instance.uuid)
        if not outputs:
            raise exception.ConsoleUnavailable(
                instance=instance.uuid, kind='recorded',
                reason='nothing is recorded')
        return outputs.pop(0) if len(outputs) > 1 else outputs[0]

    def get_vnc_console(
            self, instance: instance_spec.Instance
    ) -> console_spec.ConsoleAddress:
        return self._address(instance, 'vnc')

    def get_spice_console(
            self, instance: instance_spec.Instance
    ) -> console_spec.ConsoleAddress:
        return self._address(instance, 'spice')

    def get_serial_console(
            self, instance: instance_spec.Instance
    ) -> console_spec.ConsoleAddress:
        return self._address(instance, 'serial')

    def _address(
            self, instance: instance_spec.Instance,
            kind: str) -> console_spec.ConsoleAddress:
        if kind not in self.addresses:
            raise exception.ConsoleUnavailable(
                instance=instance.uuid, kind=kind)
        return self.addresses[kind]

    def _called(
            self, verb: str, instance: instance_spec.Instance,
            **arguments: Any) -> None:
        self._reachable()
        self.verbs.append(Call(verb, instance.name, arguments))
        self._fail(verb)

    def _fail(self, verb: str) -> None:
        if verb in self.failing:
            raise self.failing[verb]

    def _change(
            self, instance: instance_spec.Instance, **fields: Any) -> None:
        self.instances = [
            dataclasses.replace(known, **fields)
            if known.uuid == instance.uuid else known
            for known in self.instances]


def _xml(spec: guest_spec.GuestSpec) -> str:
    domain = etree.fromstring(
        fake_xml.minimal(spec.name, spec.uuid, owned=True))
    _add_metadata(domain, spec.metadata)
    kib = str(spec.memory.size_mib * _KIB_PER_MIB)
    etree.SubElement(domain, 'memory', unit='KiB').text = kib
    etree.SubElement(domain, 'vcpu').text = str(spec.cpu.vcpus)
    devices = domain.find('devices')
    assert devices is not None
    for nic in spec.nics:
        interface = etree.SubElement(
            devices, 'interface', type=nic.kind.value)
        etree.SubElement(interface, 'mac', address=nic.mac)
        etree.SubElement(interface, 'source', {nic.kind.value: nic.source})
        if nic.key.alias:
            etree.SubElement(interface, 'alias', name=nic.key.alias)
    for disk in spec.storage.volumes:
        element = etree.SubElement(devices, 'disk', type='file')
        etree.SubElement(element, 'source', file=disk.source.path)
        etree.SubElement(element, 'serial').text = disk.serial
    for serial in spec.consoles.serials:
        etree.SubElement(devices, 'serial', type=serial.kind.value)
    for graphics in spec.consoles.graphics:
        etree.SubElement(devices, 'graphics', type=graphics.kind.value,
                         port='-1', autoport='yes', listen=graphics.listen)
    return etree.tostring(domain, encoding='unicode')


def _add_metadata(
        domain: etree._Element, metadata: guest_spec.GuestMetadata) -> None:
    nova = f'{{{fake_xml.NOVA}}}'
    instance = domain.find(f'metadata/{nova}instance')
    assert instance is not None
    name = instance.find(f'{nova}name')
    assert name is not None
    name.text = metadata.display_name
    etree.SubElement(
        instance, f'{nova}creationTime').text = metadata.created_at
    etree.SubElement(
        instance, f'{nova}flavor', name=metadata.flavor.name)
    if metadata.image_id:
        etree.SubElement(instance, f'{nova}root', type='image',
                         uuid=metadata.image_id)
