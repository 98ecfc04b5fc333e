# SPDX-License-Identifier: Apache-2.0

"""The ports of a server that is built, and the network service's word."""

from collections.abc import Callable
from collections.abc import Iterator
import contextlib
import sys
from typing import Any

from nova import exception as nova_exception
from nova.network import model as network_model
from oslo_log import log as logging

import nova.conf
from nova_libvirt_driver.nova_plugin import interfaces
from nova_libvirt_driver.spec import guest as guest_spec

CONF = nova.conf.CONF
LOG = logging.getLogger(__name__)


class NovaNetwork:
    """Plugs the ports of one instance.

    :param virtapi: Nova's
    :param network_info: may be on its way still; who looks at it waits
    :param complete: returns the whole guest; looks at that
    """

    def __init__(
            self, virtapi: Any, instance: Any, network_info: Any,
            complete: Callable[[], guest_spec.GuestSpec]) -> None:
        self._virtapi = virtapi
        self._instance = instance
        self._network_info = () if network_info is None else network_info
        self._complete = complete
        self._plugged = False

    def completed(self, spec: guest_spec.GuestSpec) -> guest_spec.GuestSpec:
        """Return the guest with its interfaces; waits for them."""
        return self._complete()

    @contextlib.contextmanager
    def connected(self) -> Iterator[bool]:
        """Plug the ports; leaving waits for the network service.

        Only here, since the time would count before in which the image is
        downloaded, and the word could have come already after it.

        :raises VirtualInterfaceCreateException: it has not come in time, and
            the configuration says that this is fatal
        """
        events = self._events()
        try:
            # The third argument was renamed between Nova 32 and 33.
            with (self._virtapi.wait_for_instance_event(
                self._instance, events, CONF.vif_plugging_timeout,
                error_callback=_refused) if events
                    else contextlib.nullcontext()):
                self._plugged = True
                interfaces.plug(self._instance, self._network_info)
                yield bool(events)
        except _timeouts() as error:
            if CONF.vif_plugging_is_fatal:
                raise nova_exception.VirtualInterfaceCreateException(
                ) from error
            LOG.warning('The network service has not plugged every port in '
                        'time; the guest runs on.', instance=self._instance)

    def disconnect(self) -> None:
        """Unplug what was plugged."""
        if self._plugged:
            interfaces.unplug(self._instance, self._network_info)

    def _events(self) -> list[tuple[str, str]]:
        if not CONF.vif_plugging_timeout:
            return []
        return [
            ('network-vif-plugged', vif['id']) for vif in self._network_info
            if vif.get('active', True) is False and vif['vnic_type'] != (
                network_model.VNIC_TYPE_REMOTE_MANAGED)]


def _timeouts() -> tuple[type[BaseException], ...]:
    """Return what tells that the word did not come in time."""
    kinds = (
        getattr(nova_exception, 'InstanceEventTimeout', None),
        # Of Nova 32 and before, which run on eventlet.
        getattr(sys.modules.get('eventlet'), 'Timeout', None))
    return tuple(kind for kind in kinds if kind is not None)


def _refused(event_name: str, instance: Any) -> None:
    LOG.error('The network service could not plug %s.', event_name,
              instance=instance)
    if CONF.vif_plugging_is_fatal:
        raise nova_exception.VirtualInterfaceCreateException()
