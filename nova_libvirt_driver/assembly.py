# SPDX-License-Identifier: Apache-2.0

"""Where the parts of a driver are made and joined.

The only place of the driver that reads the configuration.
"""

from collections.abc import Callable
from collections.abc import Iterable
import dataclasses
from typing import Protocol
from typing import TYPE_CHECKING

from oslo_config import cfg

from nova_libvirt_driver import conf
from nova_libvirt_driver.conf import policy as policy_module
from nova_libvirt_driver.connection import auth
from nova_libvirt_driver.connection import calls as calls_module
from nova_libvirt_driver.connection import channels as channels_module
from nova_libvirt_driver.connection import dispatcher as dispatcher_module
from nova_libvirt_driver.connection import herald as herald_module
from nova_libvirt_driver.connection import inbox as inbox_module
from nova_libvirt_driver.connection import lifecycle as lifecycle_module
from nova_libvirt_driver.connection import link as link_module
from nova_libvirt_driver.connection import opener as opener_module
from nova_libvirt_driver.connection import protocol
from nova_libvirt_driver.connection import quarantine
from nova_libvirt_driver.connection import recheck as recheck_module
from nova_libvirt_driver.connection import router as router_module
from nova_libvirt_driver.connection import settings as settings_module
from nova_libvirt_driver.connection import subscription
from nova_libvirt_driver.connection import supervisor as supervisor_module
from nova_libvirt_driver.guest import bulk as bulk_module
from nova_libvirt_driver.guest import guests as guests_module
from nova_libvirt_driver.guest import inventory as inventory_module
from nova_libvirt_driver.guest import restarts as restarts_module
from nova_libvirt_driver.guest import secrets as secrets_module
from nova_libvirt_driver.guest import snapshots as snapshots_module
from nova_libvirt_driver.host import capabilities as capabilities_module
from nova_libvirt_driver.host import facts as facts_module
from nova_libvirt_driver.host import offers as offers_module
from nova_libvirt_driver.host import resources
from nova_libvirt_driver import ports
from nova_libvirt_driver.spec import event
from nova_libvirt_driver.storage import survey as survey_module

if TYPE_CHECKING:
    from nova_libvirt_driver import verbs as verbs_module

CONF = cfg.CONF

_DISK_THREADS = 8
"""How many may hang in file systems that do not answer."""
_DISK_SHARE = 0.25
"""Of eventlet's thread pool; half of it is for calls into libvirt."""


class Seams(Protocol):
    """The driver's methods that its own parts call."""

    read_only: bool

    def uri(self) -> str: ...

    def get_host_ip_addr(self) -> str: ...

    def set_host_enabled(self, host: str, enabled: bool) -> None: ...

    def emit_event(self, event: event.LifecycleEvent) -> None: ...

    def _connect(
            self, uri: str, read_only: bool) -> protocol.Connection: ...

    def _get_new_connection(self) -> protocol.Connection: ...

    def _test_connection(self, conn: protocol.Connection) -> bool: ...

    def _event_lifecycle_callback(
            self, conn: object, dom: protocol.Domain, event: int,
            detail: int, opaque: object) -> None: ...


@dataclasses.dataclass(frozen=True, slots=True)
class Parts:
    """What a driver is made of."""

    host: str
    my_ip: Callable[[], str]
    uri: Callable[[], str]
    virtapi: ports.VirtAPI
    calls: calls_module.Calls
    link: link_module.Link
    dispatcher: dispatcher_module.Dispatcher
    inbox: inbox_module.Inbox
    lifecycle: lifecycle_module.Lifecycle
    opener: opener_module.Opener
    supervisor: supervisor_module.Supervisor
    recheck: recheck_module.Recheck
    inventory: inventory_module.Inventory
    facts: facts_module.Facts
    offers: offers_module.Offers
    audit: resources.Audit
    guests: guests_module.Guests
    verbs: 'verbs_module.Verbs'


def build(seams: Seams, virtapi: object) -> Parts:
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
    # Late bound, like everything of the driver that its parts call.
    dispatcher = dispatcher_module.Dispatcher(
        lambda item: seams.emit_event(item))
    restarts = restarts_module.Restarts(dispatcher.put)
    router = router_module.Router(restarts.take)
    inbox = inbox_module.make()
    herald = herald_module.Herald()
    outage = opener_module.Outage(
        virtapi.notifier, herald, lambda: seams.get_host_ip_addr())
    opener = opener_module.Opener(settings, calls, outage)
    supervisor = supervisor_module.Supervisor(
        _hooks(seams, settings.host, lambda: (recheck, verbs.recovery)),
        settings,
        supervisor_module.Plumbing(
            calls=calls, outage=outage, router=router, herald=herald,
            subscriptions=subscription.Subscriptions(
                lambda: seams._event_lifecycle_callback, inbox)))
    recheck = recheck_module.Recheck(supervisor, router)
    link = _link(seams, supervisor, opener, calls, settings)
    snapshots, inventory = _looks(link, router)
    facts = facts_module.Facts(link)
    guests = guests_module.Guests(link)
    capabilities = capabilities_module.Capabilities(link, facts)
    verbs = _verbs(
        guests, capabilities, restarts, snapshots, router.touch,
        secrets_module.Secrets(link))
    return Parts(
        host=settings.host, my_ip=lambda: str(CONF.my_ip), uri=_uri,
        virtapi=virtapi, calls=calls, link=link, dispatcher=dispatcher,
        inbox=inbox, opener=opener,
        lifecycle=lifecycle_module.Lifecycle(inbox, router),
        supervisor=supervisor, recheck=recheck, inventory=inventory,
        facts=facts,
        offers=offers_module.Offers(
            link, facts, capabilities, policy_module.guest(CONF)),
        audit=resources.Audit(
            supervisor, facts, inventory, _survey(settings),
            memory_mib=CONF.libvirt.file_backed_memory),
        guests=guests, verbs=verbs)


def _link(
        seams: Seams, supervisor: supervisor_module.Supervisor,
        opener: opener_module.Opener, calls: calls_module.Calls,
        settings: settings_module.Settings) -> link_module.Link:
    return link_module.Link(
        supervisor, channels_module.Channels(
            lambda: opener.open_raw(seams.uri(), read_only=seams.read_only),
            calls, settings),
        quarantine.Quarantine(), settings.host, settings.look_timeout_s)


def _looks(
        link: link_module.Link, router: router_module.Router,
) -> tuple[snapshots_module.Snapshots, inventory_module.Inventory]:
    bulk = bulk_module.Bulk(link)
    snapshots = snapshots_module.Snapshots(
        link, router, bulk, CONF.nova_libvirt_driver.stats_max_age)
    return snapshots, inventory_module.Inventory(
        link, router, bulk, snapshots)


def _survey(settings: settings_module.Settings) -> survey_module.Survey:
    # Calls of its own: a disk that hangs keeps no thread from libvirt.
    return survey_module.Survey(
        CONF.instances_path,
        calls_module.make(
            host=settings.host, limit=_DISK_THREADS, share=_DISK_SHARE),
        timeout_s=settings.look_timeout_s,
        max_age_s=CONF.nova_libvirt_driver.stats_max_age)


class _Sleeper(Protocol):
    def wake(self) -> None: ...


def _hooks(
        seams: Seams, host: str,
        sleepers: Callable[[], Iterable[_Sleeper]]
) -> supervisor_module.Hooks:
    """Return what the supervisor calls.

    :param sleepers: those who are woken when there is a connection
    """
    def wake() -> None:
        for one in sleepers():
            one.wake()

    return supervisor_module.Hooks(
        connect=lambda: seams._connect(seams.uri(), seams.read_only),
        get_new_connection=lambda: seams._get_new_connection(),
        test_connection=lambda conn: seams._test_connection(conn),
        set_host_enabled=lambda enabled: seams.set_host_enabled(
            host, enabled),
        uri=lambda: seams.uri(), connected=wake)


def _settings() -> settings_module.Settings:
    own = CONF.nova_libvirt_driver
    return settings_module.Settings(
        host=CONF.host,
        credentials=auth.Credentials(
            own.auth_username, own.auth_password, own.auth_realm),
        keepalive_interval_s=own.keepalive_interval,
        keepalive_count=own.keepalive_count,
        connect_timeout_s=own.connect_timeout,
        reconnect_interval_s=own.reconnect_interval,
        reconnect_interval_max_s=own.reconnect_interval_max,
        service_down_grace_s=own.service_down_grace,
        look_timeout_s=own.look_timeout,
        call_timeout_s=own.call_timeout)


def _verbs(
        guests: guests_module.Guests,
        capabilities: capabilities_module.Capabilities,
        restarts: restarts_module.Restarts,
        snapshots: snapshots_module.Snapshots,
        touched: Callable[[str], None],
        secrets: secrets_module.Secrets) -> 'verbs_module.Verbs':
    # Half of what there is to load; a service that looks for its driver, and
    # a command that makes none, do without.
    from nova_libvirt_driver.operations.steps import files as files_module
    from nova_libvirt_driver import verbs as verbs_module
    return verbs_module.build(verbs_module.Link(
        guests=guests, capabilities=capabilities, restarts=restarts,
        snapshots=snapshots, touched=touched, secrets=secrets,
    ), verbs_module.Settings(
        host=CONF.host, my_address=str(CONF.my_ip),
        policies=files_module.Policies(
            policy_module.guest(CONF), policy_module.storage(CONF)),
        serial_ports=policy_module.serial_ports(CONF),
        job_timeout_s=CONF.nova_libvirt_driver.job_timeout,
        soft_reboot_timeout_s=CONF.libvirt.wait_soft_reboot_seconds))


def _uri() -> str:
    return str(CONF.libvirt.connection_uri or settings_module.default_uri(
        CONF.libvirt.virt_type))


def _alone(host: str) -> ports.VirtAPI:
    """Return ports for a driver that no compute service hosts."""
    from nova_libvirt_driver.compute import notifier
    return ports.VirtAPI(
        notifier=notifier.OsloNotifier(host),
        service_state=ports.NullServiceState())
