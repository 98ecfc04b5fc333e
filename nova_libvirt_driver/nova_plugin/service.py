# SPDX-License-Identifier: Apache-2.0

"""The compute service's record and its notifications, kept by Nova."""

from collections.abc import Mapping
from typing import Any

from nova import context as nova_context
from nova import exception as nova_exception
from nova import objects
from nova import rpc
from oslo_log import log as logging

LOG = logging.getLogger(__name__)

MARK = 'AUTO: '
"""How a reason begins that was written by a driver and not by a person;
Nova's own driver uses the same, so that each can undo the other's."""


class NovaNotifier:
    """Sends notifications on Nova's bus.

    :param host: name of this compute host
    """

    def __init__(self, host: str) -> None:
        self._host = host

    def error(self, event_type: str, payload: Mapping[str, object]) -> None:
        """Send one with priority *error*."""
        self._send('error', event_type, payload)

    def info(self, event_type: str, payload: Mapping[str, object]) -> None:
        """Send one with priority *info*."""
        self._send('info', event_type, payload)

    def _send(self, priority: str, event_type: str,
              payload: Mapping[str, object]) -> None:
        try:
            notifier = rpc.get_notifier('compute', self._host)
            getattr(notifier, priority)(
                nova_context.get_admin_context(), event_type, dict(payload))
        except Exception as error:
            LOG.warning('Notification %s was not sent: %s', event_type,
                        error)


class NovaServiceState:
    """Enables and disables the service's record.

    :param virtapi: Nova's, which keeps placement's trait in step
    """

    def __init__(self, virtapi: Any) -> None:
        self._virtapi = virtapi
        # Whether placement has still to be told of the record.
        self._untold = False

    def set_host_enabled(
            self, host: str, *, enabled: bool, reason: str) -> None:
        """Make the record agree with the connection to libvirt.

        What an operator has disabled stays, and its reason too. Whatever
        Nova raises goes on to the caller, who tries again later.
        """
        context = nova_context.get_admin_context()
        try:
            service = objects.Service.get_by_compute_host(context, host)
            if _marked(service, enabled=enabled, reason=reason):
                # Before it is saved: without an answer, it may be all the
                # same, and is found right the next time.
                self._untold = True
                service.save()
            if self._untold:
                self._virtapi.update_compute_provider_status(
                    context, service.compute_node.uuid,
                    enabled=not service.disabled)
                self._untold = False
        except nova_exception.ComputeHostNotFound:
            LOG.info('Host %s has no service record yet.', host)


def _marked(service: Any, *, enabled: bool, reason: str) -> bool:
    """Change the record; say whether there was anything to change."""
    ours = (service.disabled_reason or '').startswith(MARK)
    if enabled:
        if not (service.disabled and ours):
            return False
        service.disabled, service.disabled_reason = False, None
        return True
    if service.disabled:
        return False
    service.disabled = True
    service.disabled_reason = f'{MARK}{reason}'[:255]
    return True
