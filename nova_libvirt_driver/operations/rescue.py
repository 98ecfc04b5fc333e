# SPDX-License-Identifier: Apache-2.0

"""Starting a guest from another image, and from its own disk again."""

from nova_libvirt_driver import exception
from nova_libvirt_driver.guest import handle
from nova_libvirt_driver.guest import reach
from nova_libvirt_driver.guest import restarts as restarts_module
from nova_libvirt_driver.operations.steps import domains as domains_module
from nova_libvirt_driver.operations.steps import exclusive as exclusive_module
from nova_libvirt_driver.operations.steps import files as files_module
from nova_libvirt_driver.operations.steps import rebuild as rebuild_module
from nova_libvirt_driver.operations.steps import undo as undo_module
from nova_libvirt_driver import ports
from nova_libvirt_driver.spec import guest as guest_spec
from nova_libvirt_driver.spec import instance as instance_spec
from nova_libvirt_driver.storage import journal as journal_module

OPERATION = 'rescue'


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

    def __init__(
            self, domains: domains_module.Domains, files: files_module.Files,
            rebuild: rebuild_module.Rebuild,
            exclusive: exclusive_module.Exclusive,
            journal: journal_module.Journal,
            restarts: restarts_module.Restarts) -> None:
        self._domains = domains
        self._files = files
        self._rebuild = rebuild
        self._exclusive = exclusive
        self._journal = journal
        self._restarts = restarts

    def rescue(
            self, spec: guest_spec.GuestSpec, image_id: str,
            images: ports.ImageSource, *, stable_device: bool,
            progress: ports.Progress) -> None:
        """Start a guest from an image; see the contract's verb."""
        with (self._exclusive.hold(spec, OPERATION, progress) as watched,
              self._restarts.during(spec.uuid),
              undo_module.Undo(OPERATION) as undo):
            watched.step('check')
            self._clean_up_before(spec)
            guest = self._checked(spec)
            was_up = guest.state().power in reach.UP
            xml = self._rebuild.xml(spec, guest, self._files.plan_rescue(
                spec, stable_device=stable_device))
            entry = self._journal.begin(
                OPERATION, uuid=spec.uuid, name=spec.name, was_up=was_up)
            undo.journal(entry)
            watched.step('keep')
            before = guest.xml(inactive=True)
            self._files.keep_xml(spec, before)
            undo.add('put the guest back', lambda: self.take_back(
                spec, before, start=was_up))
            self._files.make_rescue(spec, image_id, images, watched)
            watched.step('stop')
            guest.destroy()
            self._rebuild.define_and_start(spec, xml, watched, undo)
            undo.commit()

    def unrescue(self, instance: instance_spec.Instance) -> None:
        """Start a rescued guest from its own disk again.

        :raises WrongState: it is not rescued
        """
        with (self._exclusive.hold(
                instance, 'unrescue', ports.NullProgress()),
              self._restarts.during(instance.uuid)):
            before = self._files.kept_xml(instance)
            if before is None:
                raise exception.WrongState(
                    tried='unrescue it', instance=instance.uuid,
                    state='not rescued')
            self.take_back(instance, before, start=True)

    def clean_up(
            self, instance: instance_spec.Instance, *, was_up: bool) -> None:
        """Undo a rescue whose process died; the caller has the instance.

        :param was_up: whether the guest was up before
        """
        xml = self._files.kept_xml(instance)
        if xml is None:
            self._files.remove_rescue(instance)
        else:
            self.take_back(instance, xml, start=was_up)

    def take_back(
            self, instance: instance_spec.Instance, xml: str, *,
            start: bool) -> None:
        """Put the guest back, and only then remove what was for its rescue.

        Without the kept XML nobody could put it back later.
        """
        self._put_back(instance, xml, start=start)
        self._files.remove_rescue(instance)

    def _put_back(
            self, instance: instance_spec.Instance, xml: str, *,
            start: bool) -> None:
        guest = self._domains.guests.find_or_none(instance)
        if guest is not None and (
                guest.xml(inactive=True) == xml
                and (guest.state().power in reach.UP) == start):
            return
        if guest is not None:
            guest.destroy()
        self._domains.restore(instance, xml)
        if start:
            self._domains.guests.find(instance).start()

    def _checked(self, spec: guest_spec.GuestSpec) -> handle.Guest:
        guest = self._domains.guests.find(spec)
        if self._files.kept_xml(spec) is not None:
            raise exception.WrongState(
                tried='rescue it', instance=spec.uuid,
                state='rescued already')
        if guest.has_saved():
            raise exception.WrongState(
                tried='rescue it', instance=spec.uuid,
                state='suspended: resume it first')
        return guest

    def _clean_up_before(self, instance: instance_spec.Instance) -> None:
        """Undo a rescue whose process died.

        Who cleans up later on must not end the new one instead.
        """
        with self._journal.left(instance.uuid, OPERATION) as entries:
            for entry in entries:
                self.clean_up(
                    instance, was_up=bool(entry.values['was_up']))
                entry.end()
