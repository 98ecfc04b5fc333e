# SPDX-License-Identifier: Apache-2.0

"""Cleaning up after a process that was killed within an operation."""

import dataclasses
import threading

from oslo_log import log as logging

from nova_libvirt_driver import exception
from nova_libvirt_driver.guest import reach
from nova_libvirt_driver.operations import rescue as rescue_module
from nova_libvirt_driver.operations import snapshot as snapshot_module
from nova_libvirt_driver.operations import spawn as spawn_module
from nova_libvirt_driver.operations.steps import domains as domains_module
from nova_libvirt_driver.operations.steps import exclusive as exclusive_module
from nova_libvirt_driver.operations.steps import files as files_module
from nova_libvirt_driver import ports
from nova_libvirt_driver.spec import instance as instance_spec
from nova_libvirt_driver.storage import journal as journal_module
from nova_libvirt_driver.storage import scratch as scratch_module

LOG = logging.getLogger(__name__)


OPERATION = 'clean up'


@dataclasses.dataclass(frozen=True, slots=True)
class Remains:
    """Where operations leave word of what they are about."""

    journal: journal_module.Journal
    scratch: scratch_module.Scratch


class Recovery:
    """Finishes or undoes what killed processes have left.

    Looks into the journal: an entry whose process is alive is left alone.
    What cannot be cleaned now stays in the journal for the next time.
    Without anything in the journal, libvirt is not asked.
    """

    def __init__(
            self, domains: domains_module.Domains, files: files_module.Files,
            rescue: rescue_module.Rescue, remains: Remains,
            exclusive: exclusive_module.Exclusive) -> None:
        self._domains = domains
        self._files = files
        self._rescue = rescue
        self._journal = remains.journal
        self._scratch = remains.scratch
        self._exclusive = exclusive
        self._lock = threading.Lock()
        self._done = False

    def begin(self) -> None:
        """Do what :meth:`ensure` does on a thread of its own."""
        threading.Thread(
            target=self._guarded, name='recovery', daemon=True).start()

    def ensure(self) -> None:
        """Clean up, once in the life of this process.

        Blocks while libvirt is asked; never raises an error of ours. What
        it cannot clean stays for the next call, that is for the next start.
        """
        with self._lock:
            if self._done:
                return
            self._done = True
        try:
            complete = self._run()
        except exception.DriverError as error:
            LOG.info('Whether an interrupted operation has left something '
                     'cannot be seen now: %s', error)
            complete = False
        self._done = complete

    def _guarded(self) -> None:
        try:
            self.ensure()
        except Exception:
            LOG.exception('Cleaning up after interrupted operations failed')

    def _run(self) -> bool:
        complete = True
        for entry in self._journal.abandoned():
            try:
                self._clean(entry)
            except exception.ForeignDomain as error:
                LOG.warning('Left from an interrupted %s: %s',
                            entry.operation, error)
            except exception.DriverError as error:
                LOG.error('What an interrupted %s of instance %s left cannot '
                          'be cleaned up now: %s', entry.operation,
                          entry.uuid, error)
                entry.release()
                complete = False
                continue
            entry.end()
        self._exclusive.sweep()
        self._files.sweep_temporaries()
        return complete

    def _clean(self, entry: journal_module.Entry) -> None:
        instance = instance_spec.InstanceRef(entry.uuid, entry.name)
        LOG.warning('Cleaning up after an interrupted %s of instance %s.',
                    entry.operation, entry.uuid)
        with self._exclusive.hold(instance, OPERATION, ports.NullProgress()):
            self._clean_locked(entry, instance)

    def _clean_locked(
            self, entry: journal_module.Entry,
            instance: instance_spec.Instance) -> None:
        if entry.operation == spawn_module.OPERATION:
            self._domains.remove(instance)
            self._files.remove(instance)
        elif entry.operation == snapshot_module.OPERATION:
            self._end_copying(instance, str(entry.values['target_dev']))
            self._scratch.remove(str(entry.values['folder']))
        elif entry.operation == rescue_module.OPERATION:
            xml = self._files.kept_xml(instance)
            if xml is None:
                self._files.remove_rescue(instance)
            else:
                self._rescue.take_back(
                    instance, xml, start=bool(entry.values['was_up']))

    def _end_copying(
            self, instance: instance_spec.Instance,
            target_dev: str) -> None:
        guest = self._domains.guests.find_or_none(instance)
        if guest is not None and guest.state().power in reach.UP:
            guest.disk(target_dev).abort()
