# SPDX-License-Identifier: Apache-2.0

"""What Nova may ask for and this driver does not do yet, with the reasons.

Nova's base class raises errors without a word, and some of them too late: the
source of a move has let go of the guest by then.
"""

from typing import Any

from nova import exception as nova_exception
from nova.virt import driver as nova_driver

_ARRIVAL = ('nova-libvirt-driver on this compute host does not take servers '
            'over from another host yet: no resize, cold migration or '
            'evacuation to it, nor a resize on it')
_DEPARTURE = ('nova-libvirt-driver on this compute host does not give '
              'servers to another host yet: no resize, no migration')


class Refusals(nova_driver.ComputeDriver):  # type: ignore[misc]
    """The verbs that are refused; those of a driver come before them."""

    def get_host_ip_addr(self) -> str:
        """Refuse a server that is to come here.

        Of all that the compute manager asks its driver when a server arrives
        by resize, cold migration or evacuation, this comes first, within the
        claim of its resources: nothing has been done on the source. It asks
        on no other occasion. The server stays as it is, and of a resize or
        cold migration the scheduler's next host is tried.

        :raises InstanceFaultRollback: always
        """
        raise _as_it_was(_ARRIVAL)

    def migrate_disk_and_power_off(
            self, context: Any, instance: Any, *args: Any,
            **kwargs: Any) -> str:
        """Refuse to let a server go; it runs on.

        :raises InstanceFaultRollback: always
        """
        raise _as_it_was(_DEPARTURE)

    def finish_migration(
            self, context: Any, migration: Any, instance: Any, *args: Any,
            **kwargs: Any) -> None:
        """Refuse a server whose disks are here already.

        It began when another driver was here. After any other error than
        this one, or none, Nova would show the server as active.

        :raises MigrationError: always
        """
        raise nova_exception.MigrationError(reason=_ARRIVAL)

    def check_can_live_migrate_destination(
            self, context: Any, instance: Any, *args: Any,
            **kwargs: Any) -> Any:
        """Refuse, so that the scheduler's next host is tried.

        :raises MigrationPreCheckError: always
        """
        raise nova_exception.MigrationPreCheckError(
            reason='nova-libvirt-driver does not do live migration yet')

    def check_can_live_migrate_source(
            self, context: Any, instance: Any, *args: Any,
            **kwargs: Any) -> Any:
        """Refuse to let a server go; it runs on.

        :raises MigrationPreCheckError: always
        """
        raise nova_exception.MigrationPreCheckError(reason=_DEPARTURE)


def _as_it_was(reason: str) -> nova_exception.InstanceFaultRollback:
    """Return what lets the server be as it was, with the reason."""
    return nova_exception.InstanceFaultRollback(
        inner_exception=nova_exception.MigrationError(reason=reason))
