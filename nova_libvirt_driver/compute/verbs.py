# SPDX-License-Identifier: Apache-2.0

"""The verbs of the driver as JSON: what a service can be asked for.

A request names a method of the driver and its arguments; the types are those
of the method itself. The local socket and the message bus share this.
"""

import base64
from collections.abc import Callable
from collections.abc import Mapping
import functools
import inspect
import typing
from typing import Any
from typing import TYPE_CHECKING

from nova_libvirt_driver import base
from nova_libvirt_driver import exception
from nova_libvirt_driver.filesystem import records
from nova_libvirt_driver import ports
from nova_libvirt_driver.spec import guest as guest_spec
from nova_libvirt_driver.spec import instance as instance_spec

if TYPE_CHECKING:
    import cattrs

STATUS = 'status'
"""Asks the service itself, and not its driver."""

READING = frozenset({
    'check_can_live_migrate_source', 'check_cpu', 'connection_status',
    'get_addresses', 'get_arrival_place', 'get_autostart',
    'get_available_nodes', 'get_available_resource', 'get_capabilities',
    'get_console_output', 'get_diagnostics', 'get_domain_xml',
    'get_guest_xml', 'get_host_facts', 'get_info', 'get_instance_disk_info',
    'get_serial_console', 'get_spec', 'get_spice_console',
    'get_unmanaged_devices', 'get_vnc_console', 'list_addresses',
    'list_instance_summaries', 'list_networks', 'uri'})
"""Methods that change nothing."""

CHANGING = frozenset({
    'attach_disk', 'attach_nic', 'cache_image', 'clean_up_operation',
    'delete_instance_files', 'destroy', 'detach_disk', 'detach_nic',
    'execute_in_guest', 'extend_disk', 'live_migration',
    'manage_image_cache', 'pause', 'post_live_migration_at_destination',
    'post_live_migration_at_source', 'power_off', 'power_on',
    'pre_live_migration', 'reboot', 'rename', 'rescue', 'resize_root_disk',
    'resume', 'rollback_live_migration_at_destination', 'set_admin_password',
    'set_autostart', 'snapshot', 'spawn', 'suspend', 'trigger_crash_dump',
    'unpause', 'unrescue'})

_PROGRESS = 'progress'
# What the service has itself, or only a caller in the same process.
_NOT_SENT = frozenset({
    _PROGRESS, 'attachments', 'carrier', 'config_drive', 'images', 'report',
    'volume'})


class Endpoint:
    """Does for a driver what it is asked for.

    :param status: returns what the service says of itself
    """

    def __init__(
            self, host: str, driver: base.ComputeDriver,
            status: Callable[[], dict[str, Any]]) -> None:
        self.host = host
        self._driver = driver
        self._status = status

    def call(
            self, method: str, arguments: Mapping[str, Any],
            progress: ports.Progress = base.NO_PROGRESS, *,
            reading_only: bool = False) -> Any:
        """Return the result of a method, as plain JSON types.

        Blocks as long as the driver does.

        :param progress: what it raises ends the verb, see
            :class:`ports.Progress`
        :raises InvalidRequest: there is no such method, or it does not take
            these arguments
        :raises DriverError: what the driver raises
        """
        if method == STATUS:
            return self._status()
        known = READING if reading_only else READING | CHANGING
        found = getattr(self._driver, method, None)
        if method not in known or found is None:
            raise exception.InvalidRequest(
                reason=f'this service has no method {method[:40]!r}')
        keywords = _decoded(method, arguments)
        if _PROGRESS in types_of(method):
            keywords[_PROGRESS] = progress
        return converter().unstructure(found(**keywords))


def encoded(
        method: str, args: tuple[Any, ...],
        keywords: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of a method as plain JSON types.

    :raises TypeError: it does not take these, or they cannot be sent
    """
    bound = inspect.signature(_function(method)).bind(
        None, *args, **keywords).arguments
    types = types_of(method)
    made = {}
    for name, value in list(bound.items())[1:]:
        if name not in types or name in _NOT_SENT:
            raise TypeError(f'{name} of {method} cannot be sent')
        if types[name] in (instance_spec.Instance, guest_spec.Described) and (
                not isinstance(value, guest_spec.GuestSpec)
                or types[name] is instance_spec.Instance):
            value = instance_spec.InstanceRef(value.uuid, value.name)
        made[name] = converter().unstructure(value)
    return made


def result(method: str, answer: Any) -> Any:
    """Return what a method returns, of its own types again."""
    kind = types_of(method).get('return', type(None))
    return None if kind is type(None) else _structured(answer, kind)


@functools.cache
def types_of(method: str) -> dict[str, Any]:
    """Return the types of a method's arguments, and of what it returns."""
    return typing.get_type_hints(_function(method))


def _decoded(method: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
    types = types_of(method)
    parameters = inspect.signature(_function(method)).parameters
    made = {}
    for name, value in arguments.items():
        if name not in types or name in _NOT_SENT or name == 'return':
            raise exception.InvalidRequest(
                reason=f'{method} takes no {name[:40]!r} from afar')
        made[name] = _structured(value, types[name])
    missing = [name for name, one in parameters.items() if name != 'self'
               and one.default is one.empty and name not in made]
    if missing:
        raise exception.InvalidRequest(
            reason=f'{method} needs {", ".join(missing)}')
    return made


def _structured(value: Any, kind: Any) -> Any:
    if kind is instance_spec.Instance:
        kind = instance_spec.InstanceRef
    elif kind == guest_spec.Described:
        is_whole = isinstance(value, dict) and 'storage' in value
        kind = guest_spec.GuestSpec if is_whole else instance_spec.InstanceRef
    try:
        return records.structure(value, kind, converter())
    except (TypeError, ValueError) as error:
        raise exception.InvalidRequest(reason=str(error)) from error


def _function(method: str) -> Callable[..., Any]:
    # It brings libvirt.
    from nova_libvirt_driver import driver

    found: Callable[..., Any] = getattr(driver.LibvirtDriver, method)
    return found


@functools.cache
def converter() -> 'cattrs.Converter':
    """Return what makes JSON of values and the other way, bytes included."""
    made = records.converter().copy()
    made.register_unstructure_hook(
        bytes, lambda value: base64.b64encode(value).decode('ascii'))
    made.register_structure_hook(
        bytes, lambda value, kind: base64.b64decode(value, validate=True))
    return made
