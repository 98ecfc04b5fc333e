# SPDX-License-Identifier: Apache-2.0

"""Freezing and thawing the file systems of a guest."""

from nova_libvirt_driver.guest import guests as guests_module
from nova_libvirt_driver.operations.steps import freeze
from nova_libvirt_driver.spec import instance as instance_spec


class Quiesce:
    """Freezes and thaws, through the guest agent.

    A freeze that fails is undone as far as the agent answers.
    """

    def __init__(self, guests: guests_module.Guests) -> None:
        self._guests = guests

    def quiesce(self, instance: instance_spec.Instance) -> None:
        """Freeze the file systems; the agent has ten seconds.

        :raises AgentUnavailable: there is no agent that could
        :raises WrongState: the guest does not run
        """
        freeze.freeze(self._guests.find(instance))

    def unquiesce(self, instance: instance_spec.Instance) -> None:
        """Thaw the file systems; they need not be frozen.

        :raises AgentUnavailable: there is no agent that could
        :raises WrongState: the guest does not run
        """
        freeze.thaw(self._guests.find(instance))
