# SPDX-License-Identifier: Apache-2.0

"""The verbs that are measured, for each subject, on the guests of a herd.

What needs Nova's database is answered from memory. Each verb returns a number
that shows whether all subjects have done the same.
"""

from collections.abc import Callable
from collections.abc import Mapping
import contextlib
import dataclasses
import datetime
import gc
import time
import tracemalloc
from typing import Any
from typing import TypeAlias

import libvirt
from oslo_config import cfg

from benchmarks import nova_guests
from nova_libvirt_driver.calls import runtime

Verb: TypeAlias = Callable[[], float]
Table: TypeAlias = Mapping[str, Verb]

AUDIT = 'get_available_resource'
SYNC = 'power-state sync'
CONTRACT = (
    AUDIT, 'update_provider_tree', 'list_instances', 'list_instance_uuids',
    'get_num_instances', SYNC, 'get_all_volume_usage', 'get_host_cpu_stats',
    'get_diagnostics', 'get_instance_diagnostics')
"""The verbs of drivers; the last two are called for every guest."""

PER_GUEST = (SYNC, 'get_diagnostics', 'get_instance_diagnostics')
"""Of these the ones that are many calls of the driver."""

LIMIT = 'stats: state, vcpu, balloon'
LIMIT_OF_ALL = 'stats: all groups'
LIMIT_OF_STATES = 'stats: state'
LIMITS = {
    LIMIT: (libvirt.VIR_DOMAIN_STATS_STATE | libvirt.VIR_DOMAIN_STATS_VCPU
            | libvirt.VIR_DOMAIN_STATS_BALLOON),
    LIMIT_OF_ALL: 0,
    LIMIT_OF_STATES: libvirt.VIR_DOMAIN_STATS_STATE,
}
"""One plain call of libvirt each, with these groups."""

_NODE_UUID = '3f9d2c5e-7a61-4a0a-9b1d-5a4a3d9b6c10'
_RUNNING = 1


@dataclasses.dataclass(frozen=True, slots=True)
class Bench:
    """A subject that is ready."""

    table: Table
    init_s: float
    """How long it took to connect, and to get to know the guests."""
    look: Callable[[int, bool], object] | None = None
    """Ask for the state of a guest; given are its number, and whether events
    may answer."""
    before_bytes: int = 0
    """What Python's objects took before it connected, if that is traced."""


class Instance:
    """An instance as the driver wants it that no Nova hosts."""

    def __init__(self, number: int) -> None:
        self.uuid = nova_guests.uuid_of(number)
        self.name = nova_guests.name_of(number)


def plain(path: str, guests: int) -> Bench:
    """Return the calls of libvirt alone."""
    options = _options()
    options(['--config-file', path], project='benchmarks')
    start_s = time.perf_counter()
    connection = libvirt.open(options.libvirt.connection_uri)
    connection.getAllDomainStats(libvirt.VIR_DOMAIN_STATS_STATE, 0)
    init_s = time.perf_counter() - start_s
    pool = _pool()
    uuids = [nova_guests.uuid_of(number + 1) for number in range(guests)]

    def verb(groups: int) -> Verb:
        return lambda: len(pool(connection.getAllDomainStats, groups, 0))

    def look(number: int, use_cache: bool) -> object:
        return pool(lambda: connection.lookupByUUIDString(
            uuids[number % guests]).state(0))

    return Bench({name: verb(groups) for name, groups in LIMITS.items()},
                 init_s, look)


def _pool() -> Callable[..., Any]:
    """Return what makes a call of libvirt, off the hub if there is one."""
    if not runtime.in_eventlet_process():
        return lambda function, *arguments: function(*arguments)
    from eventlet import tpool
    execute: Callable[..., Any] = tpool.execute
    return execute


def _options() -> cfg.ConfigOpts:
    options = cfg.ConfigOpts()
    options.register_opt(cfg.StrOpt('connection_uri'), 'libvirt')
    return options


def alone(path: str, guests: int) -> Bench:
    """Return the verbs of the driver without Nova."""
    from nova_libvirt_driver import conf
    from nova_libvirt_driver import driver as driver_module

    conf.register_opts(cfg.CONF)
    cfg.CONF(['--config-file', path], project='benchmarks')
    driver = driver_module.LibvirtDriver()
    instances = [Instance(number + 1) for number in range(guests)]
    init_s, before_bytes = _init(driver)
    node = driver.get_available_nodes()[0]
    return Bench({
        AUDIT: lambda: driver.get_available_resource(node).vcpus_used,
        'list_instances': lambda: len(driver.list_instances()),
        'list_instance_uuids': lambda: len(driver.list_instance_uuids()),
        'get_num_instances': driver.get_num_instances,
        SYNC: lambda: _sync(driver, instances),
        'get_host_cpu_stats': lambda: bool(driver.get_host_cpu_times()),
        'get_diagnostics': lambda: _each(driver.get_diagnostics, instances),
    }, init_s, _looker(driver, instances), before_bytes)


def ours(path: str, guests: int) -> Bench:
    """Return the verbs of the driver under Nova."""
    start_nova(path)
    from nova_libvirt_driver.nova_plugin import driver as driver_module
    return _of_nova(driver_module.NovaLibvirtDriver(None), guests)


def in_tree(path: str, guests: int) -> Bench:
    """Return the verbs of Nova's own driver."""
    return _of_nova(in_tree_driver(path), guests)


def in_tree_driver(path: str) -> Any:
    """Return Nova's own driver."""
    start_nova(path)
    import nova.privsep
    from nova.virt.libvirt import driver as driver_module

    # As root, within this process.
    nova.privsep.sys_admin_pctxt.set_client_mode(False)
    return driver_module.LibvirtDriver(None)


BENCHES: Mapping[str, Callable[[str, int], Bench]] = {
    'libvirt': plain, 'alone': alone, 'ours': ours, 'in-tree': in_tree}


def start_nova(path: str) -> None:
    """Do what nova-compute does before it loads a driver."""
    from nova import config
    from nova import exception
    from nova import objects

    import nova.conf

    objects.register_all()
    config.parse_args(['nova', '--config-file', path],
                      default_config_files=[path], configure_db=False,
                      init_rpc=False)
    nova.conf.neutron.register_dynamic_opts(nova.conf.CONF)

    def no_service(context: object, host: str) -> None:
        raise exception.ComputeHostNotFound(host=host)

    for kind, name, answer in (
            (objects.Service, 'get_by_compute_host', no_service),
            (objects.ComputeNode, 'get_by_nodename', lambda *given: (
                objects.ComputeNode(numa_topology=None))),
            (objects.InstanceList, 'get_by_filters',
             lambda *given, **more: objects.InstanceList(objects=[])),
            (objects.BlockDeviceMappingList, 'bdms_by_instance_uuid',
             lambda *given, **more: {})):
        setattr(kind, name, staticmethod(answer))


def _of_nova(driver: Any, guests: int) -> Bench:
    from nova import context as nova_context

    context = nova_context.get_admin_context()
    instances = [_instance(context, number + 1) for number in range(guests)]
    bdms = [_bdms(context, number + 1, instance)
            for number, instance in enumerate(instances)]
    init_s, before_bytes = _init(driver)
    node = driver.get_available_nodes()[0]
    return Bench({
        AUDIT: lambda: driver.get_available_resource(node)['vcpus_used'],
        'update_provider_tree': lambda: _tell_placement(driver, node),
        'list_instances': lambda: len(driver.list_instances()),
        'list_instance_uuids': lambda: len(driver.list_instance_uuids()),
        'get_num_instances': driver.get_num_instances,
        SYNC: lambda: _sync(driver, instances),
        'get_all_volume_usage': lambda: len(
            driver.get_all_volume_usage(context, bdms)),
        'get_host_cpu_stats': lambda: len(driver.get_host_cpu_stats()),
        'get_diagnostics': lambda: _each(driver.get_diagnostics, instances),
        'get_instance_diagnostics': lambda: _each(
            driver.get_instance_diagnostics, instances),
    }, init_s, _looker(driver, instances), before_bytes)


def _init(driver: Any) -> tuple[float, int]:
    before_bytes = traced_bytes()
    start_s = time.perf_counter()
    driver.init_host('bench')
    return time.perf_counter() - start_s, before_bytes


def traced_bytes() -> int:
    """Return what Python's objects take; 0 when that is not traced."""
    gc.collect()
    return tracemalloc.get_traced_memory()[0]


def _looker(
        driver: Any,
        instances: list[Any]) -> Callable[[int, bool], object]:
    return lambda number, use_cache: driver.get_info(
        instances[number % len(instances)], use_cache)


def _sync(driver: Any, instances: list[Any]) -> float:
    """Look at all guests as the compute manager does; count who runs."""
    driver.get_num_instances()
    states = []
    for instance in instances:
        states.append(int(driver.get_info(instance).state))
        _let_others()
    return states.count(_RUNNING)


def _each(verb: Callable[[Any], object], instances: list[Any]) -> float:
    for instance in instances:
        # Nova's own driver has no word for a guest that is off.
        with contextlib.suppress(KeyError):
            verb(instance)
        _let_others()
    return len(instances)


def _let_others() -> None:
    """Let other greenlets run between two calls, as Nova does."""
    if runtime.in_eventlet_process():
        time.sleep(0)


def _tell_placement(driver: Any, node: str) -> float:
    from nova.compute import provider_tree

    tree = provider_tree.ProviderTree()
    tree.new_root(node, _NODE_UUID)
    driver.update_provider_tree(tree, node)
    return len(tree.data(node).inventory)


def _instance(context: Any, number: int) -> Any:
    from nova.network import model as network_model
    from nova import objects

    uuid = nova_guests.uuid_of(number)
    return objects.Instance(
        context, id=number, uuid=uuid, host='bench',
        info_cache=objects.InstanceInfoCache(
            context, instance_uuid=uuid,
            network_info=network_model.NetworkInfo()),
        config_drive='', system_metadata={}, image_ref=nova_guests.IMAGE_ID,
        project_id='c' * 32, user_id='b' * 32, launched_at=_long_ago())


def _long_ago() -> datetime.datetime:
    return datetime.datetime(2026, 11, 1, tzinfo=datetime.UTC)


def _bdms(context: Any, number: int, instance: Any) -> dict[str, Any]:
    from nova import objects

    volume = nova_guests.volume_of(number)
    return {'instance': instance, 'instance_bdms': [
        objects.BlockDeviceMapping(
            context, id=number, instance_uuid=instance.uuid,
            device_name='/dev/vdb', volume_id=volume, source_type='volume',
            destination_type='volume', connection_info=None)]}
