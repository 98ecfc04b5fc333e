# SPDX-License-Identifier: Apache-2.0

"""Defining the domain of an existing guest anew, and starting it."""

import dataclasses

from nova_libvirt_driver import exception
from nova_libvirt_driver.guest import handle
from nova_libvirt_driver.operations.steps import domains as domains_module
from nova_libvirt_driver.operations.steps import files as files_module
from nova_libvirt_driver.operations.steps import undo as undo_module
from nova_libvirt_driver import ports
from nova_libvirt_driver.spec import disk as disk_spec
from nova_libvirt_driver.spec import guest as guest_spec


class Rebuild:
    """Makes the domain of a guest again from its spec."""

    def __init__(
            self, domains: domains_module.Domains,
            files: files_module.Files) -> None:
        self._domains = domains
        self._files = files

    def run(
            self, spec: guest_spec.GuestSpec, guest: handle.Guest | None,
            progress: ports.Progress) -> None:
        """Define the domain anew and start it.

        Its power is cut first when it is up. What cannot become a domain is
        refused before that. When a later step fails, the guest is stopped
        and defined as it was.

        :param guest: None when there is no domain
        :raises WrongState: it is rescued
        """
        if self.is_rescued(spec):
            raise exception.WrongState(
                tried='make its domain anew', instance=spec.uuid,
                state='rescued: unrescue it first')
        xml = self.xml(spec, guest, self._files.plan(spec))
        with undo_module.Undo('rebuild') as undo:
            progress.step('files')
            self._files.complete(spec)
            if guest is not None:
                progress.step('stop')
                before = guest.xml(inactive=True)
                guest.destroy()
                undo.add('define the domain as it was',
                         lambda: self._domains.restore(spec, before))
            self.define_and_start(spec, xml, progress, undo)
            undo.commit()

    def is_rescued(self, spec: guest_spec.GuestSpec) -> bool:
        """Say whether the guest starts from a rescue disk now."""
        return self._files.kept_xml(spec) is not None

    def define_and_start(
            self, spec: guest_spec.GuestSpec, xml: str,
            progress: ports.Progress, undo: undo_module.Undo) -> None:
        """Define a domain of that XML and start it.

        :param undo: gets what stops the guest again
        """
        progress.step('define')
        guest = self._domains.guests.define(xml, spec)
        # Before the start: one that outlives its deadline may succeed yet.
        undo.add('stop the guest', guest.destroy)
        progress.step('start')
        if guest.has_saved():
            guest.remove_saved()
        guest.start()
        progress.step('finish')

    def xml(
            self, spec: guest_spec.GuestSpec, guest: handle.Guest | None,
            disks: tuple[disk_spec.DiskSpec, ...]) -> str:
        """Return the XML for a guest with these disks.

        :param guest: gives the machine type when the spec has none
        """
        if guest is not None and not spec.boot.machine:
            spec = dataclasses.replace(spec, boot=dataclasses.replace(
                spec.boot, machine=self._domains.existing_machine(guest)))
        spec = self._domains.settle(spec)
        folder = self._files.folder(spec)
        return self._domains.build(
            spec, disks, folder.console_log).to_xml()
