# SPDX-License-Identifier: Apache-2.0

"""What an existing server is connected to."""

import contextlib
from typing import Any
from typing import NoReturn

from nova import context as nova_context
from nova import exception as nova_exception
from nova.network import model as network_model
from nova import objects

import nova.conf
from nova_libvirt_driver import base
from nova_libvirt_driver import exception
from nova_libvirt_driver.nova_plugin import firmware_state
from nova_libvirt_driver.nova_plugin import network
from nova_libvirt_driver.nova_plugin import tpm
from nova_libvirt_driver.nova_plugin import volumes
from nova_libvirt_driver import ports
from nova_libvirt_driver.spec import guest as guest_spec
from nova_libvirt_driver.spec import instance as instance_spec

CONF = nova.conf.CONF


class NotHere:
    """Keeps a server from starting that is deleted, or another host's.

    That happened while this host was down. When Nova's compute manager has
    started, it removes what is left of the server here. One that is not known
    to the database is neither started nor removed.

    :param state: where it is, in words
    """

    name = 'host'

    def __init__(self, instance: Any, state: str) -> None:
        self._instance = instance
        self._state = state

    def prepare(self, spec: guest_spec.GuestSpec) -> NoReturn:
        """Refuse.

        :raises WrongState: always
        """
        self._refuse()

    def connect(self) -> contextlib.AbstractContextManager[bool]:
        """Refuse.

        :raises WrongState: always
        """
        self._refuse()

    def revert(self) -> None:
        """Do nothing."""

    def disconnect(self) -> None:
        """Do nothing."""

    def _refuse(self) -> NoReturn:
        raise exception.WrongState(
            tried='start it again', instance=self._instance.uuid,
            state=self._state)


def existing(
        core: base.ComputeDriver, context: Any, instance: Any,
        nics: network.Ports, found: volumes.Volumes) -> ports.Attachments:
    """Return the attachments of a server."""
    # Libvirt forgets the secret before it waits for networks.
    return (found, nics,
            firmware_state.Returning(core, instance),
            tpm.Secret(core, context, instance))


def interrupted(
        core: base.ComputeDriver,
        instance: instance_spec.Instance) -> ports.Attachments:
    """Return the attachments of a server, as Nova's database has it.

    Without the rights of its user, and so without the secret of a user.
    """
    context = _context()
    known = _known(context, instance)
    if known is None:
        return (NotHere(instance, 'not known to Nova'),)
    found = existing(
        core, context, known, network.Ports(known, known.get_network_info()),
        volumes.Volumes(
            core, context, known, volumes.recorded(context, known),
            tolerant=True, own=known.host not in (None, CONF.host)))
    if known.deleted:
        return (NotHere(known, 'deleted'), *found)
    if known.host in (None, CONF.host):
        return found
    return (NotHere(known, f'on host {known.host} by now'), *found)


def interrupted_device(
        core: base.ComputeDriver, instance: instance_spec.Instance,
        name: str, memo: ports.Memo | None) -> ports.Attachment | None:
    """Return the attachment of one volume or port.

    A port is as Nova's database has it. Of a volume that was about to be
    attached the database has nothing.

    :param name: its own, see :class:`network.Port`, :class:`volumes.Volume`
    :param memo: of it; counts once Nova's cache has lost the port, as it has
        when the port was deleted
    """
    known = _known(_context(), instance)
    if memo is not None and 'connection_info' in memo:
        return volumes.interrupted(
            core, instance, memo, is_gone=known is not None and known.deleted)
    if known is None:
        return None
    found = (network.Port(known, vif)
             for vif in known.get_network_info() or ())
    cached = next((one for one in found if one.name == name), None)
    if cached is not None or memo is None:
        return cached
    owner = objects.VirtualInterface.get_by_uuid(
        nova_context.get_admin_context(), memo['id'])
    if owner is not None and owner.instance_uuid != instance.uuid:
        # Another server's of this host, maybe: it has the same name here.
        return None
    return network.Port(known, network_model.VIF.hydrate(dict(memo)))


def home(instance: instance_spec.Instance) -> ports.Home:
    """Return where Nova's database has a server."""
    known = _known(_context(), instance)
    if known is None or known.deleted:
        return ports.Home.UNKNOWN if known is None else ports.Home.DELETED
    return (ports.Home.HERE if known.host == CONF.host
            else ports.Home.ELSEWHERE)


def _context() -> Any:
    # It may have been deleted while this service was down.
    return nova_context.get_admin_context(read_deleted='yes')


def _known(context: Any, instance: instance_spec.Instance) -> Any:
    try:
        return objects.Instance.get_by_uuid(
            context, instance.uuid, expected_attrs=[
                'info_cache', 'system_metadata', 'flavor'])
    except nova_exception.InstanceNotFound:
        return None
