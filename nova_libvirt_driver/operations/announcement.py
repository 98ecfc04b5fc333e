# SPDX-License-Identifier: Apache-2.0

"""Telling the network again where a guest is that has come."""

import dataclasses

from oslo_log import log as logging

from nova_libvirt_driver import exception
from nova_libvirt_driver.guest import guests as guests_module
from nova_libvirt_driver.guest import handle
from nova_libvirt_driver.spec import event as event_spec
from nova_libvirt_driver.spec import instance as instance_spec

LOG = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, slots=True)
class Announcement:
    """Has QEMU announce guests.

    The instance is not locked: whatever is done to it meanwhile may be done,
    and ends the announcement when the guest is gone.
    """

    guests: guests_module.Guests

    def announce(
            self, instance: instance_spec.Instance, *, count: int,
            interval_s: float) -> None:
        """Announce a guest some times, as long as it is up.

        Blocks until the last time. What fails is logged, and harmless.

        :param interval_s: time between one announcement and the next
        :raises InstanceNotFound: it is not here to begin with
        """
        guest = self.guests.find(instance)
        with guest.expecting(event_spec.LifecycleEvent) as news:
            for number in range(1, count + 1):
                try:
                    if number > 1 and news.wait(
                            lambda change: _is_gone(guest), interval_s):
                        return
                    guest.announce()
                except (exception.InstanceNotFound, exception.WrongState,
                        exception.UnsupportedOperation) as error:
                    LOG.warning('The guest is not announced again: %s', error,
                                instance={'uuid': guest.uuid})
                    return
                except exception.DriverError as error:
                    LOG.warning(
                        'Announcement %d of %d of the guest to the network '
                        'failed: %s', number, count, error,
                        instance={'uuid': guest.uuid})
                else:
                    LOG.info('Announced the guest to the network, %d of %d',
                             number, count, instance={'uuid': guest.uuid})


def _is_gone(guest: handle.Guest) -> bool:
    try:
        return not guest.is_active()
    except exception.InstanceNotFound:
        return True
