# SPDX-License-Identifier: Apache-2.0

"""The compute driver that Nova loads.

Each verb translates what Nova says, calls the driver, and translates what
comes back. Verbs that are not here raise what Nova's base class raises, and
their capability flags are off.
"""

from collections.abc import Iterator
import contextlib
import dataclasses
from typing import Any

from nova import exception as nova_exception
from nova.virt import driver as nova_driver
from oslo_log import log as logging

import nova.conf
from nova_libvirt_driver.conf import monitoring
from nova_libvirt_driver import driver as core_driver
from nova_libvirt_driver.monitoring import monitor
from nova_libvirt_driver.nova_plugin import config_drive
from nova_libvirt_driver.nova_plugin import diagnostics
from nova_libvirt_driver.nova_plugin import errors
from nova_libvirt_driver.nova_plugin import images
from nova_libvirt_driver.nova_plugin import interfaces
from nova_libvirt_driver.nova_plugin import network
from nova_libvirt_driver.nova_plugin import options
from nova_libvirt_driver.nova_plugin import placement
from nova_libvirt_driver.nova_plugin import results
from nova_libvirt_driver.nova_plugin import service
from nova_libvirt_driver.nova_plugin import tpm
from nova_libvirt_driver.nova_plugin import traits
from nova_libvirt_driver.nova_plugin import translate
from nova_libvirt_driver import ports
from nova_libvirt_driver.spec import guest as guest_spec

CONF = nova.conf.CONF
LOG = logging.getLogger(__name__)


class LibvirtDriver(nova_driver.ComputeDriver):  # type: ignore[misc]
    """The driver in the service of nova-compute.

    :param virtapi: Nova's
    :param read_only: look, and change nothing
    """

    capabilities = {
        **nova_driver.ComputeDriver.capabilities,
        'has_imagecache': True,
        'supports_evacuate': False,
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
                service_state=service.NovaServiceState(virtapi)),
            read_only=read_only)
        self._monitor = monitor.Monitor(
            self._core, monitoring.settings(CONF))

    # The host.

    def init_host(self, host: str) -> None:
        for name, verdict, remark in options.report(CONF):
            if verdict == options.IGNORED:
                LOG.warning('[libvirt] %s has no effect: %s', name, remark)
        with errors.translated():
            self._monitor.start()
            self._core.register_event_listener(
                lambda event: self.emit_event(results.lifecycle(event)))
            self._core.init_host(host)

    def cleanup_host(self, host: str) -> None:
        self._monitor.stop()
        self._core.cleanup_host(host)

    def get_available_nodes(self, refresh: bool = False) -> list[str]:
        with errors.translated():
            return self._core.get_available_nodes(refresh)

    def get_available_resource(self, nodename: str) -> dict[str, Any]:
        with errors.translated():
            return placement.record(
                self._core.get_available_resource(nodename),
                self._core.get_host_facts(), self._core.get_host_uptime())

    def update_provider_tree(
            self, provider_tree: Any, nodename: str,
            allocations: Any = None) -> None:
        with errors.translated():
            resources = self._core.get_available_resource(nodename)
            found = traits.host(
                self._core.get_host_facts(), self._core.get_host_offers())
        ratios = self._get_allocation_ratios(
            provider_tree.data(nodename).inventory)
        placement.update(provider_tree, nodename, resources, ratios,
                         self._get_reserved_host_disk_gb_from_config())
        placement.mark(provider_tree, nodename, found)

    def get_host_cpu_stats(self) -> dict[str, int]:
        with errors.translated():
            return placement.cpu_times(self._core.get_host_cpu_times())

    def get_host_ip_addr(self) -> str:
        return self._core.get_host_ip_addr()

    def get_host_uptime(self) -> str:
        return self._core.get_host_uptime()

    # Guests.

    def get_info(self, instance: Any, use_cache: bool = True) -> Any:
        with errors.translated():
            return results.info(self._core.get_info(instance, use_cache))

    def list_instances(self) -> list[str]:
        with errors.translated():
            return self._core.list_instances()

    def list_instance_uuids(self) -> list[str]:
        with errors.translated():
            return self._core.list_instance_uuids()

    def instance_exists(self, instance: Any) -> bool:
        with errors.translated():
            return self._core.instance_exists(instance)

    def spawn(
            self, context: Any, instance: Any, image_meta: Any,
            injected_files: Any, admin_password: str | None,
            allocations: Any, network_info: Any = None,
            block_device_info: Any = None, power_on: bool = True,
            accel_info: Any = None) -> None:
        def complete() -> guest_spec.GuestSpec:
            return translate.guest(dataclasses.replace(
                request, network_info=network_info,
                config_drive=config_drive.built(
                    instance, network_info, files=injected_files,
                    admin_password=admin_password)))

        with self._starting(context, instance):
            # The ports are made meanwhile.
            request = translate.Request(
                instance, image_meta, (), block_device_info,
                config_drive.wanted(instance),
                self._core.get_host_facts().cells)
            self._core.spawn(
                translate.guest(request),
                images=self._images(context, instance), power_on=power_on,
                network=network.NovaNetwork(
                    self.virtapi, instance, network_info, complete))

    def destroy(
            self, context: Any, instance: Any, network_info: Any,
            block_device_info: Any = None, destroy_disks: bool = True,
            destroy_secrets: bool = True) -> None:
        with errors.translated():
            self._core.destroy(instance, destroy_disks=destroy_disks)
            if destroy_disks:
                tpm.forget(self._core, context, instance, destroy_secrets)
        interfaces.unplug(instance, network_info or ())

    def cleanup(
            self, context: Any, instance: Any, network_info: Any,
            block_device_info: Any = None, destroy_disks: bool = True,
            migrate_data: Any = None, destroy_vifs: bool = True,
            destroy_secrets: bool = True) -> None:
        with errors.translated():
            self._core.cleanup(instance, destroy_disks=destroy_disks)
            if destroy_disks:
                tpm.forget(self._core, context, instance, destroy_secrets)
        if destroy_vifs:
            interfaces.unplug(instance, network_info or ())

    def instance_on_disk(self, instance: Any) -> bool:
        return self._core.instance_on_disk(instance)

    def get_instance_disk_info(
            self, instance: Any, block_device_info: Any = None) -> str:
        with errors.translated():
            return results.disks(self._core.get_instance_disk_info(instance))

    def delete_instance_files(self, instance: Any) -> bool:
        with errors.translated():
            return self._core.delete_instance_files(instance)

    # Power.

    def power_on(
            self, context: Any, instance: Any, network_info: Any,
            block_device_info: Any = None, accel_info: Any = None,
            share_info: Any = None) -> None:
        with self._starting(context, instance):
            interfaces.plug(instance, network_info or ())
            self._core.power_on(self._standing(
                instance, network_info, block_device_info))

    def power_off(
            self, instance: Any, timeout: int = 0,
            retry_interval: int = 0) -> None:
        with errors.translated():
            self._core.power_off(instance, timeout, retry_interval)

    def reboot(
            self, context: Any, instance: Any, network_info: Any,
            reboot_type: str, block_device_info: Any = None,
            bad_volumes_callback: Any = None, accel_info: Any = None,
            share_info: Any = None) -> None:
        with self._starting(context, instance):
            interfaces.plug(instance, network_info or ())
            self._core.reboot(
                self._standing(instance, network_info, block_device_info),
                guest_spec.RebootType(reboot_type))

    def poll_rebooting_instances(
            self, timeout: float, instances: Any) -> None:
        """Do nothing: a soft reboot that hangs turns into a hard one."""

    def pause(self, instance: Any) -> None:
        with errors.translated():
            self._core.pause(instance)

    def unpause(self, instance: Any) -> None:
        with errors.translated():
            self._core.unpause(instance)

    def suspend(self, context: Any, instance: Any) -> None:
        with errors.translated():
            self._core.suspend(instance)

    def resume(
            self, context: Any, instance: Any, network_info: Any,
            block_device_info: Any = None, share_info: Any = None) -> None:
        with self._starting(context, instance):
            interfaces.plug(instance, network_info or ())
            self._core.resume(self._standing(
                instance, network_info, block_device_info))

    def resume_state_on_host_boot(
            self, context: Any, instance: Any, network_info: Any,
            share_info: Any = None, block_device_info: Any = None) -> None:
        with self._starting(context, instance):
            interfaces.plug(instance, network_info or ())
            self._core.resume_state_on_host_boot(self._standing(
                instance, network_info, block_device_info))

    # Rescue and snapshots.

    def rescue(
            self, context: Any, instance: Any, network_info: Any,
            image_meta: Any, rescue_password: str,
            block_device_info: Any = None, share_info: Any = None) -> None:
        with self._starting(context, instance):
            spec = translate.guest(translate.Request(
                instance, instance.image_meta, network_info,
                block_device_info, config_drive.built(
                    instance, network_info, admin_password=rescue_password),
                self._core.get_host_facts().cells))
            # Without an image of its own, a rescue takes the host's, or else
            # the server's.
            image_id = (
                image_meta.id if image_meta.obj_attr_is_set('id')
                else CONF.libvirt.rescue_image_id or instance.image_ref)
            self._core.rescue(
                spec, image_id, images=self._images(context, instance),
                stable_device=bool(
                    image_meta.properties.get('hw_rescue_device')
                    or image_meta.properties.get('hw_rescue_bus')))

    def unrescue(self, context: Any, instance: Any) -> None:
        with self._starting(context, instance):
            self._core.unrescue(instance)

    def snapshot(
            self, context: Any, instance: Any, image_id: str,
            update_task_state: Any) -> None:
        update_task_state(task_state='image_pending_upload')
        update_task_state(task_state='image_uploading',
                          expected_state='image_pending_upload')
        try:
            with errors.translated():
                self._core.snapshot(
                    instance, image_id, images=images.GlanceImages(context))
        except nova_exception.InstanceNotFound as error:
            raise nova_exception.InstanceNotRunning(
                instance_id=instance.uuid) from error

    def quiesce(self, context: Any, instance: Any, image_meta: Any) -> None:
        with errors.translated():
            self._core.quiesce(instance)

    def unquiesce(self, context: Any, instance: Any, image_meta: Any) -> None:
        with errors.translated():
            self._core.unquiesce(instance)

    # Interfaces.

    def plug_vifs(self, instance: Any, network_info: Any) -> None:
        interfaces.plug(instance, network_info or ())

    def unplug_vifs(self, instance: Any, network_info: Any) -> None:
        interfaces.unplug(instance, network_info or ())

    # Consoles and figures.

    def get_console_output(self, context: Any, instance: Any) -> str:
        with errors.translated():
            # Each byte a character: the compute manager takes it so.
            return self._core.get_console_output(instance).decode('latin-1')

    def get_vnc_console(self, context: Any, instance: Any) -> Any:
        with errors.translated():
            return results.vnc(
                self._core.get_vnc_console(instance),
                str(CONF.vnc.server_proxyclient_address))

    def get_spice_console(self, context: Any, instance: Any) -> Any:
        with errors.translated():
            return results.spice(
                self._core.get_spice_console(instance),
                str(CONF.spice.server_proxyclient_address))

    def get_serial_console(self, context: Any, instance: Any) -> Any:
        with errors.translated():
            return results.serial(
                self._core.get_serial_console(instance),
                str(CONF.serial_console.proxyclient_address))

    def get_diagnostics(self, instance: Any) -> dict[str, int]:
        with errors.translated():
            return diagnostics.flat(self._core.get_diagnostics(instance))

    def get_all_volume_usage(
            self, context: Any, compute_host_bdms: Any
    ) -> list[dict[str, Any]]:
        with errors.translated():
            return results.volume_usage(
                compute_host_bdms, self._core.get_disk_counters())

    def get_instance_diagnostics(self, instance: Any) -> Any:
        with errors.translated():
            return diagnostics.structured(
                diagnostics.with_macs(
                    self._core.get_diagnostics(instance),
                    instance.get_network_info() or ()),
                str(CONF.libvirt.virt_type), instance.launched_at)

    def set_admin_password(self, instance: Any, new_pass: str) -> None:
        with errors.translated():
            self._core.set_admin_password(instance, new_pass)

    def trigger_crash_dump(self, instance: Any) -> None:
        with errors.translated():
            self._core.trigger_crash_dump(instance)

    # Images.

    def cache_image(self, context: Any, image_id: str) -> bool:
        with errors.translated():
            return self._core.cache_image(
                image_id, images=images.GlanceImages(context))

    def manage_image_cache(self, context: Any, all_instances: Any) -> None:
        with errors.translated():
            self._core.manage_image_cache()

    def _standing(
            self, instance: Any, network_info: Any,
            block_device_info: Any) -> guest_spec.GuestSpec:
        """Return a guest that is made already."""
        return translate.guest(translate.Request(
            instance, instance.image_meta, network_info, block_device_info,
            config_drive.wanted(instance),
            self._core.get_host_facts().cells))

    @contextlib.contextmanager
    def _starting(self, context: Any, instance: Any) -> Iterator[None]:
        """Let a guest be started within."""
        with (errors.translated(),
              tpm.opened(self._core, context, instance)):
            yield

    def _images(self, context: Any, instance: Any) -> images.GlanceImages:
        return images.GlanceImages(context, instance.trusted_certs)
