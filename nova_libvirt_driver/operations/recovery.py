# SPDX-License-Identifier: Apache-2.0

"""Cleaning up after a process that was killed within an operation."""

from collections.abc import Callable
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
from nova_libvirt_driver.operations.steps import freeze
from nova_libvirt_driver import ports
from nova_libvirt_driver.spec import instance as instance_spec
from nova_libvirt_driver.storage import journal as journal_module
from nova_libvirt_driver.storage import scratch as scratch_module

LOG = logging.getLogger(__name__)

OPERATION = 'clean up'

_PAUSE_MIN_S, _PAUSE_MAX_S = 1.0, 30.0


@dataclasses.dataclass(frozen=True, slots=True)
class Remains:
    """Where operations leave word of what they are about."""

    journal: journal_module.Journal
    scratch: scratch_module.Scratch


class _Bell:
    """Wakes one thread, or tells it to end."""

    def __init__(self) -> None:
        self.ended = False
        self._rung = threading.Event()

    def ring(self) -> None:
        self._rung.set()

    def end(self) -> None:
        self.ended = True
        self._rung.set()

    def wait(self, timeout_s: float) -> None:
        self._rung.wait(timeout_s)
        self._rung.clear()


class Recovery:
    """Finishes or undoes what killed processes have left.

    Looks into the journal at the start, whenever libvirt is back, and from
    time to time: an entry whose operation is under way is left alone, one
    that cannot be cleaned now stays for the next time. Without anything in
    the journal, libvirt is not asked.
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
        self._bell = _Bell()
        self._reported: set[str] = set()

    def start(self) -> None:
        """Begin to look into the journal, on a thread of its own."""
        self.stop()
        self._bell = _Bell()
        threading.Thread(target=self._watch, args=(self._bell,),
                         name='recovery', daemon=True).start()

    def stop(self) -> None:
        """Look no more; a cleaning that is under way ends by itself."""
        self._bell.end()

    def wake(self) -> None:
        """Look soon, if it was started; never blocks."""
        self._bell.ring()

    def _watch(self, bell: _Bell) -> None:
        pause_s = _PAUSE_MIN_S
        complete = self._guarded(self._look_first)
        while not bell.ended:
            pause_s = _PAUSE_MAX_S if complete else min(
                2 * pause_s, _PAUSE_MAX_S)
            bell.wait(pause_s)
            complete = bell.ended or self._guarded(self._look)

    def _guarded(self, function: Callable[[], bool]) -> bool:
        try:
            return function()
        except exception.DriverError as error:
            LOG.info('Whether an interrupted operation has left something '
                     'cannot be seen now: %s', error)
        except Exception:
            LOG.exception('Cleaning up after interrupted operations failed')
        return False

    def _look_first(self) -> bool:
        complete = self._look()
        self._exclusive.sweep()
        self._files.sweep_temporaries()
        return complete

    def _look(self) -> bool:
        # A list: one that cannot be cleaned is no reason to skip the rest.
        return all([self._finish(uuid)
                    for uuid in sorted(self._journal.subjects())])

    def _finish(self, uuid: str) -> bool:
        """Clean up after one instance; say whether nothing is left."""
        instance = instance_spec.InstanceRef(uuid, uuid)
        try:
            # The instance first, and its entries then: an operation that
            # has begun meanwhile must not be taken for the one that died.
            with self._exclusive.hold(
                    instance, OPERATION, ports.NullProgress(),
                    patient=False), self._journal.left(uuid) as entries:
                return all([self._end(entry) for entry in entries])
        except exception.WrongState as error:
            # An operation is under way, whose entry this may be.
            LOG.debug('Not cleaned up: %s', error)
        except Exception as error:
            self._report(uuid, error)
        return False

    def _end(self, entry: journal_module.Entry) -> bool:
        try:
            self._clean(entry)
        except exception.ForeignDomain as error:
            LOG.warning('Left from an interrupted %s: %s',
                        entry.operation, error)
        except Exception as error:
            self._report(entry.uuid, error)
            return False
        entry.end()
        self._reported.discard(entry.uuid)
        return True

    def _report(self, uuid: str, error: Exception) -> None:
        known = uuid in self._reported
        self._reported.add(uuid)
        LOG.log(logging.DEBUG if known else logging.ERROR,
                'What an interrupted operation on instance %s left cannot '
                'be cleaned up now, and is tried again: %s', uuid, error)

    def _clean(self, entry: journal_module.Entry) -> None:
        instance = instance_spec.InstanceRef(entry.uuid, entry.name)
        if entry.uuid not in self._reported:
            LOG.warning('Cleaning up after an interrupted %s of instance '
                        '%s.', entry.operation, entry.uuid)
        if entry.operation == spawn_module.OPERATION:
            self._domains.remove(instance)
            self._files.remove(instance)
        elif entry.operation == snapshot_module.OPERATION:
            self._end_copying(instance, str(entry.values['target_dev']))
            self._scratch.remove(str(entry.values['folder']))
        elif entry.operation == rescue_module.OPERATION:
            self._rescue.clean_up(
                instance, was_up=bool(entry.values['was_up']))

    def _end_copying(
            self, instance: instance_spec.Instance,
            target_dev: str) -> None:
        guest = self._domains.guests.find_or_none(instance)
        if guest is not None and guest.state().power in reach.UP:
            guest.disk(target_dev).abort()
            freeze.thaw_left(guest)
