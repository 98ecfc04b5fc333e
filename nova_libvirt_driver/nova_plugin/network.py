# SPDX-License-Identifier: Apache-2.0

"""The ports of a server, and the network service's word."""

from collections.abc import Callable
from collections.abc import Iterator
import contextlib
import sys
from typing import Any

from nova import exception as nova_exception
from nova.network import model as network_model
from oslo_log import log as logging
from oslo_serialization import jsonutils

import nova.conf
from nova_libvirt_driver.nova_plugin import interfaces
from nova_libvirt_driver.spec import guest as guest_spec

CONF = nova.conf.CONF
LOG = logging.getLogger(__name__)


class Ports:
    """The attachment that plugs the ports of one instance.

    The network service was told of the ports of an existing server long ago,
    and sends no event when they are plugged again.
    """

    def __init__(
            self, instance: Any, network_info: Any, *,
            name: str = 'network') -> None:
        self.name = name
        self._instance = instance
        self._network_info = () if network_info is None else network_info
        self._added: tuple[Any, ...] | None = None

    def prepare(self, spec: guest_spec.GuestSpec) -> guest_spec.GuestSpec:
        """Return the guest, which has its interfaces already."""
        return spec

    @contextlib.contextmanager
    def connect(self) -> Iterator[bool]:
        """Plug the ports."""
        self._plug()
        yield False

    def revert(self) -> None:
        """Unplug the ports that were not plugged before."""
        if self._added:
            interfaces.unplug(self._instance, self._added)

    def disconnect(self) -> None:
        """Unplug the ports; one that cannot be is logged and left."""
        with contextlib.suppress(nova_exception.NovaException):
            interfaces.unplug(self._instance, self._network_info)

    def _plug(self) -> None:
        if self._added is None:
            self._added = tuple(self._missing())
        interfaces.plug(self._instance, self._network_info)

    def _missing(self) -> Iterator[Any]:
        for vif in self._network_info:
            if not interfaces.is_plugged(vif):
                yield vif


class NewPorts(Ports):
    """The ports of a server that is being built.

    :param network_info: may be on its way still; who looks at it waits
    :param complete: returns the guest with its interfaces; looks at them
    :param virtapi: Nova's
    """

    def __init__(
            self, instance: Any, network_info: Any, *,
            complete: Callable[[guest_spec.GuestSpec], guest_spec.GuestSpec],
            virtapi: Any) -> None:
        super().__init__(instance, network_info)
        self._complete = complete
        self._virtapi = virtapi

    def prepare(self, spec: guest_spec.GuestSpec) -> guest_spec.GuestSpec:
        """Return the guest with its interfaces; waits for them."""
        return self._complete(spec)

    @contextlib.contextmanager
    def connect(self) -> Iterator[bool]:
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
                self._plug()
                yield bool(events)
        except _timeouts() as error:
            if CONF.vif_plugging_is_fatal:
                raise nova_exception.VirtualInterfaceCreateException(
                ) from error
            LOG.warning('The network service has not plugged every port in '
                        'time; the guest runs on.', instance=self._instance)

    def _missing(self) -> Iterator[Any]:
        # Nothing of the server was there before.
        yield from self._network_info

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


class Port(Ports):
    """The attachment of one port of an existing server.

    :param is_new: nothing of it was there before
    """

    def __init__(
            self, instance: Any, vif: Any, *, is_new: bool = False) -> None:
        super().__init__(instance, (vif,), name=f'port {vif["id"]}')
        self.memo = jsonutils.to_primitive(vif)
        # Of others Open vSwitch keeps the ports.
        self.is_fleeting = vif['type'] in ('bridge', 'tap')
        self._is_new = is_new

    def _missing(self) -> Iterator[Any]:
        # Of some kinds the host's end cannot be seen.
        return (iter(self._network_info) if self._is_new
                else super()._missing())
