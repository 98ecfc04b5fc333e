# SPDX-License-Identifier: Apache-2.0

"""Waiting until the network service has connected a guest's ports."""

from collections.abc import Callable
import contextlib
from typing import Any

from nova import exception as nova_exception
from nova.network import model as network_model
from oslo_log import log as logging

import nova.conf

CONF = nova.conf.CONF
LOG = logging.getLogger(__name__)

_START = 'start'


class PlugProgress:
    """Begins to wait at the step in which the guest is started.

    Before it, the time would count in which the image is downloaded; after
    it, the word could have come already.

    :param virtapi: Nova's
    :param plug: connects the host's ends
    """

    def __init__(
            self, virtapi: Any, instance: Any, network_info: Any,
            plug: Callable[[], None], stack: contextlib.ExitStack) -> None:
        self._virtapi = virtapi
        self._instance = instance
        self._network_info = network_info or ()
        self._plug = plug
        self._stack = stack

    def step(self, name: str) -> None:
        """Plug the ports when the guest is about to start."""
        if name != _START:
            return
        events = self._events()
        if events:
            # The third argument was renamed between Nova 32 and 33.
            self._stack.enter_context(self._virtapi.wait_for_instance_event(
                self._instance, events, CONF.vif_plugging_timeout,
                error_callback=_refused))
        self._plug()

    def advance(self, done: int, total: int) -> None:
        """Tell nobody."""

    def _events(self) -> list[tuple[str, str]]:
        if not CONF.vif_plugging_timeout:
            return []
        return [
            ('network-vif-plugged', vif['id']) for vif in self._network_info
            if vif.get('active', True) is False and vif['vnic_type'] != (
                network_model.VNIC_TYPE_REMOTE_MANAGED)]


def _refused(event_name: str, instance: Any) -> None:
    LOG.error('The network service could not plug %s.', event_name,
              instance=instance)
    if CONF.vif_plugging_is_fatal:
        raise nova_exception.VirtualInterfaceCreateException()
