# SPDX-License-Identifier: Apache-2.0

"""Building a server: its guest, its ports, and waiting for both."""

import contextlib
import sys
from typing import Any

from nova import exception as nova_exception
from nova.network import model as network_model
from oslo_log import log as logging
from oslo_utils import excutils

import nova.conf
from nova_libvirt_driver import base
from nova_libvirt_driver.nova_plugin import interfaces
from nova_libvirt_driver import ports
from nova_libvirt_driver.spec import guest as guest_spec

CONF = nova.conf.CONF
LOG = logging.getLogger(__name__)

_START = 'start'


class Build:
    """One attempt to make the guest of an instance.

    It waits for the network service from the step on in which the guest is
    started: before it, the time would count in which the image is
    downloaded; after it, the word could have come already.

    :param virtapi: Nova's
    """

    def __init__(
            self, driver: base.ComputeDriver, virtapi: Any, instance: Any,
            network_info: Any) -> None:
        self._driver = driver
        self._virtapi = virtapi
        self._instance = instance
        self._network_info = network_info or ()
        self._waits = contextlib.ExitStack()
        self._made = False
        self._plugged = False

    def run(
            self, spec: guest_spec.GuestSpec, images: ports.ImageSource, *,
            power_on: bool) -> None:
        """Make the guest; on failure nothing is left that this has made.

        :raises VirtualInterfaceCreateException: the ports were not plugged
            in time, and the configuration says that this is fatal
        """
        try:
            with self._waits:
                self._driver.spawn(
                    spec, images=images, power_on=power_on, progress=self)
                self._made = True
        except _timeouts() as error:
            if not CONF.vif_plugging_is_fatal:
                LOG.warning('The network service has not plugged every port '
                            'in time; the guest runs on.',
                            instance=self._instance)
                return
            self._undo()
            raise nova_exception.VirtualInterfaceCreateException() from error
        except BaseException:
            with excutils.save_and_reraise_exception():
                self._undo()

    def step(self, name: str) -> None:
        """Plug the ports when the guest is about to start."""
        if name != _START:
            return
        events = self._events()
        if events:
            # The third argument was renamed between Nova 32 and 33.
            self._waits.enter_context(self._virtapi.wait_for_instance_event(
                self._instance, events, CONF.vif_plugging_timeout,
                error_callback=_refused))
        self._plugged = True
        interfaces.plug(self._instance, self._network_info)

    def advance(self, done: int, total: int) -> None:
        """Tell nobody."""

    def _events(self) -> list[tuple[str, str]]:
        if not CONF.vif_plugging_timeout:
            return []
        return [
            ('network-vif-plugged', vif['id']) for vif in self._network_info
            if vif.get('active', True) is False and vif['vnic_type'] != (
                network_model.VNIC_TYPE_REMOTE_MANAGED)]

    def _undo(self) -> None:
        # Not the guest that was there before: a failed spawn has undone
        # itself what it had made.
        try:
            if self._made:
                self._driver.destroy(self._instance)
            if self._plugged:
                interfaces.unplug(self._instance, self._network_info)
        except Exception as error:
            LOG.error('What a failed build left cannot be removed: %s',
                      error, instance=self._instance)


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
