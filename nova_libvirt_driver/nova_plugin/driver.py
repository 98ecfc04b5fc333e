# SPDX-License-Identifier: Apache-2.0

"""The compute driver that Nova loads.

Each verb translates what Nova says, calls the driver, and translates what
comes back. Verbs that are not here raise what Nova's base class raises, and
their capability flags are off.
"""

from collections.abc import Callable
import contextlib
import dataclasses
import functools
import itertools
from typing import Any

from nova.compute import task_states
from nova.compute import vm_states
from nova.console import type as console_type
from nova import context as nova_context
from nova import exception as nova_exception
from nova import objects
from nova.virt import driver as nova_driver
from oslo_log import log as logging
from oslo_utils import units

import nova.conf
from nova_libvirt_driver.conf import monitoring
from nova_libvirt_driver import driver as core_driver
from nova_libvirt_driver import exception
from nova_libvirt_driver.monitoring import monitor
from nova_libvirt_driver.nova_plugin import attachments
from nova_libvirt_driver.nova_plugin import brick
from nova_libvirt_driver.nova_plugin import config_drive
from nova_libvirt_driver.nova_plugin import diagnostics
from nova_libvirt_driver.nova_plugin import errors
from nova_libvirt_driver.nova_plugin import images
from nova_libvirt_driver.nova_plugin import interfaces
from nova_libvirt_driver.nova_plugin import live_migration
from nova_libvirt_driver.nova_plugin import moves
from nova_libvirt_driver.nova_plugin import network
from nova_libvirt_driver.nova_plugin import options
from nova_libvirt_driver.nova_plugin import password
from nova_libvirt_driver.nova_plugin import placement
from nova_libvirt_driver.nova_plugin import registration
from nova_libvirt_driver.nova_plugin import results
from nova_libvirt_driver.nova_plugin import service
from nova_libvirt_driver.nova_plugin import shared_storage
from nova_libvirt_driver.nova_plugin import startup
from nova_libvirt_driver.nova_plugin import tpm
from nova_libvirt_driver.nova_plugin import traits
from nova_libvirt_driver.nova_plugin import translate
from nova_libvirt_driver.nova_plugin import volume_snapshots
from nova_libvirt_driver.nova_plugin import volumes
from nova_libvirt_driver import ports
from nova_libvirt_driver.spec import configdrive as configdrive_spec
from nova_libvirt_driver.spec import guest as guest_spec
from nova_libvirt_driver.spec import host as host_spec

CONF = nova.conf.CONF
LOG = logging.getLogger(__name__)


@errors.border
class NovaLibvirtDriver(nova_driver.ComputeDriver):  # type: ignore[misc]
    """The driver in the service of nova-compute.

    Nova knows it as ``nova_libvirt_driver.LibvirtDriver``.

    :param virtapi: Nova's
    :param read_only: look, and change nothing
    """

    capabilities = {
        **nova_driver.ComputeDriver.capabilities,
        'has_imagecache': True,
        'supports_attach_interface': True,
        'supports_bfv_rescue': True,
        'supports_device_tagging': True,
        'supports_tagged_attach_interface': True,
        'supports_tagged_attach_volume': True,
        'supports_evacuate': True,
        'supports_extend_volume': True,
        'supports_multiattach': True,
        'supports_migrate_to_same_host': False,
        'supports_pcpus': True,
        'supports_trusted_certs': True,
        'supports_secure_boot': True,
        'supports_stateless_firmware': True,
        'supports_vtpm': True,
        'supports_image_type_aki': True,
        'supports_image_type_ari': True,
        'supports_image_type_ami': True,
        'supports_image_type_iso': True,
        'supports_image_type_qcow2': True,
        'supports_image_type_raw': True,
        'supports_image_type_vdi': True,
        'supports_image_type_vhd': True,
        'supports_image_type_vhdx': True,
        'supports_image_type_vmdk': True,
    }

    def __init__(self, virtapi: Any, read_only: bool = False) -> None:
        super().__init__(virtapi)
        self.capabilities = {
            **self.capabilities, 'supports_vtpm': CONF.libvirt.swtpm_enabled}
        self._core = core_driver.LibvirtDriver(
            ports.VirtAPI(
                notifier=service.NovaNotifier(CONF.host),
                service_state=service.NovaServiceState(virtapi),
                attachments=lambda instance: attachments.interrupted(
                    self._core, instance),
                attachment=lambda *device: attachments.interrupted_device(
                    self._core, *device),
                home=attachments.home,
                volumes=lambda: brick.Connector(
                    nova_context.get_admin_context()),
                knows_instances=True),
            read_only=read_only)
        # Each of which the other host was told that the disks of a server
        # are based on it, by the uuid of the server.
        self._told_images: dict[str, str] = {}
        self._monitor = monitor.Monitor(
            self._core, monitoring.settings(CONF))

    # The host.

    def init_host(self, host: str) -> None:
        startup.check_options()
        startup.check_volumes()
        for name, verdict, remark in options.report(CONF):
            if verdict == options.IGNORED:
                LOG.warning('%s has no effect: %s', name, remark)
        self._monitor.start()
        self._core.register_event_listener(
            lambda event: self.emit_event(results.lifecycle(event)))
        self._core.init_host(host)
        try:
            startup.check_host(self._core.get_host_facts(), self._offers())
        except exception.HypervisorUnavailable:
            # It is waited for, and placement hears of the host later.
            LOG.warning('The host is not checked: it has no connection to '
                        'its hypervisor')
        except nova_exception.InvalidConfiguration:
            self.cleanup_host(host)
            raise
        if not hasattr(
                nova_driver.ComputeDriver, 'process_instances_at_startup'):
            # Nova 33 and before leave it to the driver to look them up.
            context = nova_context.get_admin_context()
            self.process_instances_at_startup(
                context, objects.InstanceList.get_by_host(
                    context, host, expected_attrs=[
                        'flavor', 'numa_topology', 'system_metadata']))

    def process_instances_at_startup(
            self, context: Any, instances: Any) -> Any:
        startup.check_instances(instances)
        for instance in instances:
            # In a rescue it has the hardware of the rescue image.
            if not instance.deleted and (
                    instance.vm_state != vm_states.RESCUED):
                registration.register(
                    self._core, instance, functools.partial(
                        self._standing, instance, (), None))
        return instances

    def cleanup_host(self, host: str) -> None:
        self._monitor.stop()
        self._core.cleanup_host(host)

    def get_available_nodes(self, refresh: bool = False) -> list[str]:
        return self._core.get_available_nodes(refresh)

    def get_available_resource(self, nodename: str) -> dict[str, Any]:
        return placement.record(
            self._core.get_available_resource(nodename),
            self._core.get_host_facts(), self._core.get_host_uptime())

    def update_provider_tree(
            self, provider_tree: Any, nodename: str,
            allocations: Any = None) -> None:
        resources = self._core.get_available_resource(nodename)
        found = traits.host(self._core.get_host_facts(), self._offers())
        ratios = self._get_allocation_ratios(
            provider_tree.data(nodename).inventory)
        placement.update(provider_tree, nodename, resources, ratios,
                         self._get_reserved_host_disk_gb_from_config())
        placement.mark(provider_tree, nodename, found)

    def get_host_cpu_stats(self) -> dict[str, int]:
        return placement.cpu_times(self._core.get_host_cpu_times())

    def get_host_uptime(self) -> str:
        return self._core.get_host_uptime()

    # Guests.

    def get_info(self, instance: Any, use_cache: bool = True) -> Any:
        return results.info(self._core.get_info(instance, use_cache))

    def list_instances(self) -> list[str]:
        return self._core.list_instances()

    def list_instance_uuids(self) -> list[str]:
        return self._core.list_instance_uuids()

    def instance_exists(self, instance: Any) -> bool:
        return self._core.instance_exists(instance)

    def spawn(
            self, context: Any, instance: Any, image_meta: Any,
            injected_files: Any, admin_password: str | None,
            allocations: Any, network_info: Any = None,
            block_device_info: Any = None, power_on: bool = True,
            accel_info: Any = None) -> None:
        def complete(spec: guest_spec.GuestSpec) -> guest_spec.GuestSpec:
            return translate.with_ports(dataclasses.replace(
                request, network_info=network_info), spec)

        # Neutron binds the ports meanwhile.
        request = translate.Request(
            instance, image_meta, (), block_device_info,
            config_drive.wanted(instance), self._core.get_host_facts().cells)
        spec = translate.guest(request)
        build = self._core.spawn
        if (instance.task_state == task_states.REBUILD_SPAWNING
                and instance.host not in (None, CONF.host)):
            # The host that it was on has failed.
            moves.check_evacuated(spec)
            if moves.has_come(instance):
                build = self._core.finish_migration
        build(
            spec, images=self._images(context, instance),
            power_on=power_on, attachments=(
                self._volumes(context, instance, block_device_info),
                network.NewPorts(instance, network_info, self.virtapi,
                                 complete=complete),
                tpm.Secret(self._core, context, instance)),
            config_drive=self._drive(
                context, instance, network_info, files=injected_files,
                admin_password=admin_password))
        registration.register(self._core, instance)

    def destroy(
            self, context: Any, instance: Any, network_info: Any,
            block_device_info: Any = None, destroy_disks: bool = True,
            destroy_secrets: bool = True) -> None:
        self._remove(context, instance, network_info, block_device_info,
                     destroy_disks=destroy_disks,
                     destroy_secrets=destroy_secrets)

    def cleanup(
            self, context: Any, instance: Any, network_info: Any,
            block_device_info: Any = None, destroy_disks: bool = True,
            migrate_data: Any = None, destroy_vifs: bool = True,
            destroy_secrets: bool = True) -> None:
        # Nova passes it when the server has moved.
        with (contextlib.nullcontext() if migrate_data is None
              else live_migration.tolerated('remove what is left', instance)):
            self._remove(context, instance, network_info, block_device_info,
                         destroy_disks=destroy_disks,
                         destroy_vifs=destroy_vifs,
                         destroy_secrets=destroy_secrets)

    def _remove(
            self, context: Any, instance: Any, network_info: Any,
            block_device_info: Any, *, destroy_disks: bool,
            destroy_vifs: bool = True, destroy_secrets: bool) -> None:
        gone: list[ports.Attachment] = [self._volumes(
            context, instance, block_device_info,
            destroy_secrets=destroy_secrets,
            # After an evacuation Nova says how the other host has them.
            own=instance.host not in (None, CONF.host))]
        if destroy_vifs:
            gone.append(network.Ports(instance, network_info))
        if destroy_disks:
            gone.append(tpm.Secret(
                self._core, context, instance,
                destroy_secrets=destroy_secrets))
        with errors.keeping_addresses(instance):
            self._core.destroy(instance, destroy_disks=destroy_disks,
                               attachments=gone)
        if destroy_disks and moves.is_abandoned(instance):
            self._core.delete_instance_files(instance)

    def instance_on_disk(self, instance: Any) -> bool:
        return self._core.instance_on_disk(instance)

    def get_instance_disk_info(
            self, instance: Any, block_device_info: Any = None) -> str:
        # Of the same request, as is the live migration that follows. Both
        # have to say the same, whatever becomes of the image meanwhile.
        image_id = self._told_images[instance.uuid] = (
            live_migration.fetchable_image(
                self._images(instance._context, instance), instance))
        return results.disks(live_migration.disk_info(
            self._core, instance, image_id))

    def delete_instance_files(self, instance: Any) -> bool:
        return self._core.delete_instance_files(instance)

    def check_instance_shared_storage_local(
            self, context: Any, instance: Any) -> dict[str, str] | None:
        return shared_storage.leave_file(instance)

    def check_instance_shared_storage_remote(
            self, context: Any, data: dict[str, str]) -> bool:
        return shared_storage.sees_file(data)

    def check_instance_shared_storage_cleanup(
            self, context: Any, data: dict[str, str]) -> None:
        shared_storage.remove_file(data)

    # Resize and cold migration.

    def get_host_ip_addr(self) -> str:
        return moves.address()

    def migrate_disk_and_power_off(
            self, context: Any, instance: Any, dest: str, flavor: Any,
            network_info: Any, block_device_info: Any = None,
            timeout: int = 0, retry_interval: int = 0) -> str:
        found = self._attachments(
            context, instance, network_info, block_device_info)
        with moves.rolled_back(instance):
            moves.check_sizes(
                self._core, instance, flavor, block_device_info)
            with moves.started_again(
                    self._core, instance, lambda: self.power_on(
                        context, instance, network_info, block_device_info)):
                return results.disks(self._core.migrate_disk_and_power_off(
                    instance, carrier=moves.carrier(dest),
                    image_id=instance.image_ref or '',
                    images=self._images(context, instance),
                    timeout_s=timeout, retry_interval_s=retry_interval,
                    attachments=found))

    def finish_migration(
            self, context: Any, migration: Any, instance: Any,
            disk_info: str, network_info: Any, image_meta: Any,
            resize_instance: bool, allocations: Any,
            block_device_info: Any = None, power_on: bool = True,
            share_info: Any = None) -> None:
        self._start(
            self._core.finish_migration, context, instance, network_info,
            block_device_info, formats=results.formats(disk_info),
            power_on=power_on,
            config_drive=self._drive(context, instance, network_info))
        registration.register(self._core, instance)

    def confirm_migration(
            self, context: Any, migration: Any, instance: Any,
            network_info: Any) -> None:
        self._core.confirm_migration(
            instance, is_here=instance.host == CONF.host)
        tpm.forget_unused(context, instance, kept=instance.new_flavor,
                          gone=instance.old_flavor)

    def finish_revert_migration(
            self, context: Any, instance: Any, network_info: Any,
            migration: Any, block_device_info: Any = None,
            power_on: bool = True, share_info: Any = None) -> None:
        self._start(
            self._core.finish_revert_migration, context, instance,
            network_info, block_device_info, power_on=power_on)
        tpm.forget_unused(context, instance, kept=instance.old_flavor,
                          gone=instance.new_flavor)
        if instance.task_state == task_states.RESIZE_MIGRATING:
            # No user reverts it: this service was killed.
            moves.clear(migration.dest_host, instance)

    # Live migration.

    def check_can_live_migrate_destination(
            self, context: Any, instance: Any, src_compute_info: Any,
            dst_compute_info: Any, block_migration: bool | None = False,
            disk_over_commit: bool | None = False) -> Any:
        live_migration.check_cpu(self._core, instance, src_compute_info)
        return live_migration.offered(
            context, instance, dst_compute_info,
            block_migration=block_migration,
            disk_over_commit=disk_over_commit)

    def cleanup_live_migration_destination_check(
            self, context: Any, dest_check_data: Any) -> None:
        live_migration.remove_file(dest_check_data)

    def check_can_live_migrate_source(
            self, context: Any, instance: Any, dest_check_data: Any,
            block_device_info: Any = None) -> Any:
        return live_migration.checked(
            self._core, instance, dest_check_data, block_device_info)

    def post_claim_migrate_data(
            self, context: Any, instance: Any, migrate_data: Any,
            claim: Any) -> Any:
        migrate_data.dst_numa_info = live_migration.claimed(
            instance, claim, self._core.get_host_facts().cells)
        return migrate_data

    def pre_live_migration(
            self, context: Any, instance: Any, block_device_info: Any,
            network_info: Any, disk_info: str | None,
            migrate_data: Any) -> Any:
        here = live_migration.ports(migrate_data, network_info)
        spec = dataclasses.replace(
            self._standing(instance, here, block_device_info),
            config_drive=config_drive.built(instance, network_info))
        found = self._volumes(context, instance, block_device_info)
        return live_migration.prepared(
            migrate_data, self._core.pre_live_migration(
                spec, disks=live_migration.coming_disks(
                    migrate_data, disk_info),
                images=self._images(context, instance),
                attachments=(
                    found, network.Ports(instance, here), tpm.Coming(
                        self._core, context, instance, migrate_data))),
            block_device_info)

    def live_migration(
            self, context: Any, instance: Any, dest: str, post_method: Any,
            recover_method: Any, block_migration: bool = False,
            migrate_data: Any = None) -> None:
        try:
            with live_migration.understood():
                spec = live_migration.guest_there(
                    self._standing(instance, live_migration.ports(
                        migrate_data, ()), None), context, migrate_data)
                there = live_migration.destination(
                    dest, migrate_data, self._told_images.pop(
                        instance.uuid, instance.image_ref or ''))
            with live_migration.recorded(instance, migrate_data) as record:
                self._core.live_migration(
                    spec, there, carrier=moves.Remote(dest), report=record,
                    attachments=(network.Ports(instance, ()),))
        except exception.MigrationUnclear:
            raise
        except (exception.DriverError,
                nova_exception.NovaException) as error:
            # The server runs on here, and only Nova hears of it.
            errors.shown('live_migration', error, instance)
            recover_method(context, instance, dest, migrate_data,
                           **live_migration.status_of(error))
            return
        post_method(context, instance, dest, block_migration, migrate_data)
        # By now Nova's record has it there, and nothing can start it here.
        with live_migration.tolerated('end its migration', instance):
            self._core.clean_up_operation(instance.uuid, '', force=False)

    def live_migration_abort(self, instance: Any) -> None:
        self._core.live_migration_abort(instance)

    def live_migration_force_complete(self, instance: Any) -> None:
        try:
            self._core.live_migration_force_complete(instance)
        except exception.WrongState as error:
            raise nova_exception.NoActiveMigrationForInstance(
                instance_id=instance.uuid) from error

    def post_live_migration(
            self, context: Any, instance: Any, block_device_info: Any,
            migrate_data: Any = None) -> None:
        with live_migration.tolerated('disconnect its volumes', instance):
            self._core.post_live_migration(instance, attachments=(
                self._volumes(context, instance, block_device_info),))

    def post_live_migration_at_source(
            self, context: Any, instance: Any, network_info: Any) -> None:
        with live_migration.tolerated('remove what is left', instance):
            self._core.post_live_migration_at_source(
                instance, attachments=(
                    network.Ports(instance, network_info),
                    tpm.Secret(self._core, context, instance)))

    def post_live_migration_at_destination(
            self, context: Any, instance: Any, network_info: Any,
            block_migration: bool = False,
            block_device_info: Any = None) -> None:
        with live_migration.taken(instance):
            self._core.post_live_migration_at_destination(
                self._standing(instance, network_info, block_device_info))
        live_migration.announce(self._core, instance)
        config_drive.note_devices(self._core, context, instance)
        registration.register(self._core, instance)

    def rollback_live_migration_at_destination(
            self, context: Any, instance: Any, network_info: Any,
            block_device_info: Any, destroy_disks: bool = True,
            migrate_data: Any = None) -> None:
        self._core.rollback_live_migration_at_destination(
            instance, attachments=(
                self._volumes(context, instance, block_device_info, own=True),
                network.Ports(instance, live_migration.ports(
                    migrate_data or {}, network_info)),
                tpm.Secret(self._core, context, instance)))

    # Power.

    def power_on(
            self, context: Any, instance: Any, network_info: Any,
            block_device_info: Any = None, accel_info: Any = None,
            share_info: Any = None) -> None:
        self._start(self._core.power_on, context, instance, network_info,
                    block_device_info)

    def power_off(
            self, instance: Any, timeout: int = 0,
            retry_interval: int = 0) -> None:
        self._core.power_off(instance, timeout, retry_interval)

    def reboot(
            self, context: Any, instance: Any, network_info: Any,
            reboot_type: str, block_device_info: Any = None,
            bad_volumes_callback: Any = None, accel_info: Any = None,
            share_info: Any = None) -> None:
        found = self._volumes(
            context, instance, block_device_info,
            tolerant=bad_volumes_callback is not None)
        how = guest_spec.RebootType(reboot_type)
        nics = (network.RestartedPorts(instance, network_info, self.virtapi)
                if how is guest_spec.RebootType.HARD
                else network.Ports(instance, network_info))
        self._core.reboot(
            self._standing(instance, network_info, block_device_info), how,
            images=self._images(context, instance),
            attachments=attachments.existing(
                self._core, context, instance, nics, found))
        found.report_missing(self._core, instance, bad_volumes_callback)

    def poll_rebooting_instances(
            self, timeout: float, instances: Any) -> None:
        """Do nothing: a soft reboot that hangs turns into a hard one."""

    def pause(self, instance: Any) -> None:
        self._core.pause(instance)

    def unpause(self, instance: Any) -> None:
        self._core.unpause(instance)

    def suspend(self, context: Any, instance: Any) -> None:
        self._core.suspend(instance)

    def resume(
            self, context: Any, instance: Any, network_info: Any,
            block_device_info: Any = None, share_info: Any = None) -> None:
        self._start(self._core.resume, context, instance, network_info,
                    block_device_info)

    def resume_state_on_host_boot(
            self, context: Any, instance: Any, network_info: Any,
            share_info: Any = None, block_device_info: Any = None) -> None:
        self._start(
            self._core.resume_state_on_host_boot, context, instance,
            network_info, block_device_info)

    # Rescue and snapshots.

    def rescue(
            self, context: Any, instance: Any, network_info: Any,
            image_meta: Any, rescue_password: str,
            block_device_info: Any = None, share_info: Any = None) -> None:
        device = volumes.rescue_device(image_meta)
        request = self._request(instance, network_info, block_device_info)
        spec = dataclasses.replace(
            translate.guest(request) if device
            else translate.rescued(request, image_meta),
            config_drive=config_drive.built(
                instance, network_info, admin_password=rescue_password))
        # Without an image of its own, a rescue takes the host's, or else
        # the server's.
        image_id = (
            image_meta.id if image_meta.obj_attr_is_set('id')
            else CONF.libvirt.rescue_image_id or instance.image_ref)
        self._core.rescue(
            spec, image_id, images=self._images(context, instance),
            stable_device=device,
            attachments=self._attachments(
                context, instance, network_info, block_device_info))

    def unrescue(self, context: Any, instance: Any) -> None:
        network_info = instance.get_network_info()
        # Nova does not say which they are.
        block_device_info = volumes.recorded(context, instance)
        self._start(self._core.unrescue, context, instance, network_info,
                    block_device_info)

    def snapshot(
            self, context: Any, instance: Any, image_id: str,
            update_task_state: Any) -> None:
        update_task_state(task_state='image_pending_upload')
        update_task_state(task_state='image_uploading',
                          expected_state='image_pending_upload')
        try:
            self._core.snapshot(
                instance, image_id, images=images.GlanceImages(context),
                require_quiesce=translate.features(
                    instance).require_quiesce)
            return
        except (exception.InstanceNotFound, exception.GaveWay) as error:
            LOG.info('There will be no snapshot: %s', error,
                     instance=instance)
        # Out of the handler: that it is deleted meanwhile is no failure to
        # be written down (LP 1722571).
        raise nova_exception.InstanceNotRunning(instance_id=instance.uuid)

    def quiesce(self, context: Any, instance: Any, image_meta: Any) -> None:
        self._core.quiesce(instance)

    def unquiesce(self, context: Any, instance: Any, image_meta: Any) -> None:
        self._core.unquiesce(instance)

    # Volumes and interfaces.

    def default_root_device_name(
            self, instance: Any, image_meta: Any, root_bdm: Any) -> str:
        return volumes.root_name(image_meta, root_bdm)

    def default_device_names_for_instance(
            self, instance: Any, root_device_name: str,
            *block_device_lists: Any) -> None:
        volumes.name_devices(instance, root_device_name, itertools.chain(
            *block_device_lists))

    def get_device_name_for_instance(
            self, instance: Any, bdms: Any, block_device_obj: Any) -> str:
        return volumes.free_name(
            self._core, instance, bdms, block_device_obj)

    def get_volume_connector(self, instance: Any) -> dict[str, Any]:
        return dict(brick.Connector(None).properties())

    def attach_volume(
            self, context: Any, connection_info: Any, instance: Any,
            mountpoint: str, disk_bus: str | None = None,
            device_type: str | None = None, encryption: Any = None) -> None:
        found = volumes.Volume(
            self._core, context, instance, connection_info, mountpoint,
            disk_bus=disk_bus, device_type=device_type)
        self._core.attach_disk(
            self._standing(instance, (), None),
            volumes.disk(found.wanted[0]), attachments=(found,))
        config_drive.note_devices(self._core, context, instance)

    def detach_volume(
            self, context: Any, connection_info: Any, instance: Any,
            mountpoint: str, encryption: Any = None) -> None:
        elsewhere = instance.host not in (None, CONF.host)
        found = volumes.Volume(self._core, context, instance, connection_info,
                               own=elsewhere)
        if elsewhere:
            # It was to come here by a live migration, and did not.
            if self._core.instance_exists(instance):
                raise exception.WrongState(
                    tried='disconnect its volumes', instance=instance.uuid,
                    state=f'here, and not on host {instance.host}',
                    hint='see with virsh on both hosts where it runs')
            found.disconnect()
            return
        self._core.detach_disk(
            instance, volumes.key_in_guest(
                self._core, instance, connection_info, mountpoint),
            attachments=(found,))
        config_drive.forget_devices(self._core, context, instance)

    def swap_volume(
            self, context: Any, old_connection_info: Any,
            new_connection_info: Any, instance: Any, mountpoint: str,
            resize_to: int) -> None:
        old, new = (
            volumes.Volume(self._core, context, instance, info, mountpoint,
                           force=True)
            for info in (old_connection_info, new_connection_info))
        self._core.swap_disk(
            self._standing(instance, (), None), volumes.key_in_guest(
                self._core, instance, old_connection_info, mountpoint),
            volumes.disk(new.wanted[0]), old=old, new=new,
            size_bytes=resize_to * units.Gi)

    def extend_volume(
            self, context: Any, connection_info: Any, instance: Any,
            requested_size: int) -> None:
        key = volumes.key_in_guest(self._core, instance, connection_info)
        try:
            self._core.extend_disk(
                instance, key, requested_size, volume=volumes.Volume(
                    self._core, context, instance, connection_info))
        except (exception.InvalidRequest, exception.VolumeFailure) as error:
            raise nova_exception.VolumeExtendFailed(
                volume_id=key.id, reason='the guest has no such disk, or the '
                'host does not see that it has grown.') from error

    def volume_snapshot_create(
            self, context: Any, instance: Any, volume_id: str,
            create_info: Any) -> None:
        volume_snapshots.create(
            self, self._core, context, instance, volume_id, create_info)

    def volume_snapshot_delete(
            self, context: Any, instance: Any, volume_id: str,
            snapshot_id: str, delete_info: Any) -> None:
        volume_snapshots.delete(
            self, self._core, context, instance, volume_id, snapshot_id,
            delete_info)

    def attach_interface(
            self, context: Any, instance: Any, image_meta: Any,
            vif: Any) -> None:
        spec = self._standing(instance, (vif,), None)
        self._core.attach_nic(
            spec, spec.nics[0], attachments=(
                network.Port(instance, vif, is_new=True),))
        config_drive.note_devices(self._core, context, instance)

    def detach_interface(self, context: Any, instance: Any, vif: Any) -> None:
        # In these states a user may not detach it: the port was deleted.
        is_deleted = instance.vm_state in (
            vm_states.SUSPENDED, vm_states.RESCUED)
        self._core.detach_nic(
            instance, interfaces.key(vif), later=is_deleted,
            attachments=(network.Port(instance, vif),))
        config_drive.forget_devices(self._core, context, instance)

    def plug_vifs(self, instance: Any, network_info: Any) -> None:
        # Nova asks for it when it starts, for servers that run as well.
        interfaces.plug(instance, network.with_mtu_in_guest(
            self._core, instance, network_info))

    def unplug_vifs(self, instance: Any, network_info: Any) -> None:
        interfaces.unplug(instance, network_info or ())

    # Consoles and figures.

    def get_console_output(self, context: Any, instance: Any) -> str:
        try:
            found = self._core.get_console_output(instance)
        except exception.ConsoleUnavailable as error:
            # It has not started on this host yet. An error would be written
            # down as the server's, at each look of its owner.
            LOG.debug('%s', error, instance=instance)
            return ''
        # Each byte a character: the compute manager takes it so.
        return found.decode('latin-1')

    def get_vnc_console(self, context: Any, instance: Any) -> Any:
        return console_type.ConsoleVNC(
            host=str(CONF.vnc.server_proxyclient_address),
            port=self._core.get_vnc_console(instance).port)

    def get_spice_console(self, context: Any, instance: Any) -> Any:
        found = self._core.get_spice_console(instance)
        return console_type.ConsoleSpice(
            host=str(CONF.spice.server_proxyclient_address),
            port=found.port, tlsPort=found.tls_port)

    def get_serial_console(self, context: Any, instance: Any) -> Any:
        return console_type.ConsoleSerial(
            host=str(CONF.serial_console.proxyclient_address),
            port=self._core.get_serial_console(instance).port)

    def get_diagnostics(self, instance: Any) -> dict[str, int]:
        return diagnostics.flat(self._core.get_diagnostics(instance))

    def get_all_volume_usage(
            self, context: Any, compute_host_bdms: Any
    ) -> list[dict[str, Any]]:
        return results.volume_usage(
            compute_host_bdms, self._core.get_disk_counters())

    def block_stats(
            self, instance: Any, disk_id: str) -> list[int] | None:
        return results.block_stats(
            self._core.get_disk_counters().get(instance.uuid, ()), disk_id)

    def get_instance_diagnostics(self, instance: Any) -> Any:
        return diagnostics.structured(
            diagnostics.with_macs(
                self._core.get_diagnostics(instance),
                instance.get_network_info() or ()),
            str(CONF.libvirt.virt_type), instance.launched_at)

    def set_admin_password(self, instance: Any, new_pass: str) -> None:
        self._core.set_admin_password(
            instance, new_pass, user=translate.features(
                instance).administrator)
        password.note(instance, new_pass)

    def trigger_crash_dump(self, instance: Any) -> None:
        self._core.trigger_crash_dump(instance)

    # Images.

    def cache_image(self, context: Any, image_id: str) -> bool:
        return self._core.cache_image(
            image_id, images=images.GlanceImages(context))

    def manage_image_cache(self, context: Any, all_instances: Any) -> None:
        self._core.manage_image_cache([
            image_id for instance in all_instances for image_id in (
                instance.image_ref, instance.kernel_id,
                instance.ramdisk_id) if image_id])

    def _offers(self) -> host_spec.HostOffers:
        """Return what the host offers, and take note of the flags in it."""
        offers = self._core.get_host_offers()
        self.capabilities.update({
            'supports_secure_boot': offers.secure_boot,
            'supports_stateless_firmware': offers.stateless_firmware})
        return offers

    def _drive(
            self, context: Any, instance: Any, network_info: Any,
            **content: Any) -> ports.DriveOf:
        """Return what builds the config drive, and notes the devices."""
        def drive(xml: str) -> configdrive_spec.ConfigDriveSpec | None:
            instance.device_metadata = config_drive.tagged_devices(
                context, instance, network_info, lambda: xml)
            return config_drive.built(instance, network_info, **content)

        return drive

    def _start(
            self, verb: Callable[..., None], context: Any, instance: Any,
            network_info: Any, block_device_info: Any, **more: Any) -> None:
        """Call a verb that starts a guest that exists already."""
        verb(self._standing(instance, network_info, block_device_info),
             images=self._images(context, instance),
             attachments=self._attachments(
                 context, instance, network_info, block_device_info), **more)

    def _standing(
            self, instance: Any, network_info: Any,
            block_device_info: Any) -> guest_spec.GuestSpec:
        """Return a guest that exists already."""
        return translate.guest(
            self._request(instance, network_info, block_device_info))

    def _request(
            self, instance: Any, network_info: Any,
            block_device_info: Any) -> translate.Request:
        return translate.Request(
            instance, instance.image_meta, network_info, block_device_info,
            config_drive.wanted(instance),
            self._core.get_host_facts().cells)

    def _attachments(
            self, context: Any, instance: Any, network_info: Any,
            block_device_info: Any) -> ports.Attachments:
        return attachments.existing(
            self._core, context, instance,
            network.Ports(instance, network_info),
            self._volumes(context, instance, block_device_info))

    def _volumes(
            self, context: Any, instance: Any, block_device_info: Any,
            **options: bool) -> volumes.Volumes:
        return volumes.Volumes(
            self._core, context, instance, block_device_info, **options)

    def _images(self, context: Any, instance: Any) -> images.GlanceImages:
        return images.GlanceImages(context, instance.trusted_certs)
