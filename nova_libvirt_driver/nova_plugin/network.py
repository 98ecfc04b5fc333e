# SPDX-License-Identifier: Apache-2.0

"""The ports of a server, and the network service's word."""

from collections.abc import Callable
from collections.abc import Iterator
import contextlib
import copy
import sys
from typing import Any

from nova import exception as nova_exception
from nova.network import model as network_model
from oslo_log import log as logging
from oslo_serialization import jsonutils

import nova.conf
from nova_libvirt_driver import base
from nova_libvirt_driver import exception
from nova_libvirt_driver.nova_plugin import interfaces
from nova_libvirt_driver.spec import guest as guest_spec
from nova_libvirt_driver.xmlmodel import domain as domain_model

CONF = nova.conf.CONF
LOG = logging.getLogger(__name__)


def with_mtu_in_guest(
        core: base.ComputeDriver, instance: Any,
        network_info: Any) -> list[Any]:
    """Return the ports of a server, as large as those of a guest that runs.

    A new MTU of a network comes with the guest's next start.
    """
    found = list(network_info or ())
    with contextlib.suppress(exception.DriverError):
        domain = domain_model.Domain.parse(core.get_domain_xml(instance))
        if domain.id is not None:
            return [_as_large(vif, domain) for vif in found]
    return found


def _as_large(vif: Any, domain: domain_model.Domain) -> Any:
    key = interfaces.key(vif)
    for nic in domain.devices.interfaces:
        # Its alias is ours, and the rest as Nova's own driver has it.
        if nic.mtu is not None and (
                nic.alias == key.alias or nic.mac == key.mac
                and nic.target_dev == key.target_dev):
            vif = copy.deepcopy(vif)
            vif['network']['meta']['mtu'] = nic.mtu
    return vif


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


class AwaitedPorts(Ports):
    """Ports of which the network service tells when they are plugged.

    :param virtapi: Nova's
    """

    def __init__(
            self, instance: Any, network_info: Any, virtapi: Any) -> None:
        super().__init__(instance, network_info)
        self._virtapi = virtapi

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

    def _events(self) -> list[tuple[str, str]]:
        return [('network-vif-plugged', vif['id'])
                for vif in self._awaited()] if (
                    CONF.vif_plugging_timeout) else []

    def _awaited(self) -> Iterator[Any]:
        """Yield the ports of which the network service will tell."""
        raise NotImplementedError


class NewPorts(AwaitedPorts):
    """The ports of a server that is being built.

    :param network_info: may be on its way still; who looks at it waits
    :param complete: returns the guest with its interfaces; looks at them
    """

    def __init__(
            self, instance: Any, network_info: Any, virtapi: Any, *,
            complete: Callable[[guest_spec.GuestSpec], guest_spec.GuestSpec],
    ) -> None:
        super().__init__(instance, network_info, virtapi)
        self._complete = complete

    def prepare(self, spec: guest_spec.GuestSpec) -> guest_spec.GuestSpec:
        """Return the guest with its interfaces; waits for them."""
        return self._complete(spec)

    def _missing(self) -> Iterator[Any]:
        # Nothing of the server was there before.
        yield from self._network_info

    def _awaited(self) -> Iterator[Any]:
        return (vif for vif in self._network_info
                if vif.get('active', True) is False and vif['vnic_type'] != (
                    network_model.VNIC_TYPE_REMOTE_MANAGED))


class RestartedPorts(AwaitedPorts):
    """The ports of a server whose power is cut, and which starts again.

    The network service does not tell of a port whose end stays meanwhile.
    Of others, the options say whether it tells.
    """

    def _awaited(self) -> Iterator[Any]:
        kinds = (CONF.workarounds
                 .wait_for_vif_plugged_event_during_hard_reboot)
        return (vif for vif in self._network_info
                if vif['vnic_type'] in kinds and not interfaces.stays(vif))


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
