# SPDX-License-Identifier: Apache-2.0

"""Disconnecting the host from volumes that would not let go at first.

A device that stays behind may be taken for that of the next volume that gets
its number, so it is tried until it has gone.
"""

from collections.abc import Callable
import dataclasses
from typing import Any

from oslo_log import log as logging

from nova_libvirt_driver import exception
from nova_libvirt_driver.operations.steps import clean_ups as clean_ups_module
from nova_libvirt_driver import ports
from nova_libvirt_driver.spec import instance as instance_spec
from nova_libvirt_driver.storage import journal as journal_module
from nova_libvirt_driver.volumes import connection
from nova_libvirt_driver.volumes import host as host_module
from nova_libvirt_driver.volumes import secrecy

LOG = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, slots=True)
class LeftVolumes:
    """Remembers volumes of guests that are gone, in the journal.

    :param connector: returns what disconnects the host; None where only
        another process can
    """

    OPERATION = 'disconnect volume'

    host: host_module.HostVolumes
    journal: journal_module.Journal
    connector: Callable[[], ports.VolumeConnector] | None

    def note(
            self, instance: instance_spec.Instance,
            info: dict[str, Any]) -> None:
        """Remember a volume; keys and passwords of it are left out.

        :raises StorageFailure: it cannot be written down
        """
        self.journal.begin(
            self.OPERATION, uuid=instance.uuid, name=instance.name,
            info=secrecy.without(info)).release()

    def clean_up(
            self, entry: journal_module.Entry,
            attachments: Callable[[], ports.Attachments]) -> None:
        """Disconnect the host from the volume, if it can be done now."""
        self.remove_outside(entry)

    def remove_outside(self, entry: journal_module.Entry) -> None:
        """Disconnect it; the instance may be another host's by now."""
        note = entry.note
        info = note.values['info']
        what = f'volume {connection.id_of(info)}'
        if self.connector is None or not self.journal.is_ours(note):
            raise clean_ups_module.NotYetError(
                f'{note.owner or "this host"} may still be connected to '
                f'{what}')
        try:
            self.host.disconnect(
                info, note, self.connector(), self.host.look(), force=True,
                left=True)
        except exception.HypervisorUnavailable:
            raise
        except exception.DriverError as error:
            # Nothing that is done with the instance has to wait for it.
            LOG.debug('The host is still connected to %s: %s', what, error,
                      instance={'uuid': note.uuid})
            raise clean_ups_module.NotYetError(
                f'the host is still connected to {what}: {error}') from error
