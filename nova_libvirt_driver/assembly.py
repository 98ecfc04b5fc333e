# SPDX-License-Identifier: Apache-2.0

"""Where the parts of a driver are created and joined.

The only place of the driver that reads the configuration.
"""

from collections.abc import Callable
import dataclasses
from typing import Protocol
from typing import TYPE_CHECKING

from oslo_config import cfg

from nova_libvirt_driver.calls import calls as calls_module
from nova_libvirt_driver.conf import policy as policy_module
from nova_libvirt_driver.connection import attempts
from nova_libvirt_driver.connection import link as link_module
from nova_libvirt_driver.connection import settings as settings_module
from nova_libvirt_driver.events import events as events_module
from nova_libvirt_driver.events import router as router_module
from nova_libvirt_driver.guest import bulk as bulk_module
from nova_libvirt_driver.guest import detaching
from nova_libvirt_driver.guest import guests as guests_module
from nova_libvirt_driver.guest import inventory as inventory_module
from nova_libvirt_driver.guest import reach
from nova_libvirt_driver.guest import secrets as secrets_module
from nova_libvirt_driver.guest import statistics_cache as statistics_module
from nova_libvirt_driver.host import capabilities as capabilities_module
from nova_libvirt_driver.host import facts as facts_module
from nova_libvirt_driver.host import offers as offers_module
from nova_libvirt_driver.host import resources
from nova_libvirt_driver import ports
from nova_libvirt_driver.spec import instance as instance_spec

if TYPE_CHECKING:
    from nova_libvirt_driver.operations import operations as operations_module
    from nova_libvirt_driver.storage import storage as storage_module
    from nova_libvirt_driver.volumes import host as volumes_module

_FOLDER_LOOKS = 2
"""How many looks at folders of other services may hang."""
_SHARE = 0.1
"""Of eventlet's thread pool, for these."""


class Driver(events_module.Driver, attempts.Driver, Protocol):
    """The driver's methods that its own parts call."""


@dataclasses.dataclass(frozen=True, slots=True)
class Parts:
    """What a driver is made of."""

    virtapi: ports.VirtAPI
    calls: calls_module.Calls
    link: link_module.Link
    inventory: inventory_module.Inventory
    facts: facts_module.Facts
    offers: offers_module.Offers
    audit: resources.Audit
    guests: guests_module.Guests
    secrets: secrets_module.Secrets
    storage: 'storage_module.Storage'
    volumes: 'volumes_module.HostVolumes'
    operations: 'operations_module.Operations'


def build(
        driver: Driver, virtapi: object, config: cfg.ConfigOpts) -> Parts:
    """Make the parts of one driver; opens nothing.

    :param virtapi: ports of the hosting service; what has no such ports
        counts as none
    """
    settings = _settings(config)
    if not isinstance(virtapi, ports.VirtAPI):
        virtapi = _alone(config)
    calls = calls_module.make(
        host=settings.host, limit=config.nova_libvirt_driver.native_threads)
    events = events_module.build(driver)
    link = link_module.Link(
        driver, settings, calls, events, virtapi.notifier)
    facts = facts_module.Facts(link)
    ownership = reach.Ownership(
        '' if virtapi.knows_instances else config.instances_path,
        calls_module.make(host=settings.host, limit=_FOLDER_LOOKS,
                          share=_SHARE))
    guests = guests_module.Guests(link, ownership)
    capabilities = capabilities_module.Capabilities(link, facts)
    storage = _storage(
        config, capabilities, facts, settings,
        None if virtapi.knows_instances else guests.definition)
    statistics, inventory = _looks(
        link, events.router, storage.survey.rescued, ownership,
        max_age_s=config.nova_libvirt_driver.stats_max_age)
    secrets = secrets_module.Secrets(link)
    volumes = _volumes(config, secrets, guests)
    operations = _operations(
        config, storage, guests, capabilities, events, statistics, volumes,
        virtapi)
    events.waits.listener = operations.recovery.notice
    link.attempts.when_connected(operations.recovery.wake)
    return Parts(
        virtapi=virtapi, calls=calls, link=link, inventory=inventory,
        facts=facts,
        offers=offers_module.Offers(
            link, facts, capabilities, policy_module.guest(config)),
        audit=resources.Audit(
            link, facts, inventory, storage.survey.take,
            memory_mib=config.libvirt.file_backed_memory),
        guests=guests, secrets=secrets, storage=storage, volumes=volumes,
        operations=operations)


def _looks(
        link: link_module.Link, router: router_module.Router,
        rescued: Callable[[], frozenset[str]],
        ownership: reach.Ownership, *, max_age_s: float,
) -> tuple[statistics_module.StatisticsCache, inventory_module.Inventory]:
    bulk = bulk_module.Bulk(link)
    statistics = statistics_module.StatisticsCache(
        link, router, bulk, max_age_s)
    return statistics, inventory_module.Inventory(
        link, router, bulk, statistics, rescued, ownership)


def _settings(config: cfg.ConfigOpts) -> settings_module.Settings:
    own = config.nova_libvirt_driver
    return settings_module.Settings(
        host=config.host,
        credentials=settings_module.Credentials(
            own.auth_username, own.auth_password, own.auth_realm),
        keepalive_interval_s=own.keepalive_interval,
        keepalive_count=own.keepalive_count,
        connect_timeout_s=own.connect_timeout,
        reconnect_interval_s=own.reconnect_interval,
        reconnect_interval_max_s=own.reconnect_interval_max,
        service_down_grace_s=own.service_down_grace,
        look_timeout_s=own.look_timeout,
        call_timeout_s=own.call_timeout, job_timeout_s=own.job_timeout)


def _storage(
        config: cfg.ConfigOpts,
        capabilities: capabilities_module.Capabilities,
        facts: facts_module.Facts,
        settings: settings_module.Settings,
        domain_xml: Callable[[instance_spec.Instance], str] | None,
) -> 'storage_module.Storage':
    # Storage and operations are half of what there is to load; a service that
    # looks for its driver, and a command that makes none, do without.
    from nova_libvirt_driver.storage import storage as storage_module
    return storage_module.build(
        policy_module.storage(config),
        group_id=lambda: capabilities.get(
            virt_type=config.libvirt.virt_type).qemu_gid,
        identity=facts.identity, look_timeout_s=settings.look_timeout_s,
        survey_max_age_s=config.nova_libvirt_driver.stats_max_age,
        domain_xml=domain_xml)


def _volumes(
        config: cfg.ConfigOpts, secrets: secrets_module.Secrets,
        guests: guests_module.Guests) -> 'volumes_module.HostVolumes':
    from nova_libvirt_driver.volumes import host as volumes_module
    from nova_libvirt_driver.volumes import records
    return volumes_module.HostVolumes(
        records.Records(config.instances_path, config.host), secrets,
        guests.definitions)


def _operations(
        config: cfg.ConfigOpts, storage: 'storage_module.Storage',
        guests: guests_module.Guests,
        capabilities: capabilities_module.Capabilities,
        events: events_module.Events,
        statistics: statistics_module.StatisticsCache,
        volumes: 'volumes_module.HostVolumes', virtapi: ports.VirtAPI,
) -> 'operations_module.Operations':
    from nova_libvirt_driver.operations import operations as operations_module
    return operations_module.build(
        storage, guests, capabilities, events.restarts, statistics, volumes,
        touched=events.router.touch, attachments=virtapi.attachments,
        attachment=virtapi.attachment, connector=virtapi.volumes,
        home=virtapi.home,
        policy=policy_module.guest(config),
        serial_ports=policy_module.serial_ports(config),
        job_timeout_s=config.nova_libvirt_driver.job_timeout,
        soft_reboot_timeout_s=config.libvirt.wait_soft_reboot_seconds,
        patience=detaching.Patience(
            config.libvirt.device_detach_attempts,
            config.libvirt.device_detach_timeout),
        ways=policy_module.ways(config))


def uri(config: cfg.ConfigOpts) -> str:
    """Return the configured URI, or the default for the kind of guests."""
    return str(config.libvirt.connection_uri or settings_module.default_uri(
        config.libvirt.virt_type))


def _alone(config: cfg.ConfigOpts) -> ports.VirtAPI:
    """Return ports for a driver that no compute service hosts."""
    from nova_libvirt_driver.messaging import notifier
    return ports.VirtAPI(
        notifier=notifier.OsloNotifier(config.host, config),
        service_state=ports.NullServiceState())
