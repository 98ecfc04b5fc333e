# SPDX-License-Identifier: Apache-2.0

"""Making a guest."""

from oslo_log import log as logging

from nova_libvirt_driver import exception
from nova_libvirt_driver.guest import handle
from nova_libvirt_driver.operations.steps import domains as domains_module
from nova_libvirt_driver.operations.steps import exclusive as exclusive_module
from nova_libvirt_driver.operations.steps import files as files_module
from nova_libvirt_driver.operations.steps import undo as undo_module
from nova_libvirt_driver import ports
from nova_libvirt_driver.spec import guest as guest_spec
from nova_libvirt_driver.storage import journal as journal_module

LOG = logging.getLogger(__name__)

OPERATION = 'spawn'


class Spawn:
    """Makes a guest, or leaves nothing of it behind.

    Steps: check that name and uuid are free; note in the journal what is
    about to be made; make the folder; get the image into the cache; make
    the disks and the kernel; ask for the interfaces; make the config drive;
    record the spec; define the domain; connect it to its networks and start
    it; let it run.

    When a step fails, the domain and the folder are removed. When the
    process is killed, the next one that looks into the journal does that.
    What was in the cache stays there.
    """

    def __init__(
            self, domains: domains_module.Domains, files: files_module.Files,
            exclusive: exclusive_module.Exclusive,
            journal: journal_module.Journal, host: str) -> None:
        self._domains = domains
        self._files = files
        self._exclusive = exclusive
        self._journal = journal
        self._host = host

    def spawn(
            self, spec: guest_spec.GuestSpec, images: ports.ImageSource, *,
            power_on: bool, progress: ports.Progress,
            network: ports.Network | None = None) -> None:
        """Make a guest; see :meth:`base.ComputeDriver.spawn`."""
        self._files.prepare_root()
        with (self._exclusive.hold(spec, OPERATION, progress) as watched,
              undo_module.Undo(OPERATION) as undo):
            watched.step('check')
            spec = self._settled(spec)
            # What makes no domain is refused before anything is made, and
            # before libvirt is asked for a name that may be no text.
            xml = self._build(spec)
            self._clean_up_before(spec)
            self._refuse_existing(spec)
            entry = self._journal.begin(
                OPERATION, uuid=spec.uuid, name=spec.name)
            undo.journal(entry)
            self._files.make(spec, images, watched, undo)
            if network is not None:
                watched.step('interfaces')
                spec = self._settled(network.completed(spec))
                xml = self._build(spec)
            self._files.describe(spec, watched)
            watched.step('define')
            if network is not None:
                # After the domain has gone, which uses what is undone.
                undo.add('disconnect its interfaces', network.disconnect)
            guest = self._domains.guests.define(xml, spec)
            # Before the start: one that outlives its deadline may succeed.
            undo.add('remove the domain', lambda: self._domains.remove(spec))
            if power_on:
                _start(guest, watched, network)
            watched.step('finish')
            undo.commit()
            LOG.info('Guest %s (%s) is made.', spec.name, spec.uuid)

    def xml(self, spec: guest_spec.GuestSpec) -> str:
        """Return the XML that :meth:`spawn` would define."""
        return self._build(self._settled(spec))

    def _settled(self, spec: guest_spec.GuestSpec) -> guest_spec.GuestSpec:
        return self._domains.settle(self._files.settle(spec))

    def _build(self, spec: guest_spec.GuestSpec) -> str:
        folder = self._files.folder(spec)
        return self._domains.build(
            spec, self._files.plan_new(spec), folder.console_log).to_xml()

    def _clean_up_before(self, spec: guest_spec.GuestSpec) -> None:
        """Remove what a killed spawn of the same instance has left.

        Who cleans up later on must not take the new guest for the old one.
        """
        with self._journal.left(spec.uuid, OPERATION) as entries:
            for entry in entries:
                self._domains.remove(spec)
                self._files.remove(spec)
                entry.end()
        if spec.uuid in self._journal.subjects():
            raise exception.WrongState(
                tried='spawn it', instance=spec.uuid,
                state='being cleaned up after an interruption')

    def _refuse_existing(self, spec: guest_spec.GuestSpec) -> None:
        guests = self._domains.guests
        if guests.find_or_none(spec) is not None or (
                self._files.folder(spec).exists()):
            raise exception.InstanceExists(
                instance=spec.uuid, host=self._host)
        if guests.name_owner(spec.name) is not None:
            raise exception.InstanceExists(
                instance=spec.name, host=self._host)


def _start(
        guest: handle.Guest, progress: ports.Progress,
        network: ports.Network | None) -> None:
    progress.step('start')
    if network is None:
        guest.start()
        return
    with network.connected() as wait:
        guest.start(paused=wait)
    if wait:
        progress.step('run')
        guest.resume()
