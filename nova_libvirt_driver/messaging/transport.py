# SPDX-License-Identifier: Apache-2.0

"""Makes oslo.messaging's transports from ``transport_url``.

Making one opens no connection. Errors name the option and never repeat the
URL, which may hold a password. Loads oslo.messaging only when used.
"""

from collections.abc import Callable
from typing import Any

from oslo_config import cfg

from nova_libvirt_driver import exception

EXCHANGE = 'nova-libvirt'
NOTIFICATIONS = 'oslo_messaging_notifications'
NOWHERE = 'fake:///'
LIBRARY_DEFAULT = 'rabbit://'


def for_rpc(conf: cfg.ConfigOpts, error_module: str) -> Any:
    """Return the transport of remote calls.

    :param error_module: name of the module whose errors may travel
    :raises InvalidConfiguration: transport_url makes no sense
    """
    from nova_libvirt_driver.messaging.library import oslo_messaging
    oslo_messaging.set_transport_defaults(control_exchange=EXCHANGE)
    return _checked('[DEFAULT] transport_url', lambda: (
        oslo_messaging.get_rpc_transport(
            conf, allowed_remote_exmods=[error_module])))


def for_notifications(conf: cfg.ConfigOpts) -> Any:
    """Return the transport of notifications; one to nowhere if none is set.

    :raises InvalidConfiguration: transport_url makes no sense
    """
    from nova_libvirt_driver.messaging.library import oslo_messaging
    # Also registers the options that are looked at next.
    nowhere = oslo_messaging.get_notification_transport(conf, url=NOWHERE)
    url = conf[NOTIFICATIONS].transport_url
    if not url and not is_set(conf):
        return nowhere
    option = f"[{NOTIFICATIONS if url else 'DEFAULT'}] transport_url"
    return _checked(option, lambda: (
        oslo_messaging.get_notification_transport(conf)))


def is_set(conf: cfg.ConfigOpts) -> bool:
    """Say whether ``[DEFAULT] transport_url`` has been set."""
    from nova_libvirt_driver.messaging.library import oslo_messaging
    # Registers the option; has no other effect.
    oslo_messaging.TransportURL.parse(conf, NOWHERE)
    location = conf.get_location('transport_url')
    if location is None or location.location in (
            cfg.Locations.opt_default, cfg.Locations.set_default):
        return False
    # An override that was cleared still counts as the value's origin.
    return bool(conf.transport_url != LIBRARY_DEFAULT)


def _checked(option: str, make: Callable[[], Any]) -> Any:
    try:
        return make()
    except Exception as error:
        raise exception.InvalidConfiguration(
            reason=f'{option}: {_without_url(error)}') from None


def _without_url(error: Exception) -> str:
    from nova_libvirt_driver.messaging.library import oslo_messaging
    if isinstance(error, oslo_messaging.DriverLoadFailure):
        return f'there is no transport driver {error.driver!r}'
    return 'it is not of the form driver://user:password@host:port/vhost'
