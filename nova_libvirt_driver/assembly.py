# SPDX-License-Identifier: Apache-2.0

"""Where the parts of a driver are made and joined.

The only place of the driver that reads the configuration.
"""

import dataclasses
from typing import Protocol
from typing import TYPE_CHECKING

from oslo_config import cfg

from nova_libvirt_driver.calls import calls as calls_module
from nova_libvirt_driver import conf
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
from nova_libvirt_driver.guest import secrets as secrets_module
from nova_libvirt_driver.guest import statistics_cache as statistics_module
from nova_libvirt_driver.host import capabilities as capabilities_module
from nova_libvirt_driver.host import facts as facts_module
from nova_libvirt_driver.host import offers as offers_module
from nova_libvirt_driver.host import resources
from nova_libvirt_driver import ports

if TYPE_CHECKING:
    from nova_libvirt_driver.operations import operations as operations_module
    from nova_libvirt_driver.storage import storage as storage_module
    from nova_libvirt_driver.volumes import host as volumes_module

CONF = cfg.CONF


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


def build(driver: Driver, virtapi: object) -> Parts:
    """Make the parts of one driver; opens nothing.

    :param virtapi: ports of the hosting service; what has no such ports
        counts as none
    """
    conf.register_opts(CONF)
    settings = _settings()
    if not isinstance(virtapi, ports.VirtAPI):
        virtapi = _alone(settings.host)
    calls = calls_module.make(
        host=settings.host, limit=CONF.nova_libvirt_driver.native_threads)
    events = events_module.build(driver)
    link = link_module.Link(
        driver, settings, calls, events, virtapi.notifier)
    statistics, inventory = _looks(link, events.router)
    facts = facts_module.Facts(link)
    guests = guests_module.Guests(link)
    capabilities = capabilities_module.Capabilities(link, facts)
    storage = _storage(capabilities, facts, settings)
    secrets = secrets_module.Secrets(link)
    volumes = _volumes(settings.host, secrets, guests)
    operations = _operations(
        storage, guests, capabilities, events, statistics, volumes, virtapi)
    events.waits.listener = operations.recovery.notice
    link.attempts.when_connected(operations.recovery.wake)
    return Parts(
        virtapi=virtapi, calls=calls, link=link, inventory=inventory,
        facts=facts,
        offers=offers_module.Offers(
            link, facts, capabilities, policy_module.guest(CONF)),
        audit=resources.Audit(
            link.supervisor, facts, inventory, storage.survey,
            memory_mib=CONF.libvirt.file_backed_memory),
        guests=guests, secrets=secrets, storage=storage, volumes=volumes,
        operations=operations)


def _looks(
        link: link_module.Link, router: router_module.Router,
) -> tuple[statistics_module.StatisticsCache, inventory_module.Inventory]:
    bulk = bulk_module.Bulk(link)
    statistics = statistics_module.StatisticsCache(
        link, router, bulk, CONF.nova_libvirt_driver.stats_max_age)
    return statistics, inventory_module.Inventory(
        link, router, bulk, statistics)


def _settings() -> settings_module.Settings:
    own = CONF.nova_libvirt_driver
    return settings_module.Settings(
        host=CONF.host,
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
        capabilities: capabilities_module.Capabilities,
        facts: facts_module.Facts,
        settings: settings_module.Settings) -> 'storage_module.Storage':
    # Storage and operations are half of what there is to load; a service that
    # looks for its driver, and a command that makes none, do without.
    from nova_libvirt_driver.storage import storage as storage_module
    return storage_module.build(
        policy_module.storage(CONF),
        group_id=lambda: capabilities.get(
            virt_type=CONF.libvirt.virt_type).qemu_gid,
        identity=facts.identity, look_timeout_s=settings.look_timeout_s,
        survey_max_age_s=CONF.nova_libvirt_driver.stats_max_age)


def _volumes(
        host: str, secrets: secrets_module.Secrets,
        guests: guests_module.Guests) -> 'volumes_module.HostVolumes':
    from nova_libvirt_driver.volumes import host as volumes_module
    from nova_libvirt_driver.volumes import records
    return volumes_module.HostVolumes(
        records.Records(CONF.instances_path, host), secrets,
        guests.definitions)


def _operations(
        storage: 'storage_module.Storage', guests: guests_module.Guests,
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
        policy=policy_module.guest(CONF),
        serial_ports=policy_module.serial_ports(CONF),
        job_timeout_s=CONF.nova_libvirt_driver.job_timeout,
        soft_reboot_timeout_s=CONF.libvirt.wait_soft_reboot_seconds,
        patience=detaching.Patience(
            CONF.libvirt.device_detach_attempts,
            CONF.libvirt.device_detach_timeout))


def uri() -> str:
    """Return the configured URI, or the default for the kind of guests."""
    return str(CONF.libvirt.connection_uri or settings_module.default_uri(
        CONF.libvirt.virt_type))


def my_ip() -> str:
    """Return the configured address of this host."""
    return str(CONF.my_ip)


def _alone(host: str) -> ports.VirtAPI:
    """Return ports for a driver that no compute service hosts."""
    from nova_libvirt_driver.messaging import notifier
    return ports.VirtAPI(
        notifier=notifier.OsloNotifier(host, CONF),
        service_state=ports.NullServiceState())
