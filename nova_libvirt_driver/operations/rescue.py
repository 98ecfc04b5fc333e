# SPDX-License-Identifier: Apache-2.0

"""Starting a guest from another image, and from its own disk again."""

from collections.abc import Callable
import dataclasses
import functools

from oslo_log import log as logging

from nova_libvirt_driver.events import router as router_module
from nova_libvirt_driver import exception
from nova_libvirt_driver.guest import handle
from nova_libvirt_driver.guest import reach
from nova_libvirt_driver.operations.steps import attached as attached_module
from nova_libvirt_driver.operations.steps import domains as domains_module
from nova_libvirt_driver.operations.steps import exclusive as exclusive_module
from nova_libvirt_driver.operations.steps import rebuild as rebuild_module
from nova_libvirt_driver.operations.steps import sources
from nova_libvirt_driver.operations.steps import undo as undo_module
from nova_libvirt_driver import ports
from nova_libvirt_driver.spec import disk as disk_spec
from nova_libvirt_driver.spec import guest as guest_spec
from nova_libvirt_driver.spec import instance as instance_spec
from nova_libvirt_driver.storage import instance_files
from nova_libvirt_driver.storage import journal as journal_module
from nova_libvirt_driver.storage import rescue_files
from nova_libvirt_driver.storage import spec_record
from nova_libvirt_driver.xmlmodel import domain as domain_model

LOG = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, slots=True)
class Rescue:
    """Puts guests into rescue, and gets them out.

    Steps of a rescue: keep the XML of the domain in the folder; make the
    rescue disk and config drive; cut the power; define the domain with the
    rescue disk; start it. When a step fails, the guest is defined as it was
    and started if it was up, and then what was made is removed; if that
    cannot be done, the next one that looks into the journal does it.

    Steps of an unrescue: cut the power; define the domain from the kept
    XML; start it; remove the rescue files. It may be repeated until it
    succeeds.
    """

    OPERATION = 'rescue'

    domains: domains_module.Domains
    files: instance_files.InstanceFiles
    rescues: rescue_files.RescueFiles
    specs: spec_record.SpecRecords
    rebuild: rebuild_module.Rebuild
    exclusive: exclusive_module.Exclusive
    journal: journal_module.Journal
    restarts: router_module.Restarts

    def rescue(
            self, described: guest_spec.Described, image_id: str,
            images: ports.ImageSource, attachments: ports.Attachments, *,
            stable_device: disk_spec.RescueDevice | None,
            progress: ports.Progress) -> None:
        """Start a guest from an image; see the contract's verb."""
        with (self.exclusive.hold(
                described, self.OPERATION, progress) as watched,
              self.restarts.during(described.uuid),
              self.domains.ports.reservation() as reservation,
              undo_module.Undo(self.OPERATION, described) as undo):
            watched.step('check')
            spec = self.specs.current(described)
            guest = self._checked(spec)
            self.files.complete(spec, images, watched)
            was_up = guest.state().power in reach.UP
            undo.begin(self.journal, was_up=was_up,
                       attachments=[one.name for one in attachments])
            attached = attached_module.Attached(attachments, watched, undo)
            spec = attached.prepare(spec)
            xml = self.rebuild.xml(spec, guest, functools.partial(
                self.domains.plan_rescue, stable_device=stable_device),
                reservation, rescue=True)
            watched.step('keep')
            before = guest.xml(inactive=True)
            self.rescues.keep_xml(spec, before)
            undo.add('put the guest back', lambda: self._take_back(
                spec, before, attached, start=was_up))
            self.rescues.make(spec, image_id, images, watched)
            watched.step('stop')
            guest.destroy()
            self.rebuild.define_and_start(spec, xml, attached)
            undo.commit()

    def unrescue(
            self, described: guest_spec.Described, images: ports.ImageSource,
            attachments: ports.Attachments) -> None:
        """Start a rescued guest from its own disk again.

        :raises StorageFailure: its disk is gone, or what that is based on
        :raises WrongState: it is not rescued
        """
        with (self.exclusive.hold(described, 'unrescue') as watched,
              self.restarts.during(described.uuid),
              attached_module.starting(
                  'unrescue', described, attachments, watched) as attached):
            before = self.rescues.kept_xml(described)
            if before is None:
                raise exception.WrongState(
                    tried='unrescue it', instance=described.uuid,
                    state='not rescued')
            spec = attached.prepare(self.specs.current(described))
            image_id = domain_model.Domain.parse(
                before).instance.root_uuid
            self.files.complete_disks(spec, image_id or '', images, watched)
            self._take_back(spec, before, attached, start=True)

    def clean_up(
            self, entry: journal_module.Entry,
            attachments: Callable[[], ports.Attachments]) -> None:
        """Put a guest back whose rescue was interrupted.

        One that has no domain any more gets none.
        """
        instance = entry.note
        xml = self.rescues.kept_xml(instance)
        if xml is None or (
                self.domains.guests.find_or_none(instance) is None):
            self.rescues.remove(instance)
            return
        outside = attachments()
        try:
            self._put_back(
                instance, xml, outside, start=bool(
                    entry.note.values['was_up']),
                prepare=lambda attached: attached.prepare_recorded(
                    self.specs.find(instance),
                    entry.note.values.get('attachments', ())))
        except exception.HypervisorUnavailable:
            raise
        except Exception as error:
            # What it lacks, such as a secret, may come with a user's request
            # only, and no verb works on it before this has ended.
            self._put_back(instance, xml, (), start=False,
                           prepare=lambda attached: None)
            LOG.error('Stopped after an interrupted rescue, because it '
                      'cannot be started: %s', error,
                      instance={'uuid': instance.uuid})
        self.rescues.remove(instance)

    def _take_back(
            self, spec: guest_spec.GuestSpec, xml: str,
            attached: attached_module.Attached, *, start: bool) -> None:
        """Put the guest back, and only then remove what was for its rescue.

        Without the kept XML it could not be put back later.

        :param spec: as the attachments have completed it
        """
        if self._put_back(spec, xml, attached.attachments, start=start,
                          prepare=lambda attached: spec):
            # It runs: what it is connected to stays connected.
            attached.undo.commit()
        self.rescues.remove(spec)

    def _put_back(
            self, instance: instance_spec.Instance, xml: str,
            attachments: ports.Attachments, *, start: bool,
            prepare: Callable[[attached_module.Attached],
                              guest_spec.GuestSpec | None]) -> bool:
        """Define the guest as it was; say whether it had to be started.

        :param prepare: for a start; returns the spec with its volumes
        """
        guest = self.domains.guests.find_or_none(instance)
        if guest is not None and (
                guest.xml(inactive=True) == xml
                and (guest.state().power in reach.UP) == start):
            return False
        with attached_module.starting(
                'put back', instance, attachments,
                ports.NullProgress()) as attached:
            if start:
                spec = prepare(attached)
                xml = sources.renewed(xml, instance, spec)
            if guest is not None:
                guest.destroy()
            self.domains.guests.define(xml, instance)
            if start:
                attached.start(self.domains.guests.find(instance), spec)
        return start

    def _checked(self, spec: guest_spec.GuestSpec) -> handle.Guest:
        guest = self.domains.guests.find(spec)
        if self.rescues.kept_xml(spec) is not None:
            raise exception.WrongState(
                tried='rescue it', instance=spec.uuid,
                state='rescued already')
        if guest.has_saved():
            raise exception.WrongState(
                tried='rescue it', instance=spec.uuid,
                state='suspended: resume it first')
        return guest
