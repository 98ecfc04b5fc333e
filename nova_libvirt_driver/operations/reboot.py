# SPDX-License-Identifier: Apache-2.0

"""Rebooting a guest, with or without its help."""

from collections.abc import Callable
from collections.abc import Mapping
import dataclasses
from typing import Any

from oslo_log import log as logging

from nova_libvirt_driver.events import router as router_module
from nova_libvirt_driver import exception
from nova_libvirt_driver.guest import guests as guests_module
from nova_libvirt_driver.guest import handle
from nova_libvirt_driver.guest import reach
from nova_libvirt_driver.operations.steps import attached as attached_module
from nova_libvirt_driver.operations.steps import exclusive as exclusive_module
from nova_libvirt_driver.operations.steps import rebuild as rebuild_module
from nova_libvirt_driver.operations.steps import shutdown
from nova_libvirt_driver.operations.steps import sources
from nova_libvirt_driver import ports
from nova_libvirt_driver.spec import guest as guest_spec
from nova_libvirt_driver.spec import instance as instance_spec
from nova_libvirt_driver.storage import instance_files
from nova_libvirt_driver.storage import journal as journal_module
from nova_libvirt_driver.storage import spec_record

LOG = logging.getLogger(__name__)

_RETRY_S = 10.0

_SHUT_DOWN = 'shut down'
"""The guest was asked to: it may be about to, however it looks."""


@dataclasses.dataclass(frozen=True, slots=True)
class Reboot:
    """Reboots guests.

    A soft reboot asks the guest to shut down and starts it again; one that
    does not obey in time, or is not running, gets a hard one: its power is
    cut and its domain defined again; saved memory is lost, so a suspended
    guest gets no soft one. When that fails, the guest is stopped
    and defined as it was. When the process is killed, the next one that looks
    into the journal starts a guest that is down, or that shuts down.

    :param timeout_s: how long a guest may take to shut down by itself
    """

    OPERATION = 'reboot'

    guests: guests_module.Guests
    files: instance_files.InstanceFiles
    specs: spec_record.SpecRecords
    rebuild: rebuild_module.Rebuild
    exclusive: exclusive_module.Exclusive
    journal: journal_module.Journal
    restarts: router_module.Restarts
    _: dataclasses.KW_ONLY
    timeout_s: float

    def reboot(
            self, described: guest_spec.Described,
            reboot_type: guest_spec.RebootType, images: ports.ImageSource,
            progress: ports.Progress,
            attachments: ports.Attachments) -> None:
        """Reboot a guest; see :meth:`base.ComputeDriver.reboot`."""
        is_hard = reboot_type is guest_spec.RebootType.HARD
        with (self.exclusive.hold(
                described, self.OPERATION, progress,
                stopping=is_hard) as watched,
              self.restarts.during(described.uuid),
              attached_module.starting(
                  self.OPERATION, described, attachments,
                  watched) as attached):
            spec = self.specs.current(described)
            entry = attached.undo.begin(
                self.journal, attachments=[one.name for one in attachments])
            spec = attached.prepare(spec)
            if not is_hard:
                guest = self.guests.find(spec)
                # Before it shuts down: it could not be started again.
                self.files.complete(spec, images, watched)
                if self._soft(guest, spec, attached, entry):
                    return
                LOG.info('Guest did not shut down in time, cutting its power',
                         instance={'uuid': spec.uuid})
            self.rebuild.run(
                spec, self.guests.find_or_none(spec), images,
                attached)

    def clean_up(
            self, entry: journal_module.Entry,
            attachments: Callable[[], ports.Attachments]) -> None:
        """Start a guest whose reboot was interrupted, or say why not."""
        instance = entry.note
        guest = self.guests.find_or_none(instance)
        asked = entry.note.phase == _SHUT_DOWN
        if guest is None or guest.state().power in reach.UP and not asked:
            return
        outside = attachments()
        with self.restarts.during(guest.uuid):
            if asked and not shutdown.run(
                    guest, self.timeout_s - entry.note.age_s, _RETRY_S,
                    ports.NullProgress()):
                guest.destroy()
            self._start_again(guest, instance, outside, entry.note.values)

    def _start_again(
            self, guest: handle.Guest, instance: instance_spec.Instance,
            outside: ports.Attachments, noted: Mapping[str, Any]) -> None:
        try:
            with attached_module.starting(
                    self.OPERATION, instance, outside,
                    ports.NullProgress()) as attached:
                spec = attached.prepare_recorded(
                    self.specs.find(instance), noted.get('attachments', ()))
                sources.renew(self.guests, guest, instance, spec)
                attached.start(guest, spec, drop_saved=True)
        except exception.HypervisorUnavailable:
            raise
        except Exception as error:
            # Once: whatever is done with it next must not wait for this.
            LOG.error('The guest stays stopped after an interrupted reboot: '
                      '%s', error, instance={'uuid': guest.uuid})

    def _soft(
            self, guest: handle.Guest, spec: guest_spec.GuestSpec,
            attached: attached_module.Attached,
            entry: journal_module.Entry) -> bool:
        if guest.state().power is not instance_spec.PowerState.RUNNING:
            if guest.has_saved():
                raise exception.WrongState(
                    tried='reboot it softly', instance=guest.uuid,
                    state='suspended')
            return False
        attached.progress.step('shut down')
        entry.advance(_SHUT_DOWN)
        if not shutdown.run(
                guest, self.timeout_s, _RETRY_S, attached.progress):
            return False
        sources.renew(self.guests, guest, spec, spec, keep=True)
        attached.start(guest, spec)
        return True
