# SPDX-License-Identifier: Apache-2.0

"""Setting the administrator's password through the guest agent."""

from collections.abc import Callable

from nova_libvirt_driver import exception
from nova_libvirt_driver.guest import guests as guests_module
from nova_libvirt_driver.spec import instance as instance_spec

_ADMINISTRATOR = 'root'


class AdminPassword:
    """Sets passwords; keeps none, and no error or log has one.

    One step, which the agent does; when it fails the old password may be
    the valid one or the new.

    :param user_of: says what the administrator of an instance is called
    """

    def __init__(
            self, guests: guests_module.Guests,
            user_of: Callable[[instance_spec.Instance], str]
            = lambda instance: _ADMINISTRATOR) -> None:
        self._guests = guests
        self._user_of = user_of

    def set_admin_password(
            self, instance: instance_spec.Instance, new_pass: str) -> None:
        """Set the password.

        :raises AgentUnavailable: there is no agent that could
        :raises UnsupportedOperation: this hypervisor has no agents
        :raises InvalidRequest: it is empty
        :raises WrongState: the guest does not run
        """
        guest = self._guests.find(instance)
        if not new_pass:
            raise exception.InvalidRequest(
                reason='the password must not be empty')
        guest.agent.set_user_password(self._user_of(instance), new_pass)
